"""`valle import`: a bundle's models as training runs, to go on from.

The way back from `valle export`, so that a voice of one's own, or more data, does not begin from
random weights. Weights that the bundle stores in 8 bits come back as their nearest 8-bit values.
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
from valle.training.export.quantization import from_blocks
from valle.training.models.ar import AR
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.detector import Detector, DetectorSize
from valle.training.models.listener import Listener, ListenerSize
from valle.training.models.nar import NAR
from valle.training.models.phonemes import VoiceInput
from valle.training.models.sizes import CODEBOOKS, ARSize, NARSize
from valle.training.models.speaker import SpeakerEncoder, SpeakerSize
from valle.training.run_folder import keep_borders, write_checkpoint

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Weights = dict[str, NDArray[Any]]


def import_bundle(bundle: Bundle, runs: Path) -> list[str]:
    """Write `runs`/codec, /listener, /speaker, /ar and /nar from a bundle's graphs, and /detector
    if it has one.

    Returns the names of the stages written.

    Raises:
        BundleError: a graph does not hold the weights of a model of ours.
        OutputError: there is a run already, which would be lost.
    """
    stages: dict[str, tuple[DataclassInstance, nn.Module]] = {}
    for stage, read in (
        ("codec", _codec),
        ("listener", _listener),
        ("speaker", _speaker),
        ("ar", _ar),
        ("nar", _nar),
        (DETECTOR, _detector),
    ):
        if stage == DETECTOR and stage not in bundle.config.graphs:
            continue
        try:
            stages[stage] = read(bundle)
        except KeyError as error:
            raise BundleError(_foreign(f"the {stage}'s graphs", [error.args[0]])) from None
    for stage in stages:
        if (runs / stage / "checkpoint.pt").exists():
            raise OutputError(f"{runs / stage} holds a run already; give another --runs")
    for stage, (size, module) in stages.items():
        folder = runs / stage
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "size.json").write_text(json.dumps(asdict(size)), encoding="utf-8")
        # No optimizer and no time spent: training goes on as from a start with good weights.
        if bundle.config.style is not None and stage in ("ar", "nar"):
            keep_borders(folder, np.array(bundle.config.style.borders))
        weights = {stage: module.state_dict()}
        write_checkpoint(folder / "checkpoint.pt", weights, step=0, spent_seconds=0.0)
    return list(stages)


def weights_of(bundle: Bundle, graph: str) -> Weights:
    """The weights of one graph by their names, in fp32."""
    proto = onnx.load_from_string(bundle.read_graph(graph))
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = from_blocks(proto)
    for name, value in stored.items():
        plain, _, part = name.rpartition(".")
        if part == "int8":
            scale = stored[f"{plain}.scale"]
            if scale.ndim < value.ndim:  # of a product in integers: one for each column
                scale = scale[..., None, :]
            weights[plain] = value.astype(np.float32) * scale
        elif not {plain, f"{plain}.int8"} & (weights.keys() | stored.keys()):
            weights[name] = value
    return weights


def _filled(module: nn.Module, weights: Weights, turned: bool, graph: str) -> None:
    """Fill a module; `turned`: the graph keeps the weights of linear layers transposed."""
    linear = {f"{name}.weight" for name, part in module.named_modules() if type(part) is nn.Linear}
    state: dict[str, Tensor] = {}
    for name in module.state_dict():
        if name not in weights:
            continue
        value = weights[name].T if turned and name in linear else weights[name]
        state[name] = torch.from_numpy(value.copy())
    missing = module.load_state_dict(state, strict=False).missing_keys
    if missing:
        raise BundleError(_foreign(graph, missing))


def _foreign(graph: str, missing: Sequence[str]) -> str:
    return (
        f"{graph} lack the weights {', '.join(missing[:3])}: only models that this version "
        "exported can be trained on"
    )


def _count(weights: Weights, prefix: str) -> int:
    """How many numbered blocks there are under a name."""
    places = (name[len(prefix) :].split(".")[0] for name in weights if name.startswith(prefix))
    return 1 + max((int(place) for place in places), default=-1)


def _codec(bundle: Bundle) -> tuple[CodecSize, Codec]:
    read = weights_of(bundle, "codec_encoder") | weights_of(bundle, "codec_decoder")
    weights = {name.removeprefix("codec."): value for name, value in read.items()}
    tables = weights["quantiser.tables"]
    size = CodecSize(
        encoder_layers=_count(weights, "encoder.blocks."),
        encoder_width=len(weights["encoder.input.bias"]),
        decoder_layers=_count(weights, "decoder.blocks."),
        decoder_width=len(weights["decoder.input.bias"]),
        latent=tables.shape[2],
        codebooks=tables.shape[0],
        codebook_size=tables.shape[1],
    )
    # The moving averages behind the tables are not kept in a bundle: as if each code had just
    # been used once.
    weights["quantiser.counts"] = np.ones(tables.shape[:2], np.float32)
    weights["quantiser.sums"] = tables
    weights["quantiser.started"] = np.array(True)
    codec = Codec(size)
    _filled(codec, weights, False, "codec_encoder.onnx or codec_decoder.onnx")
    return size, codec


def _listener(bundle: Bundle) -> tuple[ListenerSize, Listener]:
    weights = weights_of(bundle, "listener")
    size = ListenerSize(_count(weights, "blocks."), len(weights["input.bias"]))
    listener = Listener(size, len(LISTENER_SYMBOLS))
    _filled(listener, weights, False, "the listener's graph")
    return size, listener


def _speaker(bundle: Bundle) -> tuple[SpeakerSize, SpeakerEncoder]:
    weights = weights_of(bundle, "speaker")
    size = SpeakerSize(_count(weights, "blocks."), len(weights["input.bias"]))
    speaker = SpeakerEncoder(size)
    _filled(speaker, weights, False, "speaker.onnx")
    return size, speaker


def _detector(bundle: Bundle) -> tuple[DetectorSize, Detector]:
    weights = weights_of(bundle, DETECTOR)
    size = DetectorSize(_count(weights, "blocks."), len(weights["input.bias"]))
    detector = Detector(size)
    _filled(detector, weights, False, "detector.onnx")
    return size, detector


def _ar(bundle: Bundle) -> tuple[ARSize, AR]:
    phonemes = {f"phonemes.{k}": v for k, v in weights_of(bundle, "phonemes").items()}
    weights = weights_of(bundle, "ar") | phonemes
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
    _voice(weights, "phonemes.voice", ar.phonemes.voice)
    _filled(ar, weights, True, "ar.onnx or phonemes.onnx")
    return size, ar


def _nar(bundle: Bundle) -> tuple[NARSize, NAR]:
    weights = weights_of(bundle, "nar")
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
    _voice(weights, "voice", nar.voice)
    weights["tables"] = np.stack([weights[f"tables.{book}"] for book in range(CODEBOOKS)])
    _filled(nar, weights, True, "nar.onnx")
    return size, nar


def _voice(weights: Weights, name: str, voice: VoiceInput) -> None:
    """A graph folds the voice's scale into its weight."""
    weights[f"{name}.linear.weight"] = weights.pop(f"{name}.weight") / np.float32(voice.scale)
