"""`valle evaluate detector`: the detector of synthetic speech, by generator and channel.

Held-out speakers' recordings are compared with what the model synthesizes in their voices, with the
same recordings resynthesized by its codec or by Griffin-Lim, and with other TTS engines. Both sides
of a comparison always go through the same channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.consent.verification import SPOOF_LIMIT
from valle.corpora import augmentation, channel
from valle.corpora.detector_store import resynthesize
from valle.corpora.griffin_lim import griffin_lim
from valle.corpora.self_synthesized import MIN_PROMPT_SECONDS, SENTENCE_LENGTHS
from valle.corpora.split import is_evaluation_sentence
from valle.corpora.synthetic import available_engines, synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.corpora.synthetic_store import read_sentences
from valle.detection.detector import BONA_FIDE, SYNTHETIC, classify
from valle.errors import UsageError
from valle.evaluation.material import Row, read_manifests, read_names, read_row
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.statistics import bootstrap_equal_error_rate, wilson_interval
from valle.evaluation.report import Figure
from valle.runtime.codec_decoder import decode_unmarked
from valle.trust.attestation import ATTESTATION
from valle.watermark.embed import Payload, embed_watermark

if TYPE_CHECKING:
    from valle import Model

RECORDED, OWN, OWN_MARKED = "recorded", "valle", "valle, watermarked"
NO_CHANNEL = "nothing"
TRANSMITTED = (RECORDED, OWN)
"""Rows that are classified after every channel."""
_SECONDS = 6.0  # of a segment, at most
_SPEAKER_SEED = 1_200_000_000  # synthetic speakers from here on are in no training corpus


@dataclass(frozen=True)
class Segment:
    """Speech of a known origin."""

    row: str
    speaker: str
    samples: Samples
    """[N] at 16 kHz."""


@dataclass(frozen=True)
class Classification:
    """The detector's verdict on one segment after one channel."""

    row: str
    channel: str
    speaker: str
    bona_fide: float
    synthetic: float
    """Probabilities."""

    @property
    def refused(self) -> bool:
        """Whether the verification of consent would refuse it."""
        return 1.0 - self.bona_fide > SPOOF_LIMIT

    @property
    def score(self) -> float:
        """Log likelihood ratio of synthetic against bona fide speech."""
        return float(np.log(self.synthetic + 1e-9) - np.log(self.bona_fide + 1e-9))


@dataclass(frozen=True)
class Result:
    """A figure over all segments of a row after one channel."""

    row: str
    channel: str
    name: str
    figure: Figure
    segments: int


@dataclass(frozen=True)
class Material:
    """What the segments are read from."""

    manifests: Sequence[Path]
    heldout: Sequence[Path]
    sentences: Path
    per_speaker: int
    """Recordings, and synthesized sentences, per held-out speaker."""


def channels() -> dict[str, Callable[[Samples], Samples]]:
    """The transmission channels by name, from [N] at 16 kHz to as many samples."""

    def noise(samples: Samples) -> Samples:
        white = augmentation.make_noise("white", samples, np.random.default_rng(len(samples)))
        return augmentation.add_noise(samples, white, 20.0)

    def telephone(samples: Samples) -> Samples:
        narrow = resample(samples, EVALUATION_RATE, 8000)
        return resample(narrow, 8000, EVALUATION_RATE)[: len(samples)]

    return {
        NO_CHANNEL: lambda samples: samples,
        "MP3": lambda samples: channel.transcode(samples, "MPEG_LAYER_III", 0.6),
        "Opus": lambda samples: channel.transcode(samples, "OPUS", 0.93),
        "Vorbis": lambda samples: channel.transcode(samples, "VORBIS", 0.8),
        "noise 20 dB": noise,
        "8 kHz and back": telephone,
    }


def make_segments(model: Model, material: Material, quiet: bool = True) -> list[Segment]:
    """Make the segments to classify.

    These are recordings and synthesized sentences of every held-out speaker, resynthesized
    recordings, and two segments per speaker by every other TTS engine.

    Raises:
        UsageError: a file is missing, or there are too few recordings or sentences.
    """
    names = read_names(material.heldout)
    by_speaker: dict[str, list[Row]] = {}
    for row in read_manifests(material.manifests):
        if row["speaker"] in names and row["seconds"] >= MIN_PROMPT_SECONDS:
            by_speaker.setdefault(row["speaker"], []).append(row)
    texts = [
        text
        for text in read_sentences(material.sentences)
        if is_evaluation_sentence(text) and len(text) in SENTENCE_LENGTHS
    ]
    if len(by_speaker) < 2 or not texts:
        raise UsageError("the detector needs two held-out speakers or more, and sentences")
    count, length = material.per_speaker, round(_SECONDS * EVALUATION_RATE)
    segments: list[Segment] = []
    for speaker in tqdm(sorted(by_speaker), desc="segments", disable=quiet or None):
        prompt, *rows = by_speaker[speaker]
        first = len(segments)
        recorded = [Segment(RECORDED, speaker, read_row(row)[:length]) for row in rows[:count]]
        segments += recorded
        for index, segment in enumerate(recorded):
            segments += _resynthesize(model, segment, index)
        chosen = [texts[(first + index) % len(texts)] for index in range(count)]
        segments += _synthesize(model, speaker, read_row(prompt), chosen)
    return segments + _synthesize_by_engines(texts, 2 * len(by_speaker))


def _resynthesize(model: Model, segment: Segment, index: int) -> list[Segment]:
    """A recording through our codec, and every fourth by Griffin-Lim."""
    resynthesized = [
        Segment(
            f"resynthesized, {codebooks} codebooks",
            segment.speaker,
            resynthesize(model.codec, segment.samples, codebooks),
        )
        for codebooks in (8, 4)
    ]
    if index % 4 == 0:
        samples = griffin_lim(segment.samples, np.random.default_rng(index))
        resynthesized.append(Segment("griffin-lim", segment.speaker, samples))
    return resynthesized


def _synthesize(model: Model, speaker: str, prompt: Samples, texts: list[str]) -> list[Segment]:
    voice = model.enroll((prompt, EVALUATION_RATE), attest=ATTESTATION)
    segments = []
    for seed, text in enumerate(texts):
        speech = model.speak(text, voice, seed=seed, retries=0)
        marked = resample(speech.audio, model.sample_rate, EVALUATION_RATE)
        decoded = decode_unmarked(model.codec, speech.codes, model.embedding(voice))
        unmarked = resample(decoded, model.sample_rate, EVALUATION_RATE)
        segments += [Segment(OWN_MARKED, speaker, marked), Segment(OWN, speaker, unmarked)]
    return segments


def _synthesize_by_engines(texts: list[str], count: int) -> list[Segment]:
    segments = []
    for engine in available_engines():
        by_engine: list[Segment] = []
        for number, text in enumerate(texts):
            if len(by_engine) == count:
                break
            speaker = SyntheticSpeaker.sample(_SPEAKER_SEED + number, {engine: 1.0})
            for utterance in islice(synthesize_speaker(speaker, [text])[0], 1):
                by_engine.append(Segment(engine, speaker.name, utterance.samples))
        segments += by_engine
    return segments


def classify_segments(
    model: Model, segments: Sequence[Segment], quiet: bool = True
) -> list[Classification]:
    """Classify all segments.

    All of them as they are, recordings and the model's own speech after every channel, and
    recordings after the watermark.

    Raises:
        UsageError: the model's bundle has no detector.
    """
    classifications = []
    for segment in tqdm(segments, desc="detector", unit="segment", disable=quiet or None):
        for name, transmit in channels().items():
            if name == NO_CHANNEL or segment.row in TRANSMITTED:
                samples = transmit(segment.samples)
                classifications.append(_classify(model, segment, name, samples))
        if segment.row == RECORDED:
            marked = embed_watermark(segment.samples, EVALUATION_RATE, None, Payload(0, 0))
            classifications.append(_classify(model, segment, "watermark", marked))
    return classifications


def _classify(
    model: Model, segment: Segment, channel_name: str, samples: Samples
) -> Classification:
    verdict = classify(model.bundle, samples, EVALUATION_RATE)
    if verdict is None:
        raise UsageError("the bundle has no detector; train one and export it first")
    probabilities = verdict.whole
    return Classification(
        segment.row,
        channel_name,
        segment.speaker,
        probabilities[BONA_FIDE],
        probabilities[SYNTHETIC],
    )


def summarize(classifications: Sequence[Classification]) -> list[Result]:
    """Summarize every row and channel.

    The results are the rate classified as synthetic, the rate that the verification of consent
    would refuse, and the equal error rate against recordings through the same channel.
    """
    results = []
    by_place: dict[tuple[str, str], list[Classification]] = {}
    for c in classifications:
        by_place.setdefault((c.row, c.channel), []).append(c)
    for (row, channel_name), group in by_place.items():
        for name, flags in (
            ("synthetic", [c.synthetic > 0.5 for c in group]),
            ("refused", [c.refused for c in group]),
        ):
            rate = Figure(*wilson_interval(sum(flags), len(flags)))
            results.append(Result(row, channel_name, name, rate, len(group)))
        recorded = by_place.get((RECORDED, channel_name))
        if row != RECORDED and recorded:
            trials = group + recorded
            figure = bootstrap_equal_error_rate(
                [c.speaker for c in trials],
                [c.score for c in trials],
                [True] * len(group) + [False] * len(recorded),
            )
            results.append(Result(row, channel_name, "EER", Figure(*figure), len(group)))
    return results


def compare_watermarked(classifications: Sequence[Classification]) -> Result:
    """The rate of recordings for which the watermark alone changes whether they are refused."""
    before, after = (
        [c.refused for c in classifications if (c.row, c.channel) == (RECORDED, name)]
        for name in (NO_CHANNEL, "watermark")
    )
    changed = sum(a != b for a, b in zip(before, after, strict=True))
    figure = Figure(*wilson_interval(changed, len(before)))
    return Result(RECORDED, "watermark", "verdict changed", figure, len(before))


def table(results: Sequence[Result]) -> str:
    """The results as text: row, channel, name, value, interval, segments."""
    return "\n".join(
        f"{r.row:28}{r.channel:16}{r.name:16}{r.figure.value:8.4f}"
        f"  [{r.figure.low:.4f}, {r.figure.high:.4f}]{r.segments:6d}"
        for r in results
    )
