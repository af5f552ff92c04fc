"""The AR graph bound to preallocated buffers: it reads and writes them in place, without copies."""

from __future__ import annotations

import math
import mmap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import AnyFloats, Ints
from valle.bundle.session import import_onnxruntime
from valle.runtime.pointer import TRANSITIONS

if TYPE_CHECKING:
    from valle.bundle.bundle import Bundle
    from valle.bundle.config import BundleConfig

Cache = dict[str, AnyFloats]

MIN_SEQUENCES_PER_THREAD = 2  # a step of a single sequence is too short for a thread of its own


def allocate_cache(config: BundleConfig, sequences: int) -> Cache:
    """Allocate the keys and values of some sequences; memory is used only as rows are written.

    Returns:
        `key_0`, `value_0`, ... for each layer: [sequences, heads, max_positions, head_dim].
    """
    size = config.ar
    is_fp16 = config.graphs["ar"].precision == "fp16"
    dtype = np.dtype(np.float16 if is_fp16 else np.float32)
    shape = (sequences, size.heads, size.max_positions, size.width // size.heads)
    names = [f"{kind}_{layer}" for layer in range(size.layers) for kind in ("key", "value")]
    # Straight from the system: numpy.zeros may return memory that was used before, and then writes
    # zeros to all of it.
    memory = mmap.mmap(-1, len(names) * math.prod(shape) * dtype.itemsize)
    arrays = np.frombuffer(memory, dtype).reshape(len(names), *shape)
    return dict(zip(names, arrays, strict=True))


@dataclass(frozen=True)
class PromptCache:
    """The AR model's keys and values of a voice prompt, from which every sentence starts.

    Attributes:
        cache: Keys and values by the names of `allocate_cache`, each [heads, frames, head_dim].
        last_codes: [codebooks] the codes of the prompt's last frame, which the first new frame
            reads; "no code" for an empty prompt. For infilling, those of the last frame before the
            span.
    """

    cache: Cache
    last_codes: Ints

    @property
    def frames(self) -> int:
        """How many frames the prompt has."""
        return int(self.cache["key_0"].shape[1])


class StepBuffers:
    """Inputs and outputs of the AR graph, for some rows (frames) of some sequences.

    Inputs:
        codes: [sequences, rows, codebooks] of the previous frame; at first "no code".
        encoded: [sequences, rows, width] the encoded symbol that each row is at.
        frames_on_symbol: [sequences, rows] frames already at that symbol.
        seqlens_k: [sequences] rows that each sequence has after the call, less one.
        total_length: The most rows that a sequence has after the call.

    Outputs:
        logits: [sequences, rows, codebook_size] of codebook 1.
        transition_logits: [sequences, rows, TRANSITIONS].
    """

    def __init__(self, config: BundleConfig, sequences: int, rows: int) -> None:
        shape = (sequences, rows)
        self.codes = np.full((*shape, config.codebooks), config.codebook_size, np.int64)
        self.encoded = np.zeros((*shape, config.ar.width), np.float32)
        self.frames_on_symbol = np.zeros(shape, np.int64)
        self.seqlens_k = np.zeros(sequences, np.int32)
        self.total_length = np.zeros((), np.int32)
        self.logits = np.zeros((*shape, config.codebook_size), np.float32)
        self.transition_logits = np.zeros((*shape, TRANSITIONS), np.float32)


class BoundGraph:
    """The AR graph, bound to the buffers and the cache of a range of sequences."""

    def __init__(
        self, bundle: Bundle, buffers: StepBuffers, cache: Cache, sequences: slice
    ) -> None:
        ort = import_onnxruntime()
        self._session = bundle.session("ar")
        self._binding = self._session.io_binding()
        self._bound: list[NDArray[Any]] = []  # bound memory must outlive the binding

        # On the CPU an OrtValue shares the array's memory: what is written to the array is the
        # input of the next call. The graph takes past and present keys and values in one place.
        def share(array: NDArray[Any]) -> Any:
            part = array[sequences] if array.ndim else array
            self._bound.append(part)
            return ort.OrtValue.ortvalue_from_numpy(part)

        inputs: dict[str, NDArray[Any]] = {
            "codes": buffers.codes,
            "encoded": buffers.encoded,
            "stay": buffers.frames_on_symbol,
            "seqlens_k": buffers.seqlens_k,
            "total_sequence_length": buffers.total_length,
        }
        for name, array in inputs.items():
            self._binding.bind_ortvalue_input(name, share(array))
        for name, array in cache.items():
            shared = share(array)
            self._binding.bind_ortvalue_input(f"past_{name}", shared)
            self._binding.bind_ortvalue_output(f"present_{name}", shared)
        self._binding.bind_ortvalue_output("logits", share(buffers.logits))
        self._binding.bind_ortvalue_output("moves", share(buffers.transition_logits))

    def run(self) -> None:
        """Append the rows to the cache, and write the output buffers."""
        self._session.run_with_iobinding(self._binding)


class ParallelSteps:
    """Runs one step of the AR graph on the first sequences of the buffers, on several threads.

    A graph that computes on one thread is called by up to `threads` threads at once, each with its
    share of the sequences. So each thread reads the matrices of a small model once, and threads
    meet once per step rather than at every operator.
    """

    def __init__(self, bundle: Bundle, buffers: StepBuffers, threads: int) -> None:
        self._bundle = bundle
        self._buffers = buffers
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self._graphs: dict[int, list[BoundGraph]] = {}  # by the number of sequences

    def clear(self) -> None:
        """Drop all bindings: the cache that they refer to has been replaced."""
        self._graphs.clear()

    def run(self, cache: Cache, sequences: int) -> None:
        """Append a row to each of the first sequences, and write their output buffers."""
        graphs = self._graphs.get(sequences)
        if graphs is None:
            graphs = [
                BoundGraph(self._bundle, self._buffers, cache, part)
                for part in split_evenly(sequences, self._threads)
            ]
            self._graphs[sequences] = graphs
        pending = [self._pool.submit(graph.run) for graph in graphs[1:]] if self._pool else []
        graphs[0].run()
        for future in pending:
            future.result()


def split_evenly(sequences: int, threads: int) -> list[slice]:
    """Split sequences into even parts, one per thread.

    Each part has `MIN_SEQUENCES_PER_THREAD` or more, unless there are fewer in all.
    """
    parts = max(1, min(threads, sequences // MIN_SEQUENCES_PER_THREAD))
    edges = [sequences * part // parts for part in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]
