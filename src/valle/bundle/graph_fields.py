"""The fields of a serialized ONNX graph: where each one lies, without reading what is in it.

A graph is a message of Protocol Buffers (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_TAG_BITS = 32  # parsers drop the bits above, which would give a field two numbers


class GraphError(ValueError):
    """A graph holds what is refused, or is not an ONNX model."""


def read_fields(data: memoryview | bytearray, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message: number, begin and end; of an integer, its value and -1.

    Args:
        data: The serialized graph.
        at: Where the message begins in it.
        end: Where it ends.

    Raises:
        GraphError: It is not a message.
    """
    while at < end:
        tag, at = _read_varint(data, at, end)
        if tag >> _TAG_BITS:
            raise GraphError("it is not an ONNX graph, or damaged")
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _read_varint(data, at, end)
            yield field, value, -1
            continue
        if kind == _BYTES:
            size, at = _read_varint(data, at, end)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise GraphError("it is not an ONNX graph, or damaged")
        if size > end - at:
            raise GraphError("it is cut off, or not an ONNX graph")
        yield field, at, at + size
        at += size


def _read_varint(data: memoryview | bytearray, at: int, end: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise GraphError("it is cut off, or not an ONNX graph")
