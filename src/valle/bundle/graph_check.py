"""What a graph must not hold, read from its bytes before ONNX Runtime sees them.

Weights in another file could name any file of the machine, even an open descriptor. Graphs inside
graphs (loops and branches) could run for ever. No graph that valle exports has either, so that the
time a graph takes is bounded by its size and the shapes in it.

Only the skeleton of the Protocol Buffers is walked (https://protobuf.dev/programming-guides/encoding;
field numbers from onnx.proto): weights are stepped over, not read.
"""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterator

MAX_NODES = 100_000  # of a graph; the largest that valle exports has a few thousand

# The fields of each message that are walked, and the message each holds.
_CHILDREN = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "subgraph",
        10: "tensor",
        11: "subgraph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14  # fields of a tensor
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


class GraphError(ValueError):
    """A graph holds what is refused, or is not an ONNX model."""


def check_graph(model: bytes | str) -> None:
    """Check an ONNX model.

    Args:
        model: Its bytes, or the path of its file, which is not read into memory.

    Raises:
        GraphError: It keeps weights in other files, holds graphs inside graphs, has more than
            `MAX_NODES` nodes, or cannot be parsed.
        OSError: The file cannot be read.
    """
    if isinstance(model, bytes):
        _check_bytes(model)
        return
    with open(model, "rb") as file:
        if not file.seek(0, io.SEEK_END):
            raise GraphError("it is empty")  # and cannot be mapped
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            _check_bytes(content)


def _check_bytes(data: bytes | mmap.mmap) -> None:
    nodes = 0
    with memoryview(data) as view:
        pending = [("model", 0, len(view))]
        while pending:
            message, start, end = pending.pop()
            nodes += message == "node"
            if nodes > MAX_NODES:
                raise GraphError(f"it has more than {MAX_NODES} operations, which is refused")
            children = _CHILDREN[message]
            for field, first, last in _read_fields(view, start, end):
                if message == "tensor" and field in (_EXTERNAL_DATA, _DATA_LOCATION):
                    # A location of 0 is written out by some programs: in this file.
                    if field == _EXTERNAL_DATA or first:
                        raise GraphError("it keeps weights outside of the file, which is refused")
                elif children.get(field) == "subgraph":
                    raise GraphError("it holds a loop or a branch, which is refused")
                elif field in children and last >= 0:
                    pending.append((children[field], first, last))


def _read_fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the fields of a message: number, begin and end; of an integer, its value and -1."""
    while at < end:
        tag, at = _read_varint(view, at, end)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _read_varint(view, at, end)
            yield field, value, -1
            continue
        if kind == _BYTES:
            size, at = _read_varint(view, at, end)
        elif kind in (_FIXED64, _FIXED32):
            size = 8 if kind == _FIXED64 else 4
        else:
            raise GraphError("it is not an ONNX graph, or damaged")
        if size > end - at:
            raise GraphError("it is cut off, or not an ONNX graph")
        yield field, at, at + size
        at += size


def _read_varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """Return the number at a place, and the place after it."""
    value = shift = 0
    while at < end and shift < 64:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise GraphError("it is cut off, or not an ONNX graph")
