"""Change weight matrices of a serialized ONNX graph, without the package `onnx`.

A graph is a Protocol Buffers message, whose weights lie in it as plain bytes. A changed weight
takes as many bytes as before, so it is written over the old one and nothing else of the graph
moves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats
from valle.bundle.graph_fields import read_fields
from valle.bundle.quantized_weights import pack_blocks, quantize_along, unpack_blocks
from valle.errors import BundleError

# Field numbers of the messages in onnx.proto: ModelProto, GraphProto, TensorProto.
_GRAPH, _INITIALIZER = 7, 5
_DIMS, _DATA_TYPE, _NAME, _RAW_DATA = 1, 2, 8, 9
_DTYPES: dict[int, np.dtype[np.generic]] = {
    number: np.dtype(kind)
    for number, kind in ((1, "<f4"), (2, "u1"), (3, "i1"), (10, "<f2"))  # TensorProto.DataType
}


@dataclass(frozen=True)
class _Stored:
    """Where a weight lies in the bytes of a graph."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    start: int

    def view(self, model: bytearray) -> NDArray[np.generic]:
        """The weight in the graph itself: assigning to it changes the graph."""
        flat = np.frombuffer(model, self.dtype, prod(self.shape), self.start)
        return flat.reshape(self.shape)


def add_to_weights(model: bytes, changes: Mapping[str, Floats]) -> bytes:
    """Add to matrices of a graph, in whatever precision it stores them.

    Args:
        model: the serialized graph.
        changes: what to add [rows, columns], by the name of the weight.

    Returns:
        The changed graph.

    Raises:
        BundleError: the graph has no such weight, or of another shape, or cannot be read.
    """
    changed = bytearray(model)
    try:
        stored = dict(_find_weights(changed))
        for name, change in changes.items():
            _add(changed, stored, name, change)
    except KeyError as error:
        raise BundleError(
            f"the graph has no weight {error.args[0]!r}: it is of another kind of model"
        ) from error
    except ValueError as error:  # parts of a weight that do not fit together, too
        raise BundleError(f"the graph cannot be read: {error}; export it again") from error
    return bytes(changed)


def _add(model: bytearray, stored: Mapping[str, _Stored], name: str, change: Floats) -> None:
    """Add to one matrix of a graph, in place."""
    if f"{name}.int8" in stored:
        values, scale = (stored[f"{name}.{part}"].view(model) for part in ("int8", "scale"))
        _add_int8(values, scale, change, name)
    elif bits := next((n for n in (8, 4) if f"{name}.int{n}_blocks" in stored), None):
        parts = (f"{name}.int{bits}_blocks", f"{name}.scales")
        values, scale = (stored[part].view(model) for part in parts)
        _add_blocks((values, scale), bits, change, name)
    else:
        _add_plain(stored[name].view(model), change, name)


def _add_plain(weight: NDArray[np.generic], change: Floats, name: str) -> None:
    _check_shape(weight.shape, change, name)
    weight[...] = (weight.astype(np.float32) + change).astype(weight.dtype)


def _add_int8(
    values: NDArray[np.generic], scale: NDArray[np.generic], change: Floats, name: str
) -> None:
    _check_shape(values.shape, change, name)
    kept = scale.shape if scale.ndim == values.ndim else (1, *scale.shape)
    shared = tuple(axis for axis, size in enumerate(kept) if size != values.shape[axis])
    weight = values.astype(np.float32) * scale.reshape(kept).astype(np.float32) + change
    values[...], new_scale = quantize_along(weight, shared)
    scale[...] = new_scale.reshape(scale.shape)


def _add_blocks(
    packed: tuple[NDArray[np.generic], NDArray[np.generic]], bits: int, change: Floats, name: str
) -> None:
    values, scales = packed
    weight = unpack_blocks(
        values.astype(np.uint8), scales.astype(np.float32), bits, change.shape[0]
    )
    _check_shape(weight.shape, change, name)
    values[...], scales[...] = pack_blocks(weight + change, bits)


def _check_shape(shape: tuple[int, ...], change: Floats, name: str) -> None:
    if shape != change.shape:
        raise BundleError(f"the weight {name!r} has the shape {shape}, not {change.shape}")


def _find_weights(model: bytearray) -> Iterator[tuple[str, _Stored]]:
    """Find the weights of a graph that are stored as raw bytes, by name."""
    for field, start, end in read_fields(model, 0, len(model)):
        if field != _GRAPH:
            continue
        for graph_field, tensor_start, tensor_end in read_fields(model, start, end):
            if graph_field != _INITIALIZER:
                continue
            stored = _read_tensor(model, tensor_start, tensor_end)
            if stored is not None:
                yield stored


def _read_tensor(model: bytearray, start: int, end: int) -> tuple[str, _Stored] | None:
    shape: list[int] = []
    name, data_type, raw = "", 0, None
    for field, value, value_end in read_fields(model, start, end):
        if field == _DIMS and value_end < 0:
            shape.append(value)
        elif field == _DATA_TYPE and value_end < 0:
            data_type = value
        elif field == _NAME:
            name = model[value:value_end].decode("utf-8")
        elif field == _RAW_DATA:
            raw = value, value_end
    dtype = _DTYPES.get(data_type)
    if dtype is None or raw is None or raw[1] - raw[0] != prod(shape) * dtype.itemsize:
        return None
    return name, _Stored(dtype, tuple(shape), raw[0])
