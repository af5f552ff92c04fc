"""Products with quantised weights: a graph's matrices in 4 or 8 bits, multiplied as integers.

Passes over a graph that is written already. What comes in is quantised as well, each time anew, so
that nothing has to be measured beforehand. There are two kinds:

- In blocks (ONNX Runtime's MatMulNBits): a scale for every 32 weights of a column, and for every 32
  numbers of a row that comes in. For few rows, whose time goes into reading the weights. A row's
  result is the same to the last bit whatever other rows are there, so that sentences may be spoken
  together. (Not so with blocks of 64 or 128, where a single row has a kernel of its own.)
- In integers (DynamicQuantizeMatMul): a scale for each column, one for all that comes in. For many
  rows, whose time goes into arithmetic: three times as fast as fp32 where the processor multiplies
  bytes. Here a row's result does depend on the others.
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
from valle.training.export.graph_writer import MICROSOFT

BLOCK = 32  # weights that share a scale
_INPUTS_IN_8_BITS = 4  # MatMulNBits' accuracy_level
_SMALLEST = 4096  # weights with fewer numbers stay as they are: they cost nothing
_NARROWEST = 16  # columns; nothing is won with fewer

Bytes = NDArray[np.uint8]


def multiply_in_blocks(proto: onnx.ModelProto, bits: int) -> None:
    """Multiply by the graph's matrices in `bits` (4 or 8), a scale for each BLOCK of weights."""
    nodes: list[onnx.NodeProto] = []
    for product in _products(proto.graph):
        weight = product.weight
        if weight is None or weight.ndim != 2:
            nodes.extend(product.nodes)
            continue
        packed, scales = in_blocks(weight, bits)
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
                accuracy_level=_INPUTS_IN_8_BITS,
            )
        )
    _rewrite(proto, nodes)


def multiply_in_integers(proto: onnx.ModelProto) -> None:
    """Multiply by the graph's matrices in 8 bits, a scale for each column."""
    nodes: list[onnx.NodeProto] = []
    for product in _products(proto.graph):
        weight = product.weight
        if weight is None:
            nodes.extend(product.nodes)
            continue
        stored = [f"{product.name}.{kind}" for kind in ("int8", "scale")]
        _replace(proto.graph, product.name, dict(zip(stored, in_integers(weight), strict=True)))
        nodes.append(
            helper.make_node(
                "DynamicQuantizeMatMul",
                [product.input, *stored, *(["", product.bias] if product.bias else [])],
                [product.result],
                domain=MICROSOFT,
            )
        )
    _rewrite(proto, nodes)


def in_blocks(weight: Floats, bits: int) -> tuple[Bytes, Floats]:
    """[rows, columns] -> [columns, blocks, bytes], and a scale for each block, [columns * blocks].

    A weight is (value - 2 ** (bits - 1)) * scale; of two 4-bit values the first is the low half.
    The scale may be negative: there is one more value below the middle than above, and it goes to
    the largest weight of the block.
    """
    rows, columns = weight.shape
    blocks = -(-rows // BLOCK)
    padded = np.zeros((columns, blocks * BLOCK), np.float32)
    padded[:, :rows] = weight.T
    each = padded.reshape(columns, blocks, BLOCK)
    middle = 1 << (bits - 1)
    largest = np.take_along_axis(each, np.abs(each).argmax(-1, keepdims=True), -1)
    scale = np.where(largest == 0, np.float32(1), largest / np.float32(-middle))
    values = np.clip(np.rint(each / scale) + middle, 0, 2 * middle - 1).astype(np.uint8)
    if bits == 4:
        values = values[..., 0::2] | (values[..., 1::2] << 4)
    return values, scale.reshape(-1)


def from_blocks(proto: onnx.ModelProto) -> dict[str, Floats]:
    """The weights [rows, columns] of a graph's products in blocks, by their names."""
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = {}
    for node in proto.graph.node:
        if node.op_type != "MatMulNBits":
            continue
        sizes = {attribute.name: attribute.i for attribute in node.attribute}
        values, scales = (stored[name] for name in node.input[1:3])
        if sizes["bits"] == 4:
            halves = np.stack([values & 15, values >> 4], axis=-1)
            values = halves.reshape(*values.shape[:2], BLOCK)
        middle = np.float32(1 << (sizes["bits"] - 1))
        each = (values.astype(np.float32) - middle) * scales.reshape(*values.shape[:2], 1)
        name = node.input[1].rpartition(".")[0]
        weights[name] = np.ascontiguousarray(each.reshape(sizes["N"], -1)[:, : sizes["K"]].T)
    return weights


def in_integers(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """[..., rows, columns] -> the same in -127..127, and a scale a column, [..., columns]."""
    scale = np.abs(weight).max(axis=-2) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale)
    return np.rint(weight / scale[..., None, :]).astype(np.int8), scale


@dataclass(frozen=True)
class _Product:
    """A product with constants and all that belongs to it alone, or any other single node."""

    nodes: list[onnx.NodeProto]
    weight: Floats | None = None  # None: no product with constants
    name: str = ""  # of the weight
    input: str = ""
    bias: str | None = None  # added to it
    result: str = ""


def _products(graph: onnx.GraphProto) -> Iterator[_Product]:
    """All nodes of a graph, in an order in which they can be computed."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    adders = {name: node for node in graph.node if node.op_type == "Add" for name in node.input}
    done: set[str] = set()  # results of the nodes that belong to a product
    for node in graph.node:
        result = node.output[0]
        if result in done:
            continue
        nodes, bias = [node], None
        name = node.input[1] if len(node.input) > 1 else ""
        if node.op_type != "MatMul" or name not in constants:
            yield _Product(nodes)
            continue
        weight = numpy_helper.to_array(constants[name])
        if weight.shape[-1] < _NARROWEST:
            yield _Product(nodes)
            continue
        adder = adders.get(result)
        if adder is not None and uses[result] == 1:
            (other,) = (each for each in adder.input if each != result)
            if other in constants and len(constants[other].dims) == 1:
                nodes.append(adder)
                bias, result = other, adder.output[0]
                done.add(result)
        yield _Product(nodes, weight, name, node.input[0], bias, result)


def _replace(graph: onnx.GraphProto, name: str, new: dict[str, NDArray[np.generic]]) -> None:
    """Put other constants in the place of one; of several products with it, the first does."""
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


def store_in_8_bits(proto: onnx.ModelProto) -> None:
    """Replace large fp32 weights by int8 ones with a scale for each slice of one axis.

    Symmetric, largest value to 127, the axis that loses less. Cast and Mul bring fp32 back; ONNX
    Runtime folds both away when it makes the session, so running costs what fp32 costs. Of a table
    of embeddings only the rows that were looked up are brought back, so that it stays small.
    """
    graph = proto.graph
    tables = _tables(graph)
    scales: dict[str, NDArray[np.float32]] = {}  # of the tables
    before: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or int(np.prod(tensor.dims)) < _SMALLEST:
            continue
        weight = numpy_helper.to_array(tensor)
        if weight.ndim < 2 or tensor.name.endswith(".scale"):  # the scales of what is in 8 bits
            continue
        small, scale = min(_in_8_bits(weight), key=lambda pair: _error(weight, *pair))
        name = tensor.name
        graph.initializer.remove(tensor)
        graph.initializer.append(numpy_helper.from_array(small, f"{name}.int8"))
        graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        if name in tables:
            scales[name] = scale
            continue
        before.append(
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.cast"], to=TensorProto.FLOAT)
        )
        before.append(helper.make_node("Mul", [f"{name}.cast", f"{name}.scale"], [name]))
    nodes = list(before)
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in scales:
            nodes.extend(_looked_up(node, len(scales[node.input[0]]) > 1))
        else:
            nodes.extend(_in_16_bits(node))
    del graph.node[:]
    graph.node.extend(nodes)


def _tables(graph: onnx.GraphProto) -> set[str]:
    """The constants [rows, columns] that nothing uses but to look up rows."""
    constants = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    others: set[str] = set()
    for node in graph.node:
        rows = node.op_type == "Gather" and all(each.i == 0 for each in node.attribute)  # the axis
        others.update(node.input[1:] if rows else node.input)
    return constants - others


def _looked_up(node: onnx.NodeProto, by_row: bool) -> Iterator[onnx.NodeProto]:
    """Rows of a table in 8 bits, in fp32; its scale is of the rows or of the columns."""
    (table, ids), (found,) = node.input, node.output
    yield helper.make_node("Gather", [f"{table}.int8", ids], [f"{found}.int8"], axis=0)
    yield helper.make_node("Cast", [f"{found}.int8"], [f"{found}.cast"], to=TensorProto.FLOAT)
    scale = f"{table}.scale"
    if by_row:
        scale = f"{found}.scale"
        yield helper.make_node("Gather", [f"{table}.scale", ids], [scale], axis=0)
    yield helper.make_node("Mul", [f"{found}.cast", scale], [found])


def _in_16_bits(node: onnx.NodeProto) -> Iterator[onnx.NodeProto]:
    """A large constant (a Fourier transform's table, which 8 bits would spoil) as fp16 and Cast."""
    if node.op_type == "Constant" and node.attribute[0].name == "value":
        table = numpy_helper.to_array(node.attribute[0].t)
        if table.dtype == np.float32 and table.size >= _SMALLEST:
            name = node.output[0]
            half = numpy_helper.from_array(table.astype(np.float16))
            yield helper.make_node("Constant", [], [f"{name}.fp16"], value=half)
            yield helper.make_node("Cast", [f"{name}.fp16"], [name], to=TensorProto.FLOAT)
            return
    yield node


def _in_8_bits(
    weight: NDArray[np.float32],
) -> Iterator[tuple[NDArray[np.int8], NDArray[np.float32]]]:
    """The weight with a scale for each slice of its first axis, and of its last."""
    for kept in (0, weight.ndim - 1):
        axes = tuple(axis for axis in range(weight.ndim) if axis != kept)
        scale = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(127)
        scale = np.where(scale == 0, np.float32(1), scale)
        yield np.rint(weight / scale).astype(np.int8), scale


def _error(
    weight: NDArray[np.float32], small: NDArray[np.int8], scale: NDArray[np.float32]
) -> float:
    return float(np.square(weight - small * scale).sum())
