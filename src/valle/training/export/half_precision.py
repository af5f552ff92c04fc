"""Graphs in half precision, for graphics cards: ONNX Runtime's attention there takes no other.

A pass over the AR's or the NAR's graph as it is written in fp32. Inputs and outputs stay fp32, but
for the keys and values that the AR keeps between its steps: they lie in the card's memory, and half
of their bytes are half of what a step reads.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# Angles of the rotary positions reach 2048 radians, which fp16 would round to whole ones: they are
# computed in fp32, and only their cosines and sines are halves.
_ANGLES = {"positions", "frequencies"}
_FROM_ANGLES = {"Cos", "Sin"}
_KEPT = ("past_key_", "past_value_", "present_key_", "present_value_")  # of the AR, by layers


def compute_in_halves(proto: onnx.ModelProto) -> None:
    """Turn all weights and what is computed into fp16, in place."""
    graph = proto.graph
    for tensor in list(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in _ANGLES:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    read: dict[str, str] = {}  # what a node reads instead of an fp32 input
    nodes: list[onnx.NodeProto] = []

    def cast(name: str, result: str, to: int) -> None:
        nodes.append(helper.make_node("Cast", [name], [result], to=to))

    for value in (*graph.input, *graph.output):
        if value.name.startswith(_KEPT):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for value in graph.input:
        if _is_float(value):
            read[value.name] = f"{value.name}.half"
            cast(value.name, read[value.name], TensorProto.FLOAT16)
    given = {value.name for value in graph.output if _is_float(value)}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = read.get(name, name)
        wide = node.output[0]
        if node.op_type in _FROM_ANGLES:
            node.output[0] = f"{wide}.wide"
            nodes.append(node)
            cast(node.output[0], wide, TensorProto.FLOAT16)
        elif wide in given:
            node.output[0] = f"{wide}.half"
            nodes.append(node)
            cast(node.output[0], wide, TensorProto.FLOAT)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == TensorProto.FLOAT
