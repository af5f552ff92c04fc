"""`valle import`: a bundle's models as training runs, to continue training.

The inverse of `valle export`, to fine-tune on a new voice or more data instead of starting from
random weights. Weights that the bundle stores in 8 bits are dequantized.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from valle.bundle.bundle import Bundle
from valle.detection.detector import GRAPH as DETECTOR
from valle.errors import BundleError, OutputError
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.export.quantization import read_blockwise
from valle.training.models.ar import AR
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.convnext import ConvNeXtSize
from valle.training.models.detector import Detector
from valle.training.models.listener import Listener
from valle.training.models.nar import NAR
from valle.training.models.phonemes import SpeakerConditioning
from valle.training.models.sizes import CODEBOOKS, ARSize, NARSize
from valle.training.models.speaker import SpeakerEncoder
from valle.training.run_folder import (
    CHECKPOINT,
    SIZE,
    Origin,
    save_bin_edges,
    save_origin,
    write_checkpoint,
)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Weights = dict[str, NDArray[Any]]


def import_bundle(bundle: Bundle, runs: Path) -> list[str]:
    """Write `runs`/codec, /listener, /speaker, /ar, /nar and /detector from a bundle's graphs.

    The detector is left out if the bundle has none.

    Returns:
        The names of the stages written.

    Raises:
        BundleError: a graph does not have the weights of a model of this program.
        OutputError: there already is a run, which would be lost.
    """
    stages: dict[str, tuple[DataclassInstance, nn.Module]] = {}
    for stage, load in (
        ("codec", _load_codec),
        ("listener", _load_listener),
        ("speaker", _load_speaker),
        ("ar", _load_ar),
        ("nar", _load_nar),
        (DETECTOR, _load_detector),
    ):
        if stage == DETECTOR and stage not in bundle.config.graphs:
            continue
        try:
            stages[stage] = load(bundle)
        except KeyError as error:
            raise BundleError(_explain_foreign(f"the {stage}'s graph", [error.args[0]])) from None
    for stage in stages:
        if (runs / stage / CHECKPOINT).exists():
            raise OutputError(f"{runs / stage} already has a run; give another --runs")
    config = bundle.config
    origin = Origin(
        bundle=config.name,
        graphs={name: graph.sha256 for name, graph in config.graphs.items()},
        consents=config.consents,
    )
    for stage, (size, module) in stages.items():
        folder = runs / stage
        folder.mkdir(parents=True, exist_ok=True)
        save_origin(folder, origin)
        (folder / SIZE).write_text(json.dumps(asdict(size)), encoding="utf-8")
        # Without an optimizer or spent time: training starts from these weights.
        if bundle.config.style is not None and stage in ("ar", "nar"):
            save_bin_edges(folder, np.array(bundle.config.style.borders))
        weights = {stage: module.state_dict()}
        write_checkpoint(folder / CHECKPOINT, weights, step=0, spent_seconds=0.0)
    return list(stages)


def load_language_models(bundle: Bundle) -> tuple[AR, NAR]:
    """Load a bundle's AR and NAR in evaluation mode, in fp32.

    Raises:
        BundleError: a graph does not have the weights of a model of this program.
    """
    try:
        (_, ar), (_, nar) = _load_ar(bundle), _load_nar(bundle)
    except KeyError as error:
        raise BundleError(_explain_foreign("a graph", [error.args[0]])) from None
    return ar.eval(), nar.eval()


def read_graph_weights(bundle: Bundle, graph: str) -> Weights:
    """Read the weights of one graph by name, in fp32."""
    proto = onnx.load_from_string(bundle.read_graph(graph))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = read_blockwise(proto)
    for name, value in stored.items():
        base, _, part = name.rpartition(".")
        if part == "int8":
            scale = stored[f"{base}.scale"]
            if scale.ndim < value.ndim:  # by `quantize_dynamic_int8`: one per column
                scale = scale[..., None, :]
            weights[base] = value.astype(np.float32) * scale
        elif not {base, f"{base}.int8"} & (weights.keys() | stored.keys()):
            weights[name] = value
    return weights


def _load_weights(module: nn.Module, weights: Weights, transposed: bool, graph: str) -> None:
    """Load a module's weights; `transposed`: the graph has those of linear layers transposed."""
    linear = {f"{name}.weight" for name, part in module.named_modules() if type(part) is nn.Linear}
    state: dict[str, Tensor] = {}
    for name in module.state_dict():
        if name not in weights:
            continue
        value = weights[name].T if transposed and name in linear else weights[name]
        state[name] = torch.from_numpy(value.copy())
    missing = module.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise BundleError(_explain_foreign(graph, missing))


def _explain_foreign(graph: str, missing: Sequence[str]) -> str:
    return (
        f"{graph} lacks the weights {', '.join(missing[:3])}: only models that this version "
        "exported can be trained further"
    )


def _count_blocks(weights: Weights, prefix: str) -> int:
    """Count the numbered blocks with a prefix."""
    numbers = (name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix))
    return 1 + max((int(number) for number in numbers), default=-1)


def _load_codec(bundle: Bundle) -> tuple[CodecSize, Codec]:
    encoder = read_graph_weights(bundle, "codec_encoder")
    traced = encoder | read_graph_weights(bundle, "codec_decoder")
    weights = {name.removeprefix("codec."): value for name, value in traced.items()}
    codebooks = weights["quantiser.tables"]
    size = CodecSize(
        encoder_layers=_count_blocks(weights, "encoder.blocks."),
        encoder_width=len(weights["encoder.input.bias"]),
        decoder_layers=_count_blocks(weights, "decoder.blocks."),
        decoder_width=len(weights["decoder.input.bias"]),
        latent=codebooks.shape[2],
        codebooks=codebooks.shape[0],
        codebook_size=codebooks.shape[1],
    )
    # A bundle does not have the moving averages of the codebooks; they restart as if each code had
    # been used once.
    weights["quantiser.counts"] = np.ones(codebooks.shape[:2], np.float32)
    weights["quantiser.sums"] = codebooks
    weights["quantiser.started"] = np.array(True)
    codec = Codec(size)
    _load_weights(codec, weights, False, "codec_encoder.onnx or codec_decoder.onnx")
    return size, codec


def _load_listener(bundle: Bundle) -> tuple[ConvNeXtSize, Listener]:
    weights = read_graph_weights(bundle, "listener")
    size = ConvNeXtSize(_count_blocks(weights, "blocks."), len(weights["input.bias"]))
    listener = Listener(size, len(LISTENER_SYMBOLS))
    _load_weights(listener, weights, False, "the listener's graph")
    return size, listener


def _load_speaker(bundle: Bundle) -> tuple[ConvNeXtSize, SpeakerEncoder]:
    weights = read_graph_weights(bundle, "speaker")
    size = ConvNeXtSize(_count_blocks(weights, "blocks."), len(weights["input.bias"]))
    speaker = SpeakerEncoder(size)
    _load_weights(speaker, weights, False, "speaker.onnx")
    return size, speaker


def _load_detector(bundle: Bundle) -> tuple[ConvNeXtSize, Detector]:
    weights = read_graph_weights(bundle, DETECTOR)
    size = ConvNeXtSize(_count_blocks(weights, "blocks."), len(weights["input.bias"]))
    detector = Detector(size)
    _load_weights(detector, weights, False, "detector.onnx")
    return size, detector


def _load_ar(bundle: Bundle) -> tuple[ARSize, AR]:
    phonemes = {f"phonemes.{k}": v for k, v in read_graph_weights(bundle, "phonemes").items()}
    weights = read_graph_weights(bundle, "ar") | phonemes
    config = bundle.config.ar
    size = ARSize(
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        feed_forward=len(weights["blocks.0.feed_in.bias"]),
        dropout=0.0,
        max_positions=config.max_positions,
    )
    ar = AR(size, len(SYMBOLS))
    _unfold_scale(weights, "phonemes.voice", ar.phonemes.voice)
    _load_weights(ar, weights, True, "ar.onnx or phonemes.onnx")
    return size, ar


def _load_nar(bundle: Bundle) -> tuple[NARSize, NAR]:
    weights = read_graph_weights(bundle, "nar")
    config = bundle.config.nar
    size = NARSize(
        layers=config.layers,
        heads=config.heads,
        width=config.width,
        feed_forward=len(weights["blocks.0.feed_in.bias"]),
        dropout=0.0,
        latent=config.latent,
        block=config.block,
        past=config.past,
        ahead=config.ahead,
    )
    nar = NAR(size, len(SYMBOLS))
    _unfold_scale(weights, "voice", nar.voice)
    weights["tables"] = np.stack([weights[f"tables.{book}"] for book in range(CODEBOOKS)])
    _load_weights(nar, weights, True, "nar.onnx")
    return size, nar


def _unfold_scale(weights: Weights, name: str, voice: SpeakerConditioning) -> None:
    """Undo the folding of the embedding's scale into its weight."""
    weights[f"{name}.linear.weight"] = weights.pop(f"{name}.weight") / np.float32(voice.scale)
