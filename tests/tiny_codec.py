"""A codec so simple that its output is known, and a bundle configuration for it.

Encoder: codebook 0 of a frame is its mean level on a grid of 1/512, codebook 1 its highest sample;
the others are 0. Decoder: every sample of a frame is the level of codebook 0, so constant frames
are decoded exactly. With `mix` it also adds a little of the four frames ahead, as the real one may,
and `noise_gain` times its noise.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from valle.bundle.config import ARConfig, BundleConfig, NARConfig
from valle.bundle.writer import NewGraph

HOP, CODEBOOKS, SIZE, DELAY = 320, 8, 1024, 4
STEP = 512.0


def tiny_config(**changes: object) -> BundleConfig:
    """Return a valid configuration, with some fields replaced."""
    fields: dict[str, object] = {
        "name": "tiny",
        "language": "en-us",
        "sample_rate": 16000,
        "hop": HOP,
        "codebooks": CODEBOOKS,
        "codebook_size": SIZE,
        "symbols": ("<unknown>", "^", " ", ",", ".", "?", "!", "a", "b"),
        "listener_symbols": ("<blank>", "<pause>", "a", "b"),
        "decoder_delay": DELAY,
        "decoder_state": DELAY,
        "decoder_noise": HOP,
        "ar": ARConfig(
            layers=1, heads=1, width=8, max_positions=64, max_stay_phoneme=50, max_stay_border=75
        ),
        "nar": NARConfig(layers=1, heads=1, width=8, block=8, past=8, ahead=4, latent=16),
    }
    return BundleConfig.model_validate(fields | changes)


def codec_graphs(mix: bool = False, noise_gain: float = 0.0) -> dict[str, NewGraph]:
    """Return the graphs of the codec."""
    return {
        "codec_encoder": NewGraph(_encoder()),
        "codec_decoder": NewGraph(_decoder(mix, noise_gain)),
    }


def _encoder() -> bytes:
    nodes = [
        helper.make_node("Reshape", ["waveform", "to_frames"], ["frames"]),
        helper.make_node("ReduceMean", ["frames", "last"], ["mean"], keepdims=1),
        helper.make_node("ReduceMax", ["frames", "last"], ["peak"], keepdims=1),
        helper.make_node("Concat", ["mean", "peak"], ["levels"], axis=2),
        helper.make_node("Mul", ["levels", "step"], ["scaled"]),
        helper.make_node("Add", ["scaled", "step"], ["shifted"]),
        helper.make_node("Round", ["shifted"], ["rounded"]),
        helper.make_node("Clip", ["rounded", "low", "high"], ["clipped"]),
        helper.make_node("Cast", ["clipped"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Pad", ["whole", "six_more"], ["codes"]),
    ]
    return _model(
        nodes,
        {"waveform": (TensorProto.FLOAT, ["B", "N"])},
        {"codes": (TensorProto.INT64, ["B", "T", CODEBOOKS])},
        to_frames=np.array([0, -1, HOP]),
        last=np.array([2]),
        step=np.float32(STEP),
        low=np.float32(0),
        high=np.float32(SIZE - 1),
        six_more=np.array([0, 0, 0, 0, 0, CODEBOOKS - 2]),
    )


def _decoder(mix: bool, noise_gain: float) -> bytes:
    taps = np.array([1, 0.1, 0.2, 0.3, 0.4] if mix else [1, 0, 0, 0, 0], np.float32)
    nodes = [
        helper.make_node("Slice", ["codes", "zero", "one", "axis"], ["first"]),
        helper.make_node("Squeeze", ["first", "axis"], ["first_code"]),
        helper.make_node("Equal", ["first_code", "absent"], ["missing"]),
        helper.make_node("Cast", ["first_code"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["number", "step"], ["centered"]),
        helper.make_node("Div", ["centered", "step"], ["decoded"]),
        helper.make_node("Where", ["missing", "silence", "decoded"], ["level"]),
        helper.make_node("Concat", ["state", "level"], ["row"], axis=1),
        helper.make_node("Slice", ["row", "minus_delay", "far", "one"], ["state_out"]),
        helper.make_node("Unsqueeze", ["row", "one"], ["channel"]),
        helper.make_node("Conv", ["channel", "taps"], ["mixed"]),  # frame t mixes t-4 to t
        helper.make_node("Transpose", ["mixed"], ["columns"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["columns", "hop_of_ones"], ["constant"]),
        helper.make_node("Mul", ["noise", "noise_gain"], ["scaled_noise"]),
        helper.make_node("Add", ["constant", "scaled_noise"], ["frames"]),
        helper.make_node("Reshape", ["frames", "to_row"], ["waveform"]),
    ]
    return _model(
        nodes,
        {
            "codes": (TensorProto.INT64, ["B", "T", CODEBOOKS]),
            "state": (TensorProto.FLOAT, ["B", DELAY]),
            "voice": (TensorProto.FLOAT, ["B", 192]),  # has no effect
            "noise": (TensorProto.FLOAT, ["B", "T", HOP]),
        },
        {
            "waveform": (TensorProto.FLOAT, ["B", "N"]),
            "state_out": (TensorProto.FLOAT, ["B", DELAY]),
        },
        zero=np.array([0]),
        one=np.array([1]),
        axis=np.array([2]),
        far=np.array([2**31]),
        minus_delay=np.array([-DELAY]),
        absent=np.int64(SIZE),
        step=np.float32(STEP),
        silence=np.float32(0),
        taps=taps.reshape(1, 1, 5),
        hop_of_ones=np.ones((1, 1, HOP), np.float32),
        noise_gain=np.float32(noise_gain),
        to_row=np.array([0, -1]),
    )


def _model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[str | int]]],
    outputs: dict[str, tuple[int, list[str | int]]],
    **constants: object,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    data: bytes = model.SerializeToString()
    return data
