"""The AR graph bound to buffers: a call reads and fills them in place, and copies nothing."""

from __future__ import annotations

import math
import mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.pointer import MOVES

if TYPE_CHECKING:
    from valle.bundle import Bundle, BundleConfig

Floats = NDArray[np.float32]
Cache = dict[str, Floats]


def empty_cache(config: BundleConfig, items: int) -> Cache:
    """Room for the keys and values of `items` sequences: `key_0`, `value_0`, ... a layer, each
    [items, heads, max_positions, head width]. It takes memory only as rows are written."""
    size = config.ar
    shape = (items, size.heads, size.max_positions, size.width // size.heads)
    names = [f"{kind}_{layer}" for layer in range(size.layers) for kind in ("key", "value")]
    # Straight from the system: what numpy.zeros gives may be memory that was used before, and is
    # then written to, all of it, to be zeros.
    memory = mmap.mmap(-1, len(names) * math.prod(shape) * 4)
    whole = np.frombuffer(memory, np.float32).reshape(len(names), *shape)
    return dict(zip(names, whole, strict=True))


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
    """The AR graph on the first `items` sequences of some rows and their cache."""

    def __init__(self, bundle: Bundle, rows: Rows, cache: Cache, items: int) -> None:
        import onnxruntime

        self._session = bundle.session("ar")
        self._binding = self._session.io_binding()
        self._kept: list[NDArray[Any]] = []  # bound memory must outlive the binding

        # On the CPU an OrtValue shares the array's memory: to change the array is to feed the next
        # call. The graph must find its past and write its present at the same place.
        def value(array: NDArray[Any]) -> Any:
            part = array[:items] if array.ndim else array
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
