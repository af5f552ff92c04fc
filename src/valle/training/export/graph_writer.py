"""How an ONNX graph is written down: nodes, weights, and the parts that several graphs share.

Each method adds what it computes and returns its name, for the next to read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from valle.training.models.nar import FEW, MANY, NEAR
from valle.training.models.phonemes import StyleInput, VoiceInput
from valle.training.models.quantizer import PATHS
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE
from valle.training.models.transformer import EPSILON, Block, CodeEmbedding

OPSET = 20
IR_VERSION = 10
MICROSOFT = "com.microsoft"
FLOAT = TensorProto.FLOAT


class GraphWriter:
    """Nodes and weights as they are written; every method returns the name of what it made."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, value: Tensor | NDArray[Any]) -> str:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        self.weights[name] = numpy_helper.from_array(array.copy(order="C"), name)
        return name

    def whole(self, value: int) -> str:
        """An int64 scalar constant."""
        return self.weight(f"whole_{value}", np.array(value, np.int64))

    def real(self, name: str, value: float) -> str:
        """An fp32 scalar constant."""
        return self.weight(name, np.array(value, np.float32))

    def axes(self, *values: int) -> str:
        """An int64 vector constant, as Reshape, Unsqueeze and ReduceSum take it."""
        return self.weight("axes_" + "_".join(map(str, values)), np.array(values, np.int64))

    def ops(
        self,
        kind: str,
        inputs: Sequence[str],
        outputs: int = 1,
        domain: str = "",
        **attributes: Any,
    ) -> list[str]:
        names = [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self.ops(kind, inputs, 1, domain, **attributes)[0]

    def linear(self, x: str, name: str, linear: nn.Linear) -> str:
        x = self.op("MatMul", x, self.weight(f"{name}.weight", linear.weight.T))
        if linear.bias is not None:
            x = self.op("Add", x, self.weight(f"{name}.bias", linear.bias))
        return x

    def norm(self, x: str, name: str, norm: nn.LayerNorm) -> str:
        scale = self.weight(f"{name}.weight", norm.weight)
        return self.op("LayerNormalization", x, scale, axis=-1, epsilon=EPSILON)

    def embedding(self, ids: str, name: str, embedding: nn.Embedding) -> str:
        return self.op("Gather", self.weight(name, embedding.weight), ids, axis=0)

    def codes(self, codes: str, embedding: CodeEmbedding) -> str:
        table = self.weight("codes.weight", embedding.weight)
        rows = self.op("Add", codes, self.weight("codes.offsets", embedding.offsets))
        absent = self.op("Equal", codes, self.whole(NO_CODE))
        rows = self.op("Where", absent, self.whole(CODEBOOKS * CODEBOOK_SIZE), rows)
        # Codebooks first: summed over the first axis, the order is the same for any number of rows.
        # Over the third, ONNX Runtime sums a single row in another order than several.
        rows = self.op("Transpose", rows, perm=[2, 0, 1])
        return self.op("ReduceSum", self.op("Gather", table, rows), self.axes(0), keepdims=0)

    def blocks(
        self, x: str, blocks: Iterable[nn.Module], attention: Callable[[int, str], str]
    ) -> str:
        """The transformer's blocks. `attention` takes the number of a layer and its queries, keys
        and values as one, and gives what its heads have mixed."""
        for i, block in enumerate(blocks):
            assert isinstance(block, Block)
            name = f"blocks.{i}"
            normed = self.norm(x, f"{name}.attention_norm", block.attention_norm)
            packed = self.linear(normed, f"{name}.query_key_value", block.query_key_value)
            mixed = self.linear(attention(i, packed), f"{name}.attention_out", block.attention_out)
            x = self.op("Add", x, mixed)
            fed = self.norm(x, f"{name}.feed_norm", block.feed_norm)
            fed = self.op("Gelu", self.linear(fed, f"{name}.feed_in", block.feed_in))
            x = self.op("Add", x, self.linear(fed, f"{name}.feed_out", block.feed_out))
        return x

    def voice(self, voice: VoiceInput) -> str:
        """The input `voice` [B, 192] as a row [B, 1, width] to add to all."""
        weight = voice.linear.weight.T * voice.scale
        row = self.op("MatMul", "voice", self.weight("voice.weight", weight))
        return self.op("Unsqueeze", row, self.axes(1))

    def style(self, style: StyleInput) -> str:
        """The input `style` [B, 5] as a row [B, 1, width] to add to all."""
        table = self.weight("style.weight", style.weight)
        rows = self.op("Add", "style", self.weight("style.offsets", style.offsets - 1))
        rows = self.op("Gather", table, self.op("Max", rows, self.whole(0)), axis=0)
        asked = self.op("CastLike", self.op("Greater", "style", self.whole(0)), rows)
        asked = self.op("Unsqueeze", asked, self.axes(-1))
        return self.op("ReduceSum", self.op("Mul", rows, asked), self.axes(1), keepdims=1)

    def residual_codes(self, rows: str, tables: Tensor) -> str:
        """`valle.training.models.quantizer.residual_codes`: rows [B, T, latent] -> codes
        [B, T, codebooks]."""
        _, size, _ = tables.shape
        left, codes = self.op("Unsqueeze", rows, self.axes(2)), ""
        for book, values in enumerate(tables, 1):
            table = self.weight(f"tables.{book}", values)
            twice = self.op(
                "MatMul", self.op("Add", left, left), self.op("Transpose", table, perm=[1, 0])
            )
            squares = self.op("ReduceSumSquare", table, self.axes(1), keepdims=0)
            far = self.op("Sub", squares, twice)
            if codes:  # rows are compared among themselves now, by what they have left
                far = self.op("Add", far, self.op("ReduceSumSquare", left, self.axes(3)))
            far = self.op("Reshape", far, self.axes(0, 0, -1))
            _, least = self.ops("TopK", [far, self.axes(PATHS)], 2, axis=-1, largest=0, sorted=1)
            path = self.op("Unsqueeze", self.op("Div", least, self.whole(size)), self.axes(3))
            code = self.op("Mod", least, self.whole(size))
            found = self.op("Gather", table, code, axis=0)
            left = self.op("Sub", self.op("GatherND", left, path, batch_dims=2), found)
            code = self.op("Unsqueeze", code, self.axes(3))
            if codes:
                code = self.op(
                    "Concat", self.op("GatherND", codes, path, batch_dims=2), code, axis=3
                )
            codes = code
        best = self.op("Slice", codes, self.axes(0), self.axes(1), self.axes(2))
        return self.op("Squeeze", best, self.axes(2))

    def residual_vectors(self, codes: str, tables: Tensor) -> str:
        """`valle.training.models.quantizer.residual_vectors` of codes [B, T, 8] after the first,
        by the tables that `residual_codes` names."""
        size = tables.shape[1]
        parts = []
        for book, values in enumerate(tables, 1):
            table = self.weight(f"tables.{book}", values)
            own = self.op("Gather", codes, self.whole(book), axis=2)
            there = self.op("Unsqueeze", self.op("Less", own, self.whole(size)), self.axes(2))
            own = self.op("Gather", table, self.op("Min", own, self.whole(size - 1)), axis=0)
            parts.append(self.op("Where", there, own, self.real("nothing", 0.0)))
        return self.op("Sum", *parts)

    def unsaid(self, values: Tensor) -> str:
        """`valle.training.models.nar.unsaid` of the inputs `codes`, `known` and `left`."""
        table = self.weight("tables.0", values)
        many = self.real("many", MANY)
        count = self.op("CastLike", self.op("Shape", "left", start=1, end=2), many)
        mean = self.op("ReduceSum", "left", self.axes(1), keepdims=1)
        mean = self.op("Div", mean, self.op("Add", count, many))
        first = self.op("Gather", "codes", self.whole(0), axis=2)
        one, other = (self.op("Gather", table, ids, axis=0) for ids in (first, "known"))
        ours = self.op("ReduceSumSquare", one, self.axes(2))
        theirs = self.op("ReduceSumSquare", other, self.axes(2))
        theirs = self.op("Transpose", theirs, perm=[0, 2, 1])
        like = self.op("MatMul", one, self.op("Transpose", other, perm=[0, 2, 1]))
        apart = self.op("Sub", self.op("Add", ours, theirs), self.op("Add", like, like))
        scale = self.op("ReduceMean", self.op("ReduceSumSquare", table, self.axes(1)), keepdims=0)
        scale = self.op("Mul", scale, self.real("near", -NEAR))
        near = self.op("Exp", self.op("Div", apart, scale))
        some = self.op("ReduceSum", near, self.axes(2))
        some = self.op("Add", some, self.real("few", FEW))
        own = self.op("Div", self.op("MatMul", near, self.op("Sub", "left", mean)), some)
        return self.op("Add", mean, own)

    def name(self, produced: str, wanted: str) -> str:
        """Call a result what the bundle calls it."""
        self.nodes.append(helper.make_node("Identity", [produced], [wanted]))
        return wanted

    def model(
        self, title: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes, title, inputs, outputs, initializer=list(self.weights.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="valle"
        )


def int64s(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def int32s(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT32, shape)


def floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, shape)
