"""Graphs are walked without ONNX: what is refused is found wherever it stands."""

from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tiny_codec import codec_graphs
from valle.bundle import graph_check
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.graph_check import check_graph
from valle.bundle.graph_fields import GraphError
from valle.bundle.session import make_session


def make_model() -> onnx.ModelProto:
    return onnx.load_from_string(codec_graphs()["codec_decoder"].model)


def outside() -> TensorProto:
    return TensorProto(
        name="outside", data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL
    )


@pytest.mark.parametrize("path", sorted(DEFAULT_FOLDER.glob("*.onnx")), ids=lambda path: path.stem)
def test_graphs_that_valle_exports_are_accepted(path) -> None:
    check_graph(str(path))
    check_graph(path.read_bytes())


def test_weights_outside_are_found_wherever_they_are() -> None:
    in_attribute, in_sparse, in_function, listed = (make_model() for _ in range(4))
    in_attribute.graph.node.append(helper.make_node("Constant", [], ["x"], value=outside()))
    in_sparse.graph.sparse_initializer.add().values.CopyFrom(outside())
    node = helper.make_node("Constant", [], ["x"], value=outside())
    in_function.functions.add(name="f", domain="d").node.append(node)
    tensor = TensorProto(name="listed")
    tensor.external_data.add(key="location", value="3")  # although it says that it is inside
    listed.graph.initializer.append(tensor)
    for model in (in_attribute, in_sparse, in_function, listed):
        with pytest.raises(GraphError, match="outside of the file"):
            check_graph(model.SerializeToString())


def test_a_field_with_a_second_number_is_refused() -> None:
    """ONNX Runtime drops what is above 32 bits of a tag: it reads a location here."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in "xy"]
    node = helper.make_node("Add", ["x", "w"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opset).SerializeToString()
    tag = 14 << 3 | 1 << 32
    varint = bytes(tag >> shift & 0x7F | (0x80 if shift < 28 else 0) for shift in range(0, 35, 7))
    weight = numpy_helper.from_array(np.ones(3, np.float32), "w").SerializeToString()
    weight += varint + b"\x01"
    added = b"\x2a" + bytes([len(weight)]) + weight
    model += b"\x3a" + bytes([len(added)]) + added
    with pytest.raises(Exception, match="Missing 'location'"):
        make_session(model, 1)
    with pytest.raises(GraphError, match="damaged"):
        check_graph(model)


def test_location_inside_is_accepted() -> None:
    model = make_model()
    for tensor in model.graph.initializer:
        tensor.data_location = TensorProto.DEFAULT
    check_graph(model.SerializeToString())


def test_too_many_operations_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    monkeypatch.setattr(graph_check, "MAX_NODES", len(model.graph.node))
    check_graph(model.SerializeToString())
    model.graph.node.add(op_type="Abs")
    with pytest.raises(GraphError, match="operations"):
        check_graph(model.SerializeToString())


@given(st.data())
def test_damaged_bytes_are_accepted_or_refused(data: st.DataObject) -> None:
    whole = bytearray(make_model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(GraphError):  # and nothing else
        check_graph(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
