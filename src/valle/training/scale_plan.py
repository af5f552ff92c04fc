"""`valle plan`: what a corpus of any size takes to prepare and to train on.

Storage follows from formats. Core hours are measured per second of speech on one core, and grow
with the speech. GPU hours follow from arithmetic: operations of the models over what a GPU reaches
of its peak. Every assumption is a field.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from valle.audio_format import FRAME_RATE, SAMPLE_RATE
from valle.errors import UsageError
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, size_named

CODE_BITS = 10  # of a code of 1024
_WHOLE_CODE_BYTES = 2  # as codes.npy stores it
_LABEL_BYTES = 2  # per frame, of labels.npz
_STYLE_BYTES = 6  # per frame, of styles.npz
_VOICE_BYTES = 768  # per utterance
_UTTERANCE_SECONDS = 10.8  # 60,000 h in 20 million utterances
_ROWS_PER_FRAME = {"ar": 1.83, "nar": 3.8}
"""Rows that a model computes per frame of a target. Prompts come on top: of the AR 166 frames for
targets of 200, of the NAR 113 for 67, and its two halves once more without a backward pass."""
_BACKWARD = 3.0  # forward and backward pass, relative to the forward pass


@dataclass(frozen=True)
class MeasuredCosts:
    """Processor seconds per second of speech on one core, by benchmarks/preparation.py.

    Measured on 2026-12-01 with the models of the default bundle, on one core of a shared machine
    (docs/SCALE.md).
    """

    screen: float = 0.00058
    decode: float = 0.0005
    codes: float = 0.0131
    voices: float = 0.0034
    labels: float = 0.0093
    styles: float = 0.0022


@dataclass(frozen=True)
class Assumptions:
    """What is assumed, not measured.

    Attributes:
        hours: of speech.
        gpus: that train.
        cores: that prepare.
        size: of the AR and the NAR.
        epochs: passes of each through the speech.
        peak_tflops: dense bfloat16 of one GPU; 989 is an H100's by its data sheet.
        utilization: share of it that training reaches.
        gpu_watts: of one GPU with its share of the machine.
        core_watts: of one core with its share.
        gpu_price: per hour.
        core_price: per hour.
    """

    hours: float
    gpus: int = 16
    cores: int = 64
    size: str = "paper"
    epochs: float = 5.0
    peak_tflops: float = 989.0
    utilization: float = 0.3
    gpu_watts: float = 1000.0
    core_watts: float = 8.0
    gpu_price: float = 2.5
    core_price: float = 0.04
    costs: MeasuredCosts = field(default_factory=MeasuredCosts)

    def __post_init__(self) -> None:
        size_named(self.size)
        if not 0 < self.utilization <= 1:
            raise UsageError(f"--utilization must be above 0 and at most 1, not {self.utilization}")


@dataclass(frozen=True)
class Stage:
    """One stage of the plan."""

    name: str
    core_hours: float = 0.0
    gpu_hours: float = 0.0
    days: float = 0.0
    """With all cores or GPUs."""
    kwh: float = 0.0
    price: float = 0.0


def plan_stages(assumed: Assumptions) -> list[Stage]:
    """What every stage takes."""
    stages = []
    for name, cost in vars(assumed.costs).items():
        hours = assumed.hours * cost
        kwh = hours * assumed.core_watts / 1000
        price = hours * assumed.core_price
        stages.append(Stage(name, hours, 0.0, hours / assumed.cores / 24, kwh, price))
    for name in ("ar", "nar"):
        hours = training_flops(assumed, name) / (
            assumed.peak_tflops * 1e12 * assumed.utilization * 3600
        )
        kwh = hours * assumed.gpu_watts / 1000
        price = hours * assumed.gpu_price
        stages.append(Stage(f"train {name}", 0.0, hours, hours / assumed.gpus / 24, kwh, price))
    return stages


def plan_storage(hours: float) -> dict[str, float]:
    """Gigabytes of each file of a prepared corpus, and of codes packed into 10 bits each."""
    seconds = hours * 3600
    frames = seconds * FRAME_RATE
    sizes = {
        "audio.i16": seconds * SAMPLE_RATE * 2,
        "codes.npy": frames * CODEBOOKS * _WHOLE_CODE_BYTES,
        "labels.npz": frames * _LABEL_BYTES,
        "styles.npz": frames * _STYLE_BYTES,
        "voices.npy": seconds / _UTTERANCE_SECONDS * _VOICE_BYTES,
        "codes, if they were packed": frames * CODEBOOKS * CODE_BITS / 8,
    }
    return {name: size / 1e9 for name, size in sizes.items()}


def training_flops(assumed: Assumptions, model: str) -> float:
    """Floating-point operations of the training of one model, without attention's own products.

    Two per weight and row (a multiplication and an addition), three times for forward and backward
    (Kaplan et al. 2020, "Scaling laws for neural language models", section 2.1).
    """
    rows = assumed.hours * 3600 * FRAME_RATE * assumed.epochs * _ROWS_PER_FRAME[model]
    return 2.0 * _BACKWARD * rows * count_weights(assumed.size, model)


def count_weights(size: str, model: str) -> int:
    """Weights that every row is multiplied with."""
    dimensions = size_named(size).ar if model == "ar" else size_named(size).nar
    width, feed_forward = dimensions.width, dimensions.feed_forward
    block = 4 * width * width + 2 * width * feed_forward
    outputs = CODEBOOK_SIZE if model == "ar" else size_named(size).nar.latent
    return int(dimensions.layers * block + width * outputs)
