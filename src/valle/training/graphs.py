"""The phoneme encoder, the AR and the NAR as ONNX graphs, written operator by operator.

Written, not traced: the AR's attention is ONNX Runtime's GroupQueryAttention over key/value buffers
that running allocates once and binds as input and output alike, which no tracer produces. Inputs,
outputs and shapes are those that a bundle promises; every graph takes any batch and any length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from valle.pointer import MOVES, STAYS
from valle.speaker import EMBEDDING
from valle.style import STYLES
from valle.training.models.ar import AR
from valle.training.models.nar import FEW, MANY, NAR, NEAR
from valle.training.models.phonemes import PADDING, PhonemeEncoder, StyleInput, VoiceInput
from valle.training.models.quantiser import PATHS
from valle.training.models.transformer import (
    EPSILON,
    Block,
    CodeEmbedding,
    inverse_frequencies,
)
from valle.training.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE

OPSET = 20
IR_VERSION = 10
MICROSOFT = "com.microsoft"
FLOAT = TensorProto.FLOAT


class _Graph:
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
        """`valle.training.models.quantiser.residual_codes`: rows [B, T, latent] -> codes
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
        """`valle.training.models.quantiser.residual_vectors` of codes [B, T, 8] after the first,
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


def _ids(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def _int32(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT32, shape)


def _floats(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, FLOAT, shape)


def _style_input(styled: bool) -> list[onnx.ValueInfoProto]:
    return [_ids("style", "batch", len(STYLES))] if styled else []


def phonemes_graph(encoder: PhonemeEncoder, styled: bool) -> onnx.ModelProto:
    """symbols, stress [B, S], voice [B, 192] -> encoded [B, S, width]; symbol -1 is padding.

    `styled`: also style [B, 5], classes from 0 (unset) to 8.
    """
    g = _Graph()
    known = g.op("Not", g.op("Equal", "symbols", g.whole(PADDING)))
    known = g.op("Cast", g.op("Unsqueeze", known, g.axes(-1)), to=FLOAT)
    symbols = g.op("Max", "symbols", g.whole(0))
    x = g.op(
        "Add",
        g.embedding(symbols, "symbols.weight", encoder.symbols),
        g.embedding("stress", "stress.weight", encoder.stress),
    )
    for i, (norm, convolution) in enumerate(zip(encoder.norms, encoder.convolutions, strict=True)):
        assert isinstance(norm, nn.LayerNorm) and isinstance(convolution, nn.Conv1d)
        assert convolution.bias is not None
        heard = g.op("Mul", g.norm(x, f"norms.{i}", norm), known)
        heard = g.op("Transpose", heard, perm=[0, 2, 1])
        kernel = g.weight(f"convolutions.{i}.weight", convolution.weight)
        bias = g.weight(f"convolutions.{i}.bias", convolution.bias)
        pad = convolution.kernel_size[0] // 2
        heard = g.op("Conv", heard, kernel, bias, pads=[pad, pad])
        x = g.op("Add", x, g.op("Gelu", g.op("Transpose", heard, perm=[0, 2, 1])))
    x = g.norm(x, "out_norm", encoder.out_norm)
    x = g.op("Add", x, g.voice(encoder.voice))
    if styled:
        x = g.op("Add", x, g.style(encoder.style))
    g.name(x, "encoded")
    width = encoder.symbols.embedding_dim
    return g.model(
        "phonemes",
        [
            _ids("symbols", "batch", "symbols"),
            _ids("stress", "batch", "symbols"),
            _floats("voice", "batch", EMBEDDING),
            *_style_input(styled),
        ],
        [_floats("encoded", "batch", "symbols", width)],
    )


def ar_graph(model: AR) -> onnx.ModelProto:
    """One call appends T rows to the key/value buffers and predicts their frames and moves.

    codes [B, T, 8], encoded [B, T, width], stay [B, T], past_key_i and past_value_i
    [B, H, max_positions, hd], seqlens_k int32 [B] (rows after this call, less one) and
    total_sequence_length int32 scalar (the longest item's rows after this call)
    -> logits [B, T, 1024], moves [B, T, 3], present_key_i, present_value_i.
    Without its phoneme encoder, which is a graph of its own.
    """
    size = model.size
    head = size.width // size.heads
    g = _Graph()
    # Made from the frequencies when the session is made: tables would be 1 MB of the bundle.
    positions = g.weight("positions", np.arange(size.max_positions, dtype=np.float32)[:, None])
    angles = g.op("Mul", positions, g.weight("frequencies", inverse_frequencies(head)))
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)
    stay = g.op("Min", "stay", g.whole(STAYS - 1))
    x = g.op("Add", g.codes("codes", model.codes), g.linear("encoded", "project", model.project))
    x = g.op("Add", x, g.embedding(stay, "stay.weight", model.stay))
    inputs = [
        _ids("codes", "batch", "rows", CODEBOOKS),
        _floats("encoded", "batch", "rows", size.width),
        _ids("stay", "batch", "rows"),
    ]
    outputs = [
        _floats("logits", "batch", "rows", CODEBOOK_SIZE),
        _floats("moves", "batch", "rows", MOVES),
    ]
    cache = ("batch", size.heads, size.max_positions, head)

    def attention(layer: int, packed: str) -> str:
        past = [f"past_key_{layer}", f"past_value_{layer}"]
        present = [f"present_key_{layer}", f"present_value_{layer}"]
        inputs.extend(_floats(each, *cache) for each in past)
        outputs.extend(_floats(each, *cache) for each in present)
        mixed = f"blocks.{layer}.mixed"
        g.nodes.append(
            helper.make_node(
                "GroupQueryAttention",
                [packed, "", "", *past, "seqlens_k", "total_sequence_length", cos, sin],
                [mixed, *present],
                domain=MICROSOFT,
                num_heads=size.heads,
                kv_num_heads=size.heads,
                do_rotary=1,
                rotary_interleaved=0,
            )
        )
        return mixed

    x = g.norm(g.blocks(x, model.blocks, attention), "out_norm", model.out_norm)
    g.name(g.linear(x, "code_head", model.code_head), "logits")
    g.name(g.linear(x, "move_head", model.move_head), "moves")
    inputs += [_int32("seqlens_k", "batch"), _int32("total_sequence_length")]
    return g.model("ar", inputs, outputs)


def nar_graph(model: NAR, styled: bool) -> onnx.ModelProto:
    """Rows that see the past (the prompt's keys and values) and one another.

    codes [B, T, 8], symbols, stress, positions [B, T], voice [B, 192], kind int64 scalar (0 the
    prompt's rows, 1 the target's), past_key, past_value [layers, B, H, P, hd] (P may be 0), known
    [B, K] and left [B, K, latent] (K may be 0): the prompt's first codebook and what is wanting
    where it is said, as of `valle.training.models.nar.unsaid`; plain [B, T, latent], from which
    what is said is moved away by strength (scalar) times what lies between them
    -> added [B, T, 7], the codes after the first, vector [B, T, latent], which they code, given
    [B, T, latent], what the codes given after the first add, key, value [layers, B, H, T, hd].
    `styled`: also style [B, 5], classes from 0 (unset) to 8.
    """
    size = model.size
    head = size.width // size.heads
    g = _Graph()
    x = g.op(
        "Add",
        g.codes("codes", model.codes),
        g.embedding("symbols", "symbols.weight", model.symbols),
    )
    x = g.op("Add", x, g.embedding("stress", "stress.weight", model.stress))
    x = g.op("Add", x, g.embedding("kind", "kind.weight", model.kind))
    x = g.op("Add", x, g.voice(model.voice))
    if styled:
        x = g.op("Add", x, g.style(model.style))
    # The rotation reads its angles from a table by number: one row here for each row there is.
    angles = g.op(
        "Mul",
        g.op("Cast", g.op("Reshape", "positions", g.axes(-1, 1)), to=FLOAT),
        g.weight("frequencies", inverse_frequencies(head)),
    )
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)  # [B * T, hd / 2]
    numbers = g.op("Range", g.whole(0), g.op("Size", "positions"), g.whole(1))
    numbers = g.op("Reshape", numbers, g.op("Shape", "positions"))
    apart = g.axes(0, 0, size.heads, head)

    def rotated(rows: str) -> str:
        return g.op(
            "RotaryEmbedding", rows, numbers, cos, sin, domain=MICROSOFT, num_heads=size.heads
        )

    def by_heads(rows: str) -> str:
        return g.op("Transpose", g.op("Reshape", rows, apart), perm=[0, 2, 1, 3])

    keys, values = [], []

    def attention(layer: int, packed: str) -> str:
        query, key, value = g.ops("Split", [packed], 3, axis=-1, num_outputs=3)
        key, value = by_heads(rotated(key)), by_heads(value)
        keys.append(g.op("Unsqueeze", key, g.axes(0)))
        values.append(g.op("Unsqueeze", value, g.axes(0)))
        number = g.whole(layer)
        return g.op(
            "MultiHeadAttention",
            rotated(query),
            g.op("Concat", g.op("Gather", "past_key", number), key, axis=2),
            g.op("Concat", g.op("Gather", "past_value", number), value, axis=2),
            domain=MICROSOFT,
            num_heads=size.heads,
        )

    x = g.norm(g.blocks(x, model.blocks, attention), "out_norm", model.out_norm)
    g.name(g.op("Concat", *keys, axis=0), "key")
    g.name(g.op("Concat", *values, axis=0), "value")
    vector = g.op("Add", g.linear(x, "output", model.output), g.unsaid(model.tables[0]))
    apart = g.op("Sub", vector, "plain")
    vector = g.op("Add", vector, g.op("Mul", apart, "strength"))
    g.name(vector, "vector")
    g.name(g.residual_codes(vector, model.tables[1:]), "added")
    g.name(g.residual_vectors("codes", model.tables[1:]), "given")
    past = (size.layers, "batch", size.heads, "past", head)
    own = (size.layers, "batch", size.heads, "rows", head)
    return g.model(
        "nar",
        [
            _ids("codes", "batch", "rows", CODEBOOKS),
            *(_ids(each, "batch", "rows") for each in ("symbols", "stress", "positions")),
            _floats("voice", "batch", EMBEDDING),
            _ids("kind"),
            _floats("past_key", *past),
            _floats("past_value", *past),
            _ids("known", "batch", "known"),
            _floats("left", "batch", "known", size.latent),
            _floats("plain", "batch", "rows", size.latent),
            _floats("strength"),
            *_style_input(styled),
        ],
        [
            _ids("added", "batch", "rows", CODEBOOKS - 1),
            _floats("vector", "batch", "rows", size.latent),
            _floats("given", "batch", "rows", size.latent),
            _floats("key", *own),
            _floats("value", *own),
        ],
    )
