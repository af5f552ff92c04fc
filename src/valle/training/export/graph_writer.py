"""A writer of ONNX graphs: nodes, weights, and the parts that several graphs share.

Each method adds nodes and returns the name of their result, to be passed to the next method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from valle.training.models.nar import KERNEL_WIDTH, PRIOR_FRAMES, PRIOR_NEIGHBORS
from valle.training.models.phonemes import SpeakerConditioning, StyleConditioning
from valle.training.models.quantizer import BEAM
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE
from valle.training.models.transformer import EPSILON, Block, CodeEmbedding

OPSET = 20
IR_VERSION = 10
MICROSOFT = "com.microsoft"
FLOAT = TensorProto.FLOAT


class GraphWriter:
    """Collects nodes and weights; every method returns the name of its result."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: dict[str, onnx.TensorProto] = {}

    def weight(self, name: str, value: Tensor | NDArray[Any]) -> str:
        """A constant tensor."""
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
        """A node with several outputs."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, domain=domain, **attributes))
        return names

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node with one output."""
        return self.ops(kind, inputs, 1, domain, **attributes)[0]

    def linear(self, x: str, name: str, linear: nn.Linear) -> str:
        """A linear layer."""
        x = self.op("MatMul", x, self.weight(f"{name}.weight", linear.weight.T))
        if linear.bias is not None:
            x = self.op("Add", x, self.weight(f"{name}.bias", linear.bias))
        return x

    def norm(self, x: str, name: str, norm: nn.LayerNorm) -> str:
        """A LayerNorm without bias."""
        scale = self.weight(f"{name}.weight", norm.weight)
        return self.op("LayerNormalization", x, scale, axis=-1, epsilon=EPSILON)

    def embedding(self, ids: str, name: str, embedding: nn.Embedding) -> str:
        """Rows of an embedding table."""
        return self.op("Gather", self.weight(name, embedding.weight), ids, axis=0)

    def codes(self, codes: str, embedding: CodeEmbedding) -> str:
        """Codes [B, T, 8] -> the sum of their embeddings [B, T, width]."""
        table = self.weight("codes.weight", embedding.weight)
        rows = self.op("Add", codes, self.weight("codes.offsets", embedding.offsets))
        absent = self.op("Equal", codes, self.whole(NO_CODE))
        rows = self.op("Where", absent, self.whole(CODEBOOKS * CODEBOOK_SIZE), rows)
        # Codebooks first: a sum over the first axis has the same order for any number of rows. Over
        # the third axis, ONNX Runtime sums a single row in another order than several.
        rows = self.op("Transpose", rows, perm=[2, 0, 1])
        return self.op("ReduceSum", self.op("Gather", table, rows), self.axes(0), keepdims=0)

    def blocks(
        self, x: str, blocks: Iterable[nn.Module], attention: Callable[[int, str], str]
    ) -> str:
        """The transformer's blocks.

        Args:
            x: rows [B, T, width].
            blocks: of the model.
            attention: from a layer's number and its concatenated queries, keys and values, writes
                the output of its heads.
        """
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

    def voice(self, voice: SpeakerConditioning) -> str:
        """The input `voice` [B, 192] as a row [B, 1, width] to add to all rows."""
        weight = voice.linear.weight.T * voice.scale
        row = self.op("MatMul", "voice", self.weight("voice.weight", weight))
        return self.op("Unsqueeze", row, self.axes(1))

    def style(self, style: StyleConditioning) -> str:
        """The input `style` [B, 5] as a row [B, 1, width] to add to all rows."""
        table = self.weight("style.weight", style.weight)
        rows = self.op("Add", "style", self.weight("style.offsets", style.offsets - 1))
        rows = self.op("Gather", table, self.op("Max", rows, self.whole(0)), axis=0)
        is_set = self.op("CastLike", self.op("Greater", "style", self.whole(0)), rows)
        is_set = self.op("Unsqueeze", is_set, self.axes(-1))
        return self.op("ReduceSum", self.op("Mul", rows, is_set), self.axes(1), keepdims=1)

    def residual_codes(self, rows: str, codebooks: Tensor) -> str:
        """Write `valle.training.models.quantizer.residual_codes`.

        rows [B, T, latent] -> codes [B, T, codebooks].
        """
        _, size, _ = codebooks.shape
        residual, codes = self.op("Unsqueeze", rows, self.axes(2)), ""
        for book, values in enumerate(codebooks, 1):
            table = self.weight(f"tables.{book}", values)
            twice = self.op(
                "MatMul",
                self.op("Add", residual, residual),
                self.op("Transpose", table, perm=[1, 0]),
            )
            squares = self.op("ReduceSumSquare", table, self.axes(1), keepdims=0)
            distance = self.op("Sub", squares, twice)
            if codes:  # candidates have different residuals now, whose norms count
                norm = self.op("ReduceSumSquare", residual, self.axes(3))
                distance = self.op("Add", distance, norm)
            distance = self.op("Reshape", distance, self.axes(0, 0, -1))
            _, best = self.ops("TopK", [distance, self.axes(BEAM)], 2, axis=-1, largest=0, sorted=1)
            candidate = self.op("Unsqueeze", self.op("Div", best, self.whole(size)), self.axes(3))
            code = self.op("Mod", best, self.whole(size))
            vector = self.op("Gather", table, code, axis=0)
            residual = self.op("GatherND", residual, candidate, batch_dims=2)
            residual = self.op("Sub", residual, vector)
            code = self.op("Unsqueeze", code, self.axes(3))
            if codes:
                code = self.op(
                    "Concat", self.op("GatherND", codes, candidate, batch_dims=2), code, axis=3
                )
            codes = code
        first = self.op("Slice", codes, self.axes(0), self.axes(1), self.axes(2))
        return self.op("Squeeze", first, self.axes(2))

    def residual_vectors(self, codes: str, codebooks: Tensor) -> str:
        """Write `valle.training.models.quantizer.residual_vectors`.

        Of codes [B, T, 8] after the first, with the codebooks that `residual_codes` has written.
        """
        size = codebooks.shape[1]
        parts = []
        for book, values in enumerate(codebooks, 1):
            table = self.weight(f"tables.{book}", values)
            code = self.op("Gather", codes, self.whole(book), axis=2)
            exists = self.op("Unsqueeze", self.op("Less", code, self.whole(size)), self.axes(2))
            vector = self.op("Gather", table, self.op("Min", code, self.whole(size - 1)), axis=0)
            parts.append(self.op("Where", exists, vector, self.real("nothing", 0.0)))
        return self.op("Sum", *parts)

    def residual_correction(self, codebook: Tensor) -> str:
        """Write `valle.training.models.nar.residual_correction`.

        Its inputs are `codes`, `known` (the prompt's first codes) and `left` (its prediction
        residuals).
        """
        table = self.weight("tables.0", codebook)
        prior_frames = self.real("many", PRIOR_FRAMES)
        count = self.op("CastLike", self.op("Shape", "left", start=1, end=2), prior_frames)
        mean = self.op("ReduceSum", "left", self.axes(1), keepdims=1)
        mean = self.op("Div", mean, self.op("Add", count, prior_frames))
        first = self.op("Gather", "codes", self.whole(0), axis=2)
        query, key = (self.op("Gather", table, ids, axis=0) for ids in (first, "known"))
        query_norm = self.op("ReduceSumSquare", query, self.axes(2))
        key_norm = self.op("ReduceSumSquare", key, self.axes(2))
        key_norm = self.op("Transpose", key_norm, perm=[0, 2, 1])
        product = self.op("MatMul", query, self.op("Transpose", key, perm=[0, 2, 1]))
        norms = self.op("Add", query_norm, key_norm)
        distance = self.op("Sub", norms, self.op("Add", product, product))
        scale = self.op("ReduceMean", self.op("ReduceSumSquare", table, self.axes(1)), keepdims=0)
        scale = self.op("Mul", scale, self.real("near", -KERNEL_WIDTH))
        kernel = self.op("Exp", self.op("Div", distance, scale))
        total = self.op("ReduceSum", kernel, self.axes(2))
        total = self.op("Add", total, self.real("few", PRIOR_NEIGHBORS))
        local = self.op("Div", self.op("MatMul", kernel, self.op("Sub", "left", mean)), total)
        return self.op("Add", mean, local)

    def name(self, result: str, output: str) -> str:
        """Give a result the name of a graph output."""
        self.nodes.append(helper.make_node("Identity", [result], [output]))
        return output

    def model(
        self, title: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The finished model."""
        graph = helper.make_graph(
            self.nodes, title, inputs, outputs, initializer=list(self.weights.values())
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="valle"
        )


def int64s(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """An int64 input or output; a string in the shape names a dynamic axis."""
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def int32s(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """An int32 input or output."""
    return helper.make_tensor_value_info(name, TensorProto.INT32, shape)


def floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """An fp32 input or output."""
    return helper.make_tensor_value_info(name, FLOAT, shape)
