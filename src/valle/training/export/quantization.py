"""Quantization of a finished graph, in place.

Activations are quantized dynamically, so that no calibration data is needed. There are three kinds:

- `quantize_blockwise` (ONNX Runtime's MatMulNBits): 4 or 8 bits, a scale per block of 32 weights of
  a column and per block of 32 activations of a row. For few rows, whose time goes into reading the
  weights. A row's result is the same to the bit whatever other rows are there, so that sentences
  can be batched. (Not so with blocks of 64 or 128, for which a single row has its own kernel.)
- `quantize_dynamic_int8` (DynamicQuantizeMatMul): a scale per column of weights, and one for all
  activations. For many rows, whose time goes into arithmetic: three times as fast as fp32 where the
  processor multiplies bytes. A row's result depends on the other rows.
- `quantize_weights_int8`: weights are only stored in 8 bits, and multiplied in fp32.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from valle.arrays import Floats
from valle.bundle.quantized_weights import (
    BLOCK,
    pack_blocks,
    quantize_along,
    quantize_columns,
    unpack_blocks,
)
from valle.training.export.graph_writer import MICROSOFT

_INT8_ACTIVATIONS = 4  # accuracy_level of MatMulNBits
_MIN_SIZE = 4096  # smaller weights are not quantized: they take hardly any space
_MIN_COLUMNS = 16  # products with fewer are not quantized: they would not be faster


def quantize_blockwise(proto: onnx.ModelProto, bits: int) -> None:
    """Quantize the graph's matrices to `bits` (4 or 8) with a scale per block, in place."""
    nodes: list[onnx.NodeProto] = []
    for product in _products(proto.graph):
        weight = product.weight
        if weight is None or weight.ndim != 2:
            nodes.extend(product.nodes)
            continue
        packed, scales = pack_blocks(weight, bits)
        rows, columns = weight.shape
        stored = [f"{product.name}.{kind}" for kind in (f"int{bits}_blocks", "scales")]
        _replace(proto.graph, product.name, dict(zip(stored, (packed, scales), strict=True)))
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                [product.input, *stored, *(["", "", product.bias] if product.bias else [])],
                [product.result],
                domain=MICROSOFT,
                K=rows,
                N=columns,
                bits=bits,
                block_size=BLOCK,
                accuracy_level=_INT8_ACTIVATIONS,
            )
        )
    _rewrite(proto, nodes)


def quantize_dynamic_int8(proto: onnx.ModelProto) -> None:
    """Quantize the graph's matrices to 8 bits with a scale per column, in place."""
    nodes: list[onnx.NodeProto] = []
    for product in _products(proto.graph):
        weight = product.weight
        if weight is None:
            nodes.extend(product.nodes)
            continue
        stored = [f"{product.name}.{kind}" for kind in ("int8", "scale")]
        _replace(
            proto.graph, product.name, dict(zip(stored, quantize_columns(weight), strict=True))
        )
        nodes.append(
            helper.make_node(
                "DynamicQuantizeMatMul",
                [product.input, *stored, *(["", product.bias] if product.bias else [])],
                [product.result],
                domain=MICROSOFT,
            )
        )
    _rewrite(proto, nodes)


def read_blockwise(proto: onnx.ModelProto) -> dict[str, Floats]:
    """Dequantize the matrices [rows, columns] of a graph that are quantized in blocks, by name."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = {}
    for node in proto.graph.node:
        if node.op_type == "MatMulNBits":
            sizes = {attribute.name: attribute.i for attribute in node.attribute}
            values, scales = (stored[name] for name in node.input[1:3])
            name = node.input[1].rpartition(".")[0]
            weights[name] = unpack_blocks(values, scales, sizes["bits"], sizes["K"])
    return weights


@dataclass(frozen=True)
class _Product:
    """A product with constant weights and its bias, or any other single node."""

    nodes: list[onnx.NodeProto]
    weight: Floats | None = None  # None: not a product with constant weights
    name: str = ""  # of the weight
    input: str = ""
    bias: str | None = None
    result: str = ""


def _products(graph: onnx.GraphProto) -> Iterator[_Product]:
    """All nodes of a graph in topological order, products with their biases."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    adders = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    merged: set[str] = set()  # results of the nodes that belong to a product
    for node in graph.node:
        result = node.output[0]
        if result in merged:
            continue
        nodes, bias = [node], None
        name = node.input[1] if len(node.input) > 1 else ""
        if node.op_type != "MatMul" or name not in constants:
            yield _Product(nodes)
            continue
        weight = numpy_helper.to_array(constants[name])
        if weight.shape[-1] < _MIN_COLUMNS:
            yield _Product(nodes)
            continue
        adder = adders.get(result)
        if adder is not None and uses[result] == 1:
            (other,) = (name for name in adder.input if name != result)
            if other in constants and len(constants[other].dims) == 1:
                nodes.append(adder)
                bias, result = other, adder.output[0]
                merged.add(result)
        yield _Product(nodes, weight, name, node.input[0], bias, result)


def _replace(graph: onnx.GraphProto, name: str, new: dict[str, NDArray[np.generic]]) -> None:
    """Replace a constant by others, if an earlier product with it has not done so."""
    for tensor in graph.initializer:
        if tensor.name == name:
            graph.initializer.remove(tensor)
            graph.initializer.extend(numpy_helper.from_array(new[key], key) for key in new)
            return


def _rewrite(proto: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> None:
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    if MICROSOFT not in (opset.domain for opset in proto.opset_import):
        proto.opset_import.append(helper.make_opsetid(MICROSOFT, 1))


def quantize_weights_int8(proto: onnx.ModelProto) -> None:
    """Store large fp32 weights as int8 with a scale per slice of one axis, in place.

    Symmetric, the largest value maps to 127; the axis with the smaller error is used. Cast and Mul
    convert to fp32; ONNX Runtime folds both when it creates a session, so the graph runs as fast as
    in fp32. Of an embedding table only the rows that are looked up are converted, so that it stays
    small in memory.
    """
    graph = proto.graph
    tables = _tables(graph)
    scales: dict[str, NDArray[np.float32]] = {}  # of the tables
    conversions: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < _MIN_SIZE:
            continue
        weight = numpy_helper.to_array(tensor)
        if weight.ndim < 2 or tensor.name.endswith(".scale"):  # scales of already quantized weights
            continue
        quantized, scale = min(_quantize_by_axis(weight), key=lambda pair: _error(weight, *pair))
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(quantized, f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        if name in tables:
            scales[name] = scale
            continue
        conversions.append(
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"], to=TensorProto.FLOAT)
        )
        conversions.append(helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]))
    nodes = list(conversions)
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in scales:
            nodes.extend(_dequantize_rows(node, len(scales[node.input[0]]) > 1))
        else:
            nodes.extend(_store_fp16(node))
    del graph.node[:]
    graph.node.extend(nodes)


def _tables(graph: onnx.GraphProto) -> set[str]:
    """The constants [rows, columns] that are used only to look up rows."""
    constants = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    others: set[str] = set()
    for node in graph.node:
        rows = node.op_type == "Gather" and all(
            attribute.i == 0 for attribute in node.attribute
        )  # the axis
        others.update(node.input[1:] if rows else node.input)
    return constants - others


def _dequantize_rows(node: onnx.NodeProto, by_row: bool) -> Iterator[onnx.NodeProto]:
    """Look up rows of an 8-bit table and convert them to fp32; scales are by row or by column."""
    (table, ids), (rows,) = node.input, node.output
    yield helper.make_node("Gather", [f"{table}.int8", ids], [f"{rows}.int8"], axis=0)
    yield helper.make_node("Cast", [f"{rows}.int8"], [f"{rows}.cast"], to=TensorProto.FLOAT)
    scale = f"{table}.scale"
    if by_row:
        scale = f"{rows}.scale"
        yield helper.make_node("Gather", [f"{table}.scale", ids], [scale], axis=0)
    yield helper.make_node("Mul", [f"{rows}.cast", scale], [rows])


def _store_fp16(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """Store a large constant, such as a Fourier table, as fp16: 8 bits would be too inexact."""
    if node.op_type == "Constant" and node.attribute[0].name == "value":
        table = numpy_helper.to_array(node.attribute[0].t)
        if table.dtype == np.float32 and table.size >= _MIN_SIZE:
            name = node.output[0]
            fp16 = numpy_helper.from_array(table.astype(np.float16))
            yield helper.make_node("Constant", [], [f"{name}.fp16"], value=fp16)
            yield helper.make_node("Cast", [f"{name}.fp16"], [name], to=TensorProto.FLOAT)
            return
    yield node


def _quantize_by_axis(
    weight: NDArray[np.float32],
) -> Iterator[tuple[NDArray[np.int8], NDArray[np.float32]]]:
    """Quantize with a scale per slice of the first axis, and of the last axis."""
    for scaled in (0, weight.ndim - 1):
        axes = tuple(axis for axis in range(weight.ndim) if axis != scaled)
        yield quantize_along(weight, axes)


def _error(
    weight: NDArray[np.float32], quantized: NDArray[np.int8], scale: NDArray[np.float32]
) -> float:
    return float(np.square(weight - quantized * scale).sum())
