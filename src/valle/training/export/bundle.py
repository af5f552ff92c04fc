"""`valle export`: trained models become a bundle, the only thing that the running half reads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from valle.bundle.bundle import Bundle
from valle.bundle.config import ARConfig, BundleConfig, NARConfig, Precision, StyleConfig
from valle.bundle.writer import NewGraph, write_bundle
from valle.corpora.store import HOP, SAMPLE_RATE
from valle.detection.detector import GRAPH as DETECTOR
from valle.errors import UsageError
from valle.runtime.speaker_encoder import EMBEDDING
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.checkpoints import (
    load_ar,
    load_codec,
    load_detector,
    load_listener,
    load_nar,
    load_speaker,
)
from valle.training.export.cohort import kept_cohort
from valle.training.export.graphs import ar_graph, nar_graph, phonemes_graph
from valle.training.export.half_precision import compute_in_halves
from valle.training.export.quantization import (
    multiply_in_blocks,
    multiply_in_integers,
    store_in_8_bits,
)
from valle.training.models.ar import AR
from valle.training.models.codec import CODEC_SIZES, DELAY, NOISE, Codec
from valle.training.models.detector import Detector
from valle.training.models.listener import LISTENER_SIZES, Listener
from valle.training.models.nar import NAR
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, size_named
from valle.training.models.speaker import SPEAKER_SIZES, SpeakerEncoder
from valle.training.run_folder import kept_borders, same_borders

_MAX_STAY_PHONEME, _MAX_STAY_BORDER = 50, 75  # frames: 1 s on a sound, 1.5 s of silence
Preset = Literal["fp32", "fp16", "int8", "fast8", "fast4"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
CARD_NAME = "MODEL_CARD.md"
_JITTER = 0.05  # of random models: added to every weight


@dataclass(frozen=True)
class Models:
    """All models of a bundle, trained to fit together: one codec under the AR and the NAR."""

    codec: Codec
    listener: Listener
    speaker: SpeakerEncoder
    ar: AR
    nar: NAR
    style_borders: NDArray[np.float64] | None = None
    """[5, 7]; None: they know no styles, and the graphs do not ask for one."""
    detector: Detector | None = None
    """A bundle does without it, and then says of no speech whether it is made."""


class _CodecDecoder(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(
        self, codes: Tensor, state: Tensor, voice: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        latents = self.codec.quantiser.decode(codes)
        made: tuple[Tensor, Tensor] = self.codec.decoder(latents, state, voice, noise)
        return made


class _CodecEncoder(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, waveform: Tensor) -> Tensor:
        return self.codec.encode(waveform)


def export_bundle(
    folder: Path, name: str, models: Models, precision: Preset = "fast8", card: str | None = None
) -> None:
    """Write a bundle of `models` into `folder`; a bundle that was there is replaced. Only its
    cohort stays, if it is of this very speaker encoder.

    `precision` is one of
    - "fp32", which the tests compare with PyTorch;
    - "fp16": the AR and the NAR in half precision, for ONNX Runtime's CUDA provider;
    - "int8": weights stored in 8 bits, a scale for each output channel, and computed in fp32, which
      makes the files four times smaller;
    - "fast8": the same, but the AR and the NAR multiply 8-bit integers;
    - "fast4": the same with 4-bit weights in the AR, for one so large that reading it takes the
      time.
    `card` is the text of the model card, kept beside them.

    Raises:
        OutputError: the folder cannot be written, or holds something other than a bundle.
    """
    codec = models.codec
    for module in (codec, models.listener, models.speaker, models.ar, models.nar):
        module.eval()
    waveform = torch.zeros(2, 5 * HOP)
    samples, frames = {"waveform": {0: "batch", 1: "samples"}}, {0: "batch", 1: "frames"}
    codes = torch.zeros(2, 5, CODEBOOKS, dtype=torch.int64)
    state = torch.zeros(2, codec.decoder.state_size)
    borders = models.style_borders
    styled = borders is not None
    protos = {
        "codec_encoder": _traced(_CodecEncoder(codec), (waveform,), samples, ["codes"]),
        "codec_decoder": _traced(
            _CodecDecoder(codec),
            (codes, state, torch.zeros(2, EMBEDDING), torch.zeros(2, 5, NOISE)),
            {"codes": frames, "state": {0: "batch"}, "voice": {0: "batch"}, "noise": frames},
            ["waveform", "state_out"],
        ),
        "listener": _traced(models.listener, (waveform,), samples, ["ctc", "frame"]),
        "speaker": _traced(models.speaker, (waveform,), samples, ["embedding"]),
        "phonemes": phonemes_graph(models.ar.phonemes, styled),
        "ar": ar_graph(models.ar),
        "nar": nar_graph(models.nar, styled),
    }
    if models.detector is not None:
        protos[DETECTOR] = detector_graph(models.detector)
    graphs = {key: _new_graph(key, proto, precision) for key, proto in protos.items()}
    graphs |= kept_cohort(folder, graphs["speaker"])
    ar, nar = models.ar.size, models.nar.size
    config = BundleConfig(
        name=name,
        language="en-us",
        sample_rate=SAMPLE_RATE,
        hop=HOP,
        codebooks=CODEBOOKS,
        codebook_size=CODEBOOK_SIZE,
        symbols=SYMBOLS,
        listener_symbols=LISTENER_SYMBOLS,
        decoder_delay=DELAY,
        decoder_state=codec.decoder.state_size,
        decoder_noise=NOISE,
        ar=ARConfig(
            layers=ar.layers,
            heads=ar.heads,
            width=ar.width,
            max_positions=ar.max_positions,
            max_stay_phoneme=_MAX_STAY_PHONEME,
            max_stay_border=_MAX_STAY_BORDER,
        ),
        nar=NARConfig(
            layers=nar.layers,
            heads=nar.heads,
            width=nar.width,
            block=nar.block,
            past=nar.past,
            ahead=nar.ahead,
            latent=nar.latent,
        ),
        style=None if borders is None else StyleConfig(borders=borders.tolist()),
    )
    write_bundle(folder, config, graphs, {CARD_NAME: card} if card is not None else None)


def export_runs(
    runs: Path, folder: Path, name: str, precision: Preset = "fast8", card: str | None = None
) -> None:
    """Write a bundle of the models trained into `runs`/codec, /listener, /speaker, /ar and /nar,
    and of /detector if there is one.

    Raises:
        UsageError: one of them has not been trained, or AR and NAR learnt other styles.
    """
    borders, others = (kept_borders(runs / stage) for stage in ("ar", "nar"))
    if not same_borders(borders, others):
        raise UsageError(
            f"{runs / 'ar'} and {runs / 'nar'} learnt from styles with other borders; train both "
            "on corpora that one `valle prepare styles` measured"
        )
    models = Models(
        load_codec(runs / "codec"),
        load_listener(runs / "listener"),
        load_speaker(runs / "speaker"),
        load_ar(runs / "ar"),
        load_nar(runs / "nar"),
        borders,
        load_detector(runs / DETECTOR) if (runs / DETECTOR).is_dir() else None,
    )
    export_bundle(folder, name, models, precision, card)


def add_detector(bundle: Bundle, detector: Detector, precision: Preset = "fast8") -> None:
    """Write `bundle` again with this detector; its other graphs and documents stay byte for byte.

    Raises:
        BundleError: a file of the bundle is missing or altered.
        OutputError: the folder cannot be written.
    """
    graphs = {
        name: NewGraph(bundle.read_graph(name), graph.precision)
        for name, graph in bundle.config.graphs.items()
    }
    graphs[DETECTOR] = _new_graph(DETECTOR, detector_graph(detector), precision)
    documents = {path.name: path.read_text(encoding="utf-8") for path in bundle.folder.glob("*.md")}
    write_bundle(bundle.folder, bundle.config, graphs, documents)


def detector_graph(detector: Detector) -> onnx.ModelProto:
    """waveform [B, N], N whole seconds -> seconds [B, S, 3], whole [B, 3]."""
    detector.eval()
    axes = {"waveform": {0: "batch", 1: "samples"}}
    waveform = torch.zeros(2, 3 * SAMPLE_RATE)
    return _traced(detector, (waveform,), axes, ["seconds", "whole"])


def random_models(size: str, seed: int) -> Models:
    """Untrained models: for tests, and to measure the speed of a size without training it.

    No weight is left at zero or one, so that each of them shows in what comes out.
    """
    torch.manual_seed(seed)
    dial = size_named(size)
    models = Models(
        Codec(CODEC_SIZES[size]),
        Listener(LISTENER_SIZES[size], len(LISTENER_SYMBOLS)),
        SpeakerEncoder(SPEAKER_SIZES[size]),
        AR(dial.ar, len(SYMBOLS)),
        NAR(dial.nar, len(SYMBOLS)),
    )
    with torch.no_grad():
        for model in (each for each in vars(models).values() if isinstance(each, nn.Module)):
            for weight in model.parameters():
                weight.add_(_JITTER * torch.randn_like(weight))
        for codes in (models.ar.codes, models.nar.codes):
            codes.weight[-1].zero_()  # "no code" adds nothing: training keeps it so
        models.nar.tables.copy_(models.codec.quantiser.tables)
    return models


def debug_bundle(folder: Path, seed: int = 0) -> Path:
    """A bundle of untrained `debug` models: everything runs on it, nothing sounds."""
    export_bundle(folder, "debug", random_models("debug", seed), "fp32")
    return folder


def _new_graph(key: str, proto: onnx.ModelProto, precision: Preset) -> NewGraph:
    bits = _quantised(key, proto, precision)
    return NewGraph(proto.SerializeToString(), bits)


def _traced(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    axes: dict[str, dict[int, str]],
    outputs: list[str],
) -> onnx.ModelProto:
    module.eval()
    for name in outputs:
        whole = name in ("embedding", "state_out", "whole")  # no axis of time
        axes = {**axes, name: {0: "batch"} if whole else {0: "batch", 1: name}}
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        buffer,  # type: ignore[arg-type]  # taken, though the annotation says a path
        input_names=[name for name in axes if name not in outputs],
        output_names=outputs,
        dynamic_axes=axes,
        dynamo=False,
        do_constant_folding=False,  # ONNX Runtime folds at load; folded here, files would grow
        opset_version=17,
    )
    return onnx.load_from_string(buffer.getvalue())


def _quantised(graph: str, proto: onnx.ModelProto, preset: Preset) -> Precision:
    """Quantise one graph of a bundle, and say in how many bits its matrices are."""
    if preset == "fp32":
        return "fp32"
    if preset == "fp16":
        if graph not in ("ar", "nar"):
            return "fp32"
        compute_in_halves(proto)
        return "fp16"
    fast = preset != "int8"
    in_4_bits = preset == "fast4" and graph == "ar"
    if fast and graph == "ar":
        multiply_in_blocks(proto, 4 if in_4_bits else 8)
    elif fast and graph == "nar":
        multiply_in_integers(proto)
    store_in_8_bits(proto)  # what is left: embeddings, convolutions, the other graphs' matrices
    return "int4" if in_4_bits else "int8"
