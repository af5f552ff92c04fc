"""`valle export`: write trained models as a bundle, the only thing that synthesis reads."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from valle.audio_format import HOP, SAMPLE_RATE
from valle.bundle.adapter import Adapter
from valle.bundle.config import ARConfig, BundleConfig, NARConfig, Precision, StyleConfig
from valle.bundle.writer import NewGraph, write_bundle
from valle.detection.detector import GRAPH as DETECTOR
from valle.errors import UsageError
from valle.runtime.pointer import MAX_FRAMES_BORDER, MAX_FRAMES_PHONEME
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.checkpoints import (
    load_acoustic,
    load_ar,
    load_detector,
    load_listener,
    load_speaker,
)
from valle.training.export.cohort import load_matching_cohort
from valle.training.export.descent import collect_consents, describe_data, merge_adapter
from valle.training.export.graphs import ar_graph, nar_graph, phonemes_graph
from valle.training.export.half_precision import convert_to_fp16
from valle.training.export.quantization import (
    quantize_blockwise,
    quantize_dynamic_int8,
    quantize_weights_int8,
)
from valle.training.models.ar import AR
from valle.training.models.codec import CODEC_SIZES, DELAY, NOISE, Codec
from valle.training.models.detector import Detector
from valle.training.models.listener import LISTENER_SIZES, Listener
from valle.training.models.nar import NAR
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, size_named
from valle.training.models.speaker import SPEAKER_SIZES, SpeakerEncoder
from valle.training.run_folder import CHECKPOINT, have_same_bin_edges, load_bin_edges

Preset = Literal["fp32", "fp16", "int8-weights", "w8a8", "w4a8"]
"""How a bundle's weights are stored and multiplied, see `export_bundle`."""
PRESETS: tuple[Preset, ...] = get_args(Preset)
DEFAULT_PRESET: Preset = "w8a8"
CARD_NAME = "MODEL_CARD.md"
_JITTER = 0.05  # standard deviation of the noise on every weight of random models
_WITHOUT_TIME = ("embedding", "state_out", "whole")  # traced outputs without a time axis


@dataclass(frozen=True)
class Models:
    """All models of a bundle; the AR and the NAR must be trained on the codes of the codec.

    Attributes:
        codec: see there, like the others.
        listener: the phoneme recognizer.
        speaker: the speaker encoder.
        ar: predicts the first codebook.
        nar: predicts the residual codebooks.
        style_bin_edges: [5, 7]; None: the models have no styles, and the graphs no such input.
        detector: optional; without it a bundle cannot detect synthetic speech.
        consents: receipts of the speakers that the models were fine-tuned on.
    """

    codec: Codec
    listener: Listener
    speaker: SpeakerEncoder
    ar: AR
    nar: NAR
    style_bin_edges: NDArray[np.float64] | None = None
    detector: Detector | None = None
    consents: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class ExportOptions:
    """How trained models are written.

    Attributes:
        precision: of the graphs, see `export_bundle`.
        card: text of the model card.
        adapter: what to add to the weights; its receipts become the bundle's.
    """

    precision: Preset = DEFAULT_PRESET
    card: str | None = None
    adapter: Adapter | None = None


class _CodecDecoder(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(
        self, codes: Tensor, state: Tensor, voice: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        latents = self.codec.quantiser.decode(codes)
        decoded: tuple[Tensor, Tensor] = self.codec.decoder(latents, state, voice, noise)
        return decoded


class _CodecEncoder(nn.Module):
    def __init__(self, codec: Codec) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, waveform: Tensor) -> Tensor:
        return self.codec.encode(waveform)


def export_bundle(
    folder: Path,
    name: str,
    models: Models,
    precision: Preset = DEFAULT_PRESET,
    card: str | None = None,
) -> None:
    """Write a bundle of `models`.

    Args:
        folder: where; a bundle that is there is replaced. Only its cohort is kept, if it is of the
            same speaker encoder.
        name: of the bundle.
        models: to write.
        precision: one of
            - "fp32", which the tests compare with PyTorch;
            - "fp16": the AR and the NAR in half precision, for ONNX Runtime's CUDA provider;
            - "int8-weights": weights stored in 8 bits with a scale per output channel and
              multiplied in fp32; the files are a quarter of the size;
            - "w8a8": the same, but the AR and the NAR multiply 8-bit integers;
            - "w4a8": the same with 4-bit weights in the AR, for one so large that reading its
              weights takes most of the time.
        card: text of the model card.

    Raises:
        OutputError: the folder cannot be written, or has something other than a bundle.
    """
    graphs = {key: _quantize(key, proto, precision) for key, proto in _make_graphs(models).items()}
    graphs |= load_matching_cohort(folder, graphs["speaker"])
    documents = {CARD_NAME: card} if card is not None else None
    write_bundle(folder, _make_config(name, models), graphs, documents)


def export_runs(
    runs: Path,
    folder: Path,
    name: str,
    options: ExportOptions = ExportOptions(),  # frozen
) -> None:
    """Write a bundle of the models in `runs`/codec, /listener, /speaker, /ar, /nar and /detector.

    What was trained in /acoustic takes the place of /nar and of the decoder of /codec.

    Args:
        runs: folder of the training runs; that of the detector is optional.
        folder: see `export_bundle`, like the following.
        name: of the bundle.
        options: precision, model card, and an adapter to merge.

    Raises:
        UsageError: a model has not been trained, AR and NAR have different style bins, or the
            adapter is of other models.
        OutputError: the folder cannot be written, or has something other than a bundle.
    """
    nar = runs / ("acoustic" if (runs / "acoustic" / CHECKPOINT).is_file() else "nar")
    bin_edges, nar_bin_edges = load_bin_edges(runs / "ar"), load_bin_edges(nar)
    if not have_same_bin_edges(bin_edges, nar_bin_edges):
        raise UsageError(
            f"{runs / 'ar'} and {nar} were trained with different style bins; train both "
            "on corpora that were measured by one `valle prepare styles`"
        )
    nar_model, codec = load_acoustic(runs)
    ar_model = load_ar(runs / "ar")
    consents = collect_consents(runs)
    if options.adapter is not None:
        merge_adapter(options.adapter, runs, {"ar": ar_model, "nar": nar_model})
        consents = (*consents, *options.adapter.info.consents)
    models = Models(
        codec,
        load_listener(runs / "listener"),
        load_speaker(runs / "speaker"),
        ar_model,
        nar_model,
        bin_edges,
        load_detector(runs / DETECTOR) if (runs / DETECTOR).is_dir() else None,
        consents,
    )
    data = describe_data(runs, options.adapter)
    card = options.card
    if data:
        card = f"{card.rstrip()}\n\n{data}" if card else f"# {name}\n\n{data}"
    export_bundle(folder, name, models, options.precision, card)


def detector_graph(detector: Detector) -> onnx.ModelProto:
    """Waveform [B, N], N whole seconds -> seconds [B, S, 3], whole [B, 3]."""
    axes = {"waveform": {0: "batch", 1: "samples"}}
    waveform = torch.zeros(2, 3 * SAMPLE_RATE)
    return _trace(detector, (waveform,), axes, ["seconds", "whole"])


def random_models(size: str, seed: int) -> Models:
    """Make untrained models, for tests and to measure the speed of a size without training it.

    Every weight is random, so that each of them affects the output.

    Args:
        size: a key of `valle.training.models.sizes.SIZES`.
        seed: of the weights.

    Raises:
        UsageError: there is no such size.
    """
    torch.manual_seed(seed)
    sizes = size_named(size)
    models = Models(
        Codec(CODEC_SIZES[size]),
        Listener(LISTENER_SIZES[size], len(LISTENER_SYMBOLS)),
        SpeakerEncoder(SPEAKER_SIZES[size]),
        AR(sizes.ar, len(SYMBOLS)),
        NAR(sizes.nar, len(SYMBOLS)),
    )
    with torch.no_grad():
        for model in vars(models).values():
            if isinstance(model, nn.Module):
                for weight in model.parameters():
                    weight.add_(_JITTER * torch.randn_like(weight))
        for codes in (models.ar.codes, models.nar.codes):
            codes.weight[-1].zero_()  # "no code" adds nothing, as in training
        models.nar.tables.copy_(models.codec.quantiser.tables)
    return models


def debug_bundle(folder: Path, seed: int = 0) -> Path:
    """Write a bundle of untrained `debug` models: everything runs, nothing is intelligible."""
    export_bundle(folder, "debug", random_models("debug", seed), "fp32")
    return folder


def _make_graphs(models: Models) -> dict[str, onnx.ModelProto]:
    """All graphs in fp32, by name."""
    codec = models.codec
    waveform = torch.zeros(2, 5 * HOP)
    samples, frames = {"waveform": {0: "batch", 1: "samples"}}, {0: "batch", 1: "frames"}
    codes = torch.zeros(2, 5, CODEBOOKS, dtype=torch.int64)
    state = torch.zeros(2, codec.decoder.state_size)
    styled = models.style_bin_edges is not None
    for model in (models.ar, models.nar):
        model.eval()
    graphs = {
        "codec_encoder": _trace(_CodecEncoder(codec), (waveform,), samples, ["codes"]),
        "codec_decoder": _trace(
            _CodecDecoder(codec),
            (codes, state, torch.zeros(2, EMBEDDING_DIM), torch.zeros(2, 5, NOISE)),
            {"codes": frames, "state": {0: "batch"}, "voice": {0: "batch"}, "noise": frames},
            ["waveform", "state_out"],
        ),
        "listener": _trace(models.listener, (waveform,), samples, ["ctc", "frame"]),
        "speaker": _trace(models.speaker, (waveform,), samples, ["embedding"]),
        "phonemes": phonemes_graph(models.ar.phonemes, styled),
        "ar": ar_graph(models.ar),
        "nar": nar_graph(models.nar, styled),
    }
    if models.detector is not None:
        graphs[DETECTOR] = detector_graph(models.detector)
    return graphs


def _make_config(name: str, models: Models) -> BundleConfig:
    ar, nar, bin_edges = models.ar.size, models.nar.size, models.style_bin_edges
    return BundleConfig(
        name=name,
        language="en-us",
        sample_rate=SAMPLE_RATE,
        hop=HOP,
        codebooks=CODEBOOKS,
        codebook_size=CODEBOOK_SIZE,
        symbols=SYMBOLS,
        listener_symbols=LISTENER_SYMBOLS,
        decoder_delay=DELAY,
        decoder_state=models.codec.decoder.state_size,
        decoder_noise=NOISE,
        ar=ARConfig(
            layers=ar.layers,
            heads=ar.heads,
            width=ar.width,
            max_positions=ar.max_positions,
            max_stay_phoneme=MAX_FRAMES_PHONEME,
            max_stay_border=MAX_FRAMES_BORDER,
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
        style=None if bin_edges is None else StyleConfig(borders=bin_edges.tolist()),
        consents=models.consents,
    )


def _trace(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    axes: dict[str, dict[int, str]],
    outputs: list[str],
) -> onnx.ModelProto:
    """Trace a module.

    Args:
        module: to trace.
        inputs: an example.
        axes: dynamic axes of each input.
        outputs: names of the outputs.
    """
    module.eval()
    for name in outputs:
        output_axes = {0: "batch"} if name in _WITHOUT_TIME else {0: "batch", 1: name}
        axes = {**axes, name: output_axes}
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        inputs,
        buffer,  # type: ignore[arg-type]  # accepted, though the annotation says a path
        input_names=[name for name in axes if name not in outputs],
        output_names=outputs,
        dynamic_axes=axes,
        dynamo=False,
        do_constant_folding=False,  # ONNX Runtime folds when it loads; folded files are larger
        opset_version=17,
    )
    return onnx.load_from_string(buffer.getvalue())


def _quantize(name: str, proto: onnx.ModelProto, preset: Preset) -> NewGraph:
    """Quantize one graph in place, as the preset says for a graph of this name."""
    precision: Precision = "fp32"
    if preset == "fp16":
        if name in ("ar", "nar"):
            convert_to_fp16(proto)
            precision = "fp16"
    elif preset != "fp32":
        precision = "int8"
        multiplies_integers = preset in ("w8a8", "w4a8")
        if multiplies_integers and name == "ar":
            bits = 4 if preset == "w4a8" else 8
            quantize_blockwise(proto, bits)
            precision = "int4" if bits == 4 else "int8"
        elif multiplies_integers and name == "nar":
            quantize_dynamic_int8(proto)
        # The remaining weights: embeddings, convolutions, and the matrices of the other graphs.
        quantize_weights_int8(proto)
    return NewGraph(proto.SerializeToString(), precision)
