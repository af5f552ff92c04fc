"""The phoneme encoder, the AR and the NAR as ONNX graphs, written operator by operator.

They are not traced, because the AR's attention is ONNX Runtime's GroupQueryAttention over key/value
buffers that are allocated once and bound as both input and output, which no tracer produces. Every
graph takes any batch size and any length.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from torch import nn

from valle.audio.prosody import STYLES
from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS, TRANSITIONS
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.export.graph_writer import FLOAT, MICROSOFT, GraphWriter, floats, int32s, int64s
from valle.training.models.ar import AR
from valle.training.models.nar import NAR
from valle.training.models.phonemes import PADDING, PhonemeEncoder
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NARSize
from valle.training.models.transformer import inverse_frequencies


def _style_input(styled: bool) -> list[onnx.ValueInfoProto]:
    return [int64s("style", "batch", len(STYLES))] if styled else []


def phonemes_graph(encoder: PhonemeEncoder, styled: bool) -> onnx.ModelProto:
    """symbols, stress [B, S], voice [B, 192] -> encoded [B, S, width]; symbol -1 is padding.

    With `styled` there is also style [B, 5], bins from 0 (unset) to 8.
    """
    g = GraphWriter()
    is_real = g.op("Not", g.op("Equal", "symbols", g.whole(PADDING)))
    is_real = g.op("Cast", g.op("Unsqueeze", is_real, g.axes(-1)), to=FLOAT)
    symbols = g.op("Max", "symbols", g.whole(0))
    x = g.op(
        "Add",
        g.embedding(symbols, "symbols.weight", encoder.symbols),
        g.embedding("stress", "stress.weight", encoder.stress),
    )
    for i, (norm, convolution) in enumerate(zip(encoder.norms, encoder.convolutions, strict=True)):
        assert isinstance(norm, nn.LayerNorm)
        assert isinstance(convolution, nn.Conv1d)
        assert convolution.bias is not None
        convolved = g.op("Mul", g.norm(x, f"norms.{i}", norm), is_real)
        convolved = g.op("Transpose", convolved, perm=[0, 2, 1])
        kernel = g.weight(f"convolutions.{i}.weight", convolution.weight)
        bias = g.weight(f"convolutions.{i}.bias", convolution.bias)
        pad = convolution.kernel_size[0] // 2
        convolved = g.op("Conv", convolved, kernel, bias, pads=[pad, pad])
        x = g.op("Add", x, g.op("Gelu", g.op("Transpose", convolved, perm=[0, 2, 1])))
    x = g.norm(x, "out_norm", encoder.out_norm)
    x = g.op("Add", x, g.voice(encoder.voice))
    if styled:
        x = g.op("Add", x, g.style(encoder.style))
    g.name(x, "encoded")
    width = encoder.symbols.embedding_dim
    return g.model(
        "phonemes",
        [
            int64s("symbols", "batch", "symbols"),
            int64s("stress", "batch", "symbols"),
            floats("voice", "batch", EMBEDDING_DIM),
            *_style_input(styled),
        ],
        [floats("encoded", "batch", "symbols", width)],
    )


def ar_graph(model: AR) -> onnx.ModelProto:
    """One call appends T rows to the key/value buffers and predicts their codes and transitions.

    codes [B, T, 8], encoded [B, T, width], stay [B, T], past_key_i and past_value_i
    [B, H, max_positions, hd], seqlens_k int32 [B] (rows after this call, minus one) and
    total_sequence_length int32 scalar (rows of the longest item after this call)
    -> logits [B, T, 1024], moves [B, T, 3], present_key_i, present_value_i.
    The phoneme encoder is a graph of its own.
    """
    size = model.size
    head = size.width // size.heads
    g = GraphWriter()
    # Computed when a session is created: as constants they would take 1 MB of the bundle.
    positions = g.weight("positions", np.arange(size.max_positions, dtype=np.float32)[:, None])
    angles = g.op("Mul", positions, g.weight("frequencies", inverse_frequencies(head)))
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)
    stay = g.op("Min", "stay", g.whole(FRAMES_ON_SYMBOL_BINS - 1))
    x = g.op("Add", g.codes("codes", model.codes), g.linear("encoded", "project", model.project))
    x = g.op("Add", x, g.embedding(stay, "stay.weight", model.stay))
    inputs = [
        int64s("codes", "batch", "rows", CODEBOOKS),
        floats("encoded", "batch", "rows", size.width),
        int64s("stay", "batch", "rows"),
    ]
    outputs = [
        floats("logits", "batch", "rows", CODEBOOK_SIZE),
        floats("moves", "batch", "rows", TRANSITIONS),
    ]
    cache = ("batch", size.heads, size.max_positions, head)

    def attention(layer: int, packed: str) -> str:
        past = [f"past_key_{layer}", f"past_value_{layer}"]
        present = [f"present_key_{layer}", f"present_value_{layer}"]
        inputs.extend(floats(name, *cache) for name in past)
        outputs.extend(floats(name, *cache) for name in present)
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
    inputs += [int32s("seqlens_k", "batch"), int32s("total_sequence_length")]
    return g.model("ar", inputs, outputs)


def nar_graph(model: NAR, styled: bool) -> onnx.ModelProto:
    """Rows that attend to the past (keys and values of the prompt) and to each other.

    Inputs: codes [B, T, 8]; symbols, stress, positions [B, T]; voice [B, 192]; kind, an int64
    scalar (0 for the prompt's rows, 1 for the target's); past_key, past_value
    [layers, B, H, P, hd] (P may be 0); known [B, K] and left [B, K, latent] (K may be 0), the
    prompt's first codes and its prediction residuals, see
    `valle.training.models.nar.residual_correction`; plain [B, T, latent], the unconditional
    prediction for guidance, and strength, a scalar, the guidance scale; with `styled`, style
    [B, 5], bins from 0 (unset) to 8.

    Outputs: added [B, T, 7], the residual codes; vector [B, T, latent], the predicted sum of their
    vectors; given [B, T, latent], the sum of the vectors of the residual codes in the input; key,
    value [layers, B, H, T, hd].
    """
    size = model.size
    head = size.width // size.heads
    g = GraphWriter()
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
    # The rotary operator looks up angles by index: here every row has its own entry.
    angles = g.op(
        "Mul",
        g.op("Cast", g.op("Reshape", "positions", g.axes(-1, 1)), to=FLOAT),
        g.weight("frequencies", inverse_frequencies(head)),
    )
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)  # [B * T, hd / 2]
    indices = g.op("Range", g.whole(0), g.op("Size", "positions"), g.whole(1))
    indices = g.op("Reshape", indices, g.op("Shape", "positions"))
    split_heads = g.axes(0, 0, size.heads, head)

    def rotated(rows: str) -> str:
        return g.op(
            "RotaryEmbedding", rows, indices, cos, sin, domain=MICROSOFT, num_heads=size.heads
        )

    def by_heads(rows: str) -> str:
        return g.op("Transpose", g.op("Reshape", rows, split_heads), perm=[0, 2, 1, 3])

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
    vector = g.op(
        "Add", g.linear(x, "output", model.output), g.residual_correction(model.tables[0])
    )
    difference = g.op("Sub", vector, "plain")
    vector = g.op("Add", vector, g.op("Mul", difference, "strength"))
    g.name(vector, "vector")
    g.name(g.residual_codes(vector, model.tables[1:]), "added")
    g.name(g.residual_vectors("codes", model.tables[1:]), "given")
    return g.model("nar", _nar_inputs(size, styled), _nar_outputs(size))


def _nar_inputs(size: NARSize, styled: bool) -> list[onnx.ValueInfoProto]:
    past = (size.layers, "batch", size.heads, "past", size.width // size.heads)
    return [
        int64s("codes", "batch", "rows", CODEBOOKS),
        *(int64s(name, "batch", "rows") for name in ("symbols", "stress", "positions")),
        floats("voice", "batch", EMBEDDING_DIM),
        int64s("kind"),
        floats("past_key", *past),
        floats("past_value", *past),
        int64s("known", "batch", "known"),
        floats("left", "batch", "known", size.latent),
        floats("plain", "batch", "rows", size.latent),
        floats("strength"),
        *_style_input(styled),
    ]


def _nar_outputs(size: NARSize) -> list[onnx.ValueInfoProto]:
    rows = (size.layers, "batch", size.heads, "rows", size.width // size.heads)
    return [
        int64s("added", "batch", "rows", CODEBOOKS - 1),
        floats("vector", "batch", "rows", size.latent),
        floats("given", "batch", "rows", size.latent),
        floats("key", *rows),
        floats("value", *rows),
    ]
