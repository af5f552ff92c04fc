"""Conversion of the AR and the NAR to fp16 for GPUs, whose attention kernels take nothing else.

A pass over a graph that was written in fp32. Inputs and outputs stay fp32, except the keys and
values that the AR keeps between steps: they stay in GPU memory, and a step reads half as much.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The angles of the rotary positions reach 2048 radians, which fp16 would round to integers: they
# are computed in fp32, and only their cosines and sines are fp16.
_ANGLES = {"positions", "frequencies"}
_FROM_ANGLES = {"Cos", "Sin"}
_CACHE = ("past_key_", "past_value_", "present_key_", "present_value_")  # of the AR, by layer


def convert_to_fp16(proto: onnx.ModelProto) -> None:
    """Convert all weights and computations to fp16, in place."""
    graph = proto.graph
    for tensor in list(graph.initializer):
        if tensor.data_type == TensorProto.FLOAT and tensor.name not in _ANGLES:
            half = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    converted: dict[str, str] = {}  # what nodes read instead of an fp32 input
    nodes: list[onnx.NodeProto] = []

    def cast(name: str, result: str, to: int) -> None:
        nodes.append(helper.make_node("Cast", [name], [result], to=to))

    for value in (*graph.input, *graph.output):
        if value.name.startswith(_CACHE):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16
    for value in graph.input:
        if _is_float(value):
            converted[value.name] = f"{value.name}.half"
            cast(value.name, converted[value.name], TensorProto.FLOAT16)
    outputs = {value.name for value in graph.output if _is_float(value)}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = converted.get(name, name)
        result = node.output[0]
        if node.op_type in _FROM_ANGLES:
            node.output[0] = f"{result}.wide"
            nodes.append(node)
            cast(node.output[0], result, TensorProto.FLOAT16)
        elif result in outputs:
            node.output[0] = f"{result}.half"
            nodes.append(node)
            cast(node.output[0], result, TensorProto.FLOAT)
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _is_float(value: onnx.ValueInfoProto) -> bool:
    return value.type.tensor_type.elem_type == TensorProto.FLOAT
