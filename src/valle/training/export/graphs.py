"""The phoneme encoder, the AR and the NAR as ONNX graphs, written operator by operator.

Written, not traced: the AR's attention is ONNX Runtime's GroupQueryAttention over key/value buffers
that running allocates once and binds as input and output alike, which no tracer produces. Inputs,
outputs and shapes are those that a bundle promises; every graph takes any batch and any length.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from torch import nn

from valle.audio.prosody import STYLES
from valle.runtime.pointer import MOVES, STAYS
from valle.runtime.speaker_encoder import EMBEDDING
from valle.training.export.graph_writer import FLOAT, MICROSOFT, GraphWriter, floats, int32s, int64s
from valle.training.models.ar import AR
from valle.training.models.nar import NAR
from valle.training.models.phonemes import PADDING, PhonemeEncoder
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS
from valle.training.models.transformer import inverse_frequencies


def _style_input(styled: bool) -> list[onnx.ValueInfoProto]:
    return [int64s("style", "batch", len(STYLES))] if styled else []


def phonemes_graph(encoder: PhonemeEncoder, styled: bool) -> onnx.ModelProto:
    """symbols, stress [B, S], voice [B, 192] -> encoded [B, S, width]; symbol -1 is padding.

    `styled`: also style [B, 5], classes from 0 (unset) to 8.
    """
    g = GraphWriter()
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
            int64s("symbols", "batch", "symbols"),
            int64s("stress", "batch", "symbols"),
            floats("voice", "batch", EMBEDDING),
            *_style_input(styled),
        ],
        [floats("encoded", "batch", "symbols", width)],
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
    g = GraphWriter()
    # Made from the frequencies when the session is made: tables would be 1 MB of the bundle.
    positions = g.weight("positions", np.arange(size.max_positions, dtype=np.float32)[:, None])
    angles = g.op("Mul", positions, g.weight("frequencies", inverse_frequencies(head)))
    cos, sin = g.op("Cos", angles), g.op("Sin", angles)
    stay = g.op("Min", "stay", g.whole(STAYS - 1))
    x = g.op("Add", g.codes("codes", model.codes), g.linear("encoded", "project", model.project))
    x = g.op("Add", x, g.embedding(stay, "stay.weight", model.stay))
    inputs = [
        int64s("codes", "batch", "rows", CODEBOOKS),
        floats("encoded", "batch", "rows", size.width),
        int64s("stay", "batch", "rows"),
    ]
    outputs = [
        floats("logits", "batch", "rows", CODEBOOK_SIZE),
        floats("moves", "batch", "rows", MOVES),
    ]
    cache = ("batch", size.heads, size.max_positions, head)

    def attention(layer: int, packed: str) -> str:
        past = [f"past_key_{layer}", f"past_value_{layer}"]
        present = [f"present_key_{layer}", f"present_value_{layer}"]
        inputs.extend(floats(each, *cache) for each in past)
        outputs.extend(floats(each, *cache) for each in present)
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
            int64s("codes", "batch", "rows", CODEBOOKS),
            *(int64s(each, "batch", "rows") for each in ("symbols", "stress", "positions")),
            floats("voice", "batch", EMBEDDING),
            int64s("kind"),
            floats("past_key", *past),
            floats("past_value", *past),
            int64s("known", "batch", "known"),
            floats("left", "batch", "known", size.latent),
            floats("plain", "batch", "rows", size.latent),
            floats("strength"),
            *_style_input(styled),
        ],
        [
            int64s("added", "batch", "rows", CODEBOOKS - 1),
            floats("vector", "batch", "rows", size.latent),
            floats("given", "batch", "rows", size.latent),
            floats("key", *own),
            floats("value", *own),
        ],
    )
