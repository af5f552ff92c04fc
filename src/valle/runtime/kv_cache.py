"""The AR graph bound to buffers: a call reads and fills them in place, and copies nothing."""

from __future__ import annotations

import math
import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.runtime.pointer import MOVES

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle
    from valle.bundle.config import BundleConfig

Cache = dict[str, NDArray[np.floating[Any]]]

LEAST = 2  # sequences that are worth a thread of their own: a step of one is soon done


def empty_cache(config: BundleConfig, items: int) -> Cache:
    """Room for the keys and values of `items` sequences: `key_0`, `value_0`, ... a layer, each
    [items, heads, max_positions, head width]. It takes memory only as rows are written."""
    size = config.ar
    half = config.graphs["ar"].precision == "fp16"
    number = np.dtype(np.float16 if half else np.float32)
    shape = (items, size.heads, size.max_positions, size.width // size.heads)
    names = [f"{kind}_{layer}" for layer in range(size.layers) for kind in ("key", "value")]
    # Straight from the system: what numpy.zeros gives may be memory that was used before, and is
    # then written to, all of it, to be zeros.
    memory = mmap.mmap(-1, len(names) * math.prod(shape) * number.itemsize)
    whole = np.frombuffer(memory, number).reshape(len(names), *shape)
    return dict(zip(names, whole, strict=True))


@dataclass(frozen=True)
class PromptCache:
    """What the AR model keeps of a voice.

    cache: keys and values by the names of ``empty_cache``, each [heads, frames, head width].
    last_codes [codebooks]: the codes of its last frame, which the first new frame reads ("no code"
    everywhere for an empty prompt). Of a prompt around a middle, of the frame before that.
    """

    cache: Cache
    last_codes: Ints

    @property
    def frames(self) -> int:
        return int(self.cache["key_0"].shape[1])


class Rows:
    """What the AR graph reads and writes: `rows` rows for each of `items` sequences.

    codes [items, rows, codebooks] (of the frame before; at first "no code"), encoded [items, rows,
    width], stay [items, rows], before [items] (rows that a sequence will have, less one) and total
    (the most that one will have) go in; logits [items, rows, codes] and moves [items, rows, MOVES]
    come out.
    """

    def __init__(self, config: BundleConfig, items: int, rows: int) -> None:
        self.codes = np.full((items, rows, config.codebooks), config.codebook_size, np.int64)
        self.encoded = np.zeros((items, rows, config.ar.width), np.float32)
        self.stay = np.zeros((items, rows), np.int64)
        self.before = np.zeros(items, np.int32)
        self.total = np.zeros((), np.int32)
        self.logits = np.zeros((items, rows, config.codebook_size), np.float32)
        self.moves = np.zeros((items, rows, MOVES), np.float32)


class BoundGraph:
    """The AR graph on some of the sequences of rows and their cache."""

    def __init__(self, bundle: Bundle, rows: Rows, cache: Cache, items: slice) -> None:
        import onnxruntime

        self._session = bundle.session("ar")
        self._binding = self._session.io_binding()
        self._kept: list[NDArray[Any]] = []  # bound memory must outlive the binding

        # On the CPU an OrtValue shares the array's memory: to change the array is to feed the next
        # call. The graph must find its past and write its present at the same place.
        def value(array: NDArray[Any]) -> Any:
            part = array[items] if array.ndim else array
            self._kept.append(part)
            return onnxruntime.OrtValue.ortvalue_from_numpy(part)

        inputs: dict[str, NDArray[Any]] = {
            "codes": rows.codes,
            "encoded": rows.encoded,
            "stay": rows.stay,
            "seqlens_k": rows.before,
            "total_sequence_length": rows.total,
        }
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, value(array))
        for name, array in cache.items():
            shared = value(array)
            self._binding.bind_ortvalue_input(f"past_{name}", shared)
            self._binding.bind_ortvalue_output(f"present_{name}", shared)
        self._binding.bind_ortvalue_output("logits", value(rows.logits))
        self._binding.bind_ortvalue_output("moves", value(rows.moves))

    def run(self) -> None:
        """Append the rows to the cache; fills their `logits` and `moves`."""
        self._session.run_with_iobinding(self._binding)


class SharedSteps:
    """The AR graph on any number of the first sequences of rows and their cache.

    A graph that computes on one thread is called by up to `threads` of them at once, each with its
    part of the sequences. So the matrices of a small model are read once a thread, and its threads
    meet once a step, not at every operator.
    """

    def __init__(self, bundle: Bundle, rows: Rows, threads: int) -> None:
        self._bundle = bundle
        self._rows = rows
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._graphs: dict[int, list[BoundGraph]] = {}  # by how many sequences they run

    def forget(self) -> None:
        """The cache that was given before is not used any more."""
        self._graphs.clear()

    def run(self, cache: Cache, items: int) -> None:
        """Append one row each to the first `items` sequences; fills their logits and moves."""
        graphs = self._graphs.get(items)
        if graphs is None:
            parts = shared_out(items, self._threads)
            graphs = [BoundGraph(self._bundle, self._rows, cache, part) for part in parts]
            self._graphs[items] = graphs
        others = [self._pool.submit(graph.run) for graph in graphs[1:]] if self._pool else []
        graphs[0].run()
        for other in others:
            other.result()


def shared_out(items: int, threads: int) -> list[slice]:
    """`items` sequences in even parts, one a thread, each of LEAST or more where there are as
    many."""
    count = max(1, min(threads, items // LEAST))
    edges = [items * number // count for number in range(count + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]
