"""What a graph must not hold, read from its bytes before ONNX Runtime sees them.

Weights in another file could name any file of the machine, even an open descriptor. Graphs inside
graphs (loops and branches) could run for ever. No graph that valle exports has either, so that the
time a graph takes is bounded by its size and the shapes in it.

Only the skeleton of the graph is walked: weights are stepped over, not read. The numbers of fields
are those of onnx.proto.
"""

from __future__ import annotations

import io
import mmap

from valle.bundle.graph_fields import GraphError, read_fields

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
            for field, first, last in read_fields(view, start, end):
                if message == "tensor" and field in (_EXTERNAL_DATA, _DATA_LOCATION):
                    # A location of 0 is written out by some programs: in this file.
                    if field == _EXTERNAL_DATA or first:
                        raise GraphError("it keeps weights outside of the file, which is refused")
                elif children.get(field) == "subgraph":
                    raise GraphError("it holds a loop or a branch, which is refused")
                elif field in children and last >= 0:
                    pending.append((children[field], first, last))
