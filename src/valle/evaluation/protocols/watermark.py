"""`valle evaluate watermark`: robustness, audio quality and false positives of the watermark.

On held-out speakers, on speech by espeak-ng, and on what the model itself speaks. The watermark is
embedded in all of a segment; detection is tried on 3 s (or 1 s) from any place in it, after common
transmission channels and edits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.corpora.synthetic import synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.errors import UsageError
from valle.evaluation.material import (
    Row,
    loudest,
    read_manifests,
    read_names,
    read_row,
)
from valle.evaluation.metrics import EVALUATION_RATE, audio_quality
from valle.evaluation.metrics.statistics import bootstrap_interval, wilson_interval
from valle.evaluation.protocols.watermark_attacks import UNCHANGED, attacks, everyday_changes
from valle.evaluation.report import Figure
from valle.runtime.codec_decoder import decode_unmarked
from valle.trust.attestation import ATTESTATION
from valle.watermark.detect import detect_watermark
from valle.watermark.embed import Payload, embed_watermark, key_fingerprint
from valle.watermark.grid import PERIOD, PRESENCE_MASK, PUBLISHED_KEY, STEP_SIZES, derive_dither
from valle.watermark.search import Analysis, compute_spectrogram

if TYPE_CHECKING:
    from valle import Model

SECONDS = 3.0  # of speech in which the watermark is to be detected
SHORT_SECONDS = 1.0
SYNTHETIC_SHARE = 0.25  # of the segments, by espeak-ng
_MARGIN = 0.6  # seconds by which a segment is longer, so that the excerpt starts anywhere in it
_KEY = b"the key of an evaluation's owner"
_SPEAKER_SEED = 1_100_000_000  # synthetic speakers from here on are in no training corpus
_NULL_TESTS = 500  # per unmarked segment
_NULL_LEVELS = (1.0, 2.0, 4.0, 6.0)
UNMARKED = "unmarked"


@dataclass(frozen=True)
class Segment:
    """Unmarked speech."""

    speaker: str
    samples: Samples
    """A little more than `SECONDS`, at 16 kHz."""


@dataclass(frozen=True)
class Trial:
    """One detection in one attacked excerpt."""

    row: str
    speaker: str
    seconds: float
    detected: bool
    payload_correct: bool
    payload_wrong: bool
    score: float


@dataclass(frozen=True)
class Result:
    """A figure over all segments."""

    row: str
    name: str
    figure: Figure
    segments: int


def read_segments(manifests: Sequence[Path], heldout: Sequence[Path], count: int) -> list[Segment]:
    """The loudest part of recordings of held-out speakers, speakers interleaved.

    Raises:
        UsageError: a file is missing, or there are too few recordings.
    """
    names = read_names(heldout)
    by_speaker: dict[str, list[Row]] = {}
    for row in read_manifests(manifests):
        if row["speaker"] in names and row["seconds"] >= SECONDS + _MARGIN:
            by_speaker.setdefault(row["speaker"], []).append(row)
    rounds = zip_longest(*by_speaker.values())
    interleaved = [row for turn in rounds for row in turn if row is not None]
    if len(interleaved) < count:
        raise UsageError(
            f"the manifests have {len(interleaved)} recordings of held-out speakers of "
            f"{SECONDS + _MARGIN} s or more, {count} are needed; give fewer --segments"
        )
    length = round((SECONDS + _MARGIN) * EVALUATION_RATE)
    return [Segment(row["speaker"], loudest(read_row(row), length)) for row in interleaved[:count]]


def synthesize_segments(texts: Sequence[str], count: int) -> list[Segment]:
    """Sentences by espeak-ng, each by another speaker.

    Args:
        texts: long enough for a segment, used in order.
        count: of the segments.

    Raises:
        UsageError: too few sentences are long enough.
    """
    length = round((SECONDS + _MARGIN) * EVALUATION_RATE)
    segments: list[Segment] = []
    for number, text in enumerate(texts):
        if len(segments) == count:
            break
        speaker = SyntheticSpeaker.sample(_SPEAKER_SEED + number, {"espeak": 1.0})
        for utterance in synthesize_speaker(speaker, [text])[0]:
            if len(utterance.samples) >= length:
                segments.append(Segment(speaker.name, loudest(utterance.samples, length)))
    if len(segments) < count:
        raise UsageError(f"only {len(segments)} sentences were long enough, {count} are needed")
    return segments


def speak_segments(
    model: Model, prompts: Sequence[Row], texts: Sequence[str], count: int, quiet: bool = True
) -> list[Segment]:
    """Sentences by the model, without its watermark, in the voices of recordings.

    Args:
        model: speaks them.
        prompts: rows of a manifest, recordings of one voice each, used in turn.
        texts: long enough for a segment, used in order.
        count: of the segments.
        quiet: no progress bar.

    Raises:
        UsageError: there is no recording, or too few sentences are long enough.
    """
    length = round((SECONDS + _MARGIN) * EVALUATION_RATE)
    voices = [
        model.enroll((read_row(row), EVALUATION_RATE), attest=ATTESTATION)
        for row in prompts[:count]
    ]
    segments: list[Segment] = []
    bar = tqdm(total=count, desc="speech", unit="segment", disable=quiet or None)
    for number, text in enumerate(texts if voices else ()):
        if len(segments) == count:
            break
        index = len(segments) % len(voices)
        speech = model.speak(text, voices[index], seed=number, retries=0)
        unmarked = decode_unmarked(model.codec, speech.codes, model.embedding(voices[index]))
        samples = resample(unmarked, model.sample_rate, EVALUATION_RATE)
        if len(samples) >= length:
            speaker = f"valle, voice {index + 1}"
            segments.append(Segment(speaker, loudest(samples, length)))
            bar.update()
    bar.close()
    if len(segments) < count:
        raise UsageError(
            f"only {len(segments)} sentences could be spoken, {count} are needed; give manifests "
            "with recordings of held-out speakers, and longer sentences"
        )
    return segments


def run_trials(
    model: Model, segments: Sequence[Segment], quiet: bool = True, everyday: bool = False
) -> Iterator[Trial]:
    """Every attack on every segment; one second without an attack; and unmarked excerpts.

    Args:
        model: whose codec is one of the attacks.
        segments: from `read_segments`, `synthesize_segments` and `speak_segments`.
        quiet: no progress bar.
        everyday: everyday changes instead of attacks, and nothing else.
    """
    rng = np.random.default_rng(0)
    changes = everyday_changes() if everyday else attacks(model)
    for segment in tqdm(segments, desc="watermark", unit="segment", disable=quiet or None):
        payload = Payload(int(rng.integers(1 << 16)), key_fingerprint(_KEY))
        marked = embed_watermark(segment.samples, EVALUATION_RATE, _KEY, payload)
        start = int(rng.integers(round(_MARGIN * EVALUATION_RATE)))
        excerpt = slice(start, start + round(SECONDS * EVALUATION_RATE))
        short = slice(start, start + round(SHORT_SECONDS * EVALUATION_RATE))
        if not everyday:
            yield _detect(UNMARKED, segment.speaker, segment.samples[excerpt], payload)
            yield _detect(UNCHANGED, segment.speaker, marked[short], payload)
        for name, attack in changes.items():
            yield _detect(name, segment.speaker, attack(marked[excerpt]), payload)


def _detect(row: str, speaker: str, samples: Samples, payload: Payload) -> Trial:
    detection = detect_watermark(samples, EVALUATION_RATE, _KEY)
    payloads = {span.payload for span in detection.spans if span.payload is not None}
    return Trial(
        row,
        speaker,
        len(samples) / EVALUATION_RATE,
        detection.found,
        payloads == {payload},
        bool(payloads - {payload}),
        detection.score,
    )


def summarize_trials(trials: Sequence[Trial]) -> list[Result]:
    """Rates of detection and of correct and wrong payloads, with Wilson intervals."""
    results = []
    for row, short in dict.fromkeys((t.row, t.seconds <= SHORT_SECONDS) for t in trials):
        matching = [t for t in trials if (t.row, t.seconds <= SHORT_SECONDS) == (row, short)]
        name = f"{row}, {SHORT_SECONDS:.0f} s" if short else row
        for metric, values in (
            ("detected", [t.detected for t in matching]),
            ("payload correct", [t.payload_correct for t in matching]),
            ("payload wrong", [t.payload_wrong for t in matching]),
        ):
            interval = wilson_interval(sum(values), len(values))
            results.append(Result(name, metric, Figure(*interval), len(matching)))
    return results


def measure_quality(segments: Sequence[Segment], quiet: bool = True) -> list[Result]:
    """Measure what the watermark costs.

    The results are the PESQ of watermarked against unmarked speech, the change of DNSMOS, and the
    real-time factor of embedding.
    """
    quality = audio_quality.DNSMOS()
    names = sorted({segment.speaker for segment in segments})
    sums = {name: np.zeros((len(names), 2)) for name in ("PESQ", "DNSMOS change", "rtf")}
    payload = Payload(0, key_fingerprint(_KEY))
    for segment in tqdm(segments, desc="quality", unit="segment", disable=quiet or None):
        start = time.process_time()
        marked = embed_watermark(segment.samples, EVALUATION_RATE, _KEY, payload)
        work = time.process_time() - start
        index = names.index(segment.speaker)
        sums["rtf"][index] += (work, len(segment.samples) / EVALUATION_RATE)
        change = quality.rate(marked) - quality.rate(segment.samples)
        sums["DNSMOS change"][index] += (change, 1)
        pesq = audio_quality.pesq(segment.samples, marked)
        if pesq is not None:
            sums["PESQ"][index] += (pesq, 1)
    return [
        Result("embedding", name, Figure(*bootstrap_interval(*rows.T)), len(segments))
        for name, rows in sums.items()
    ]


def measure_null(segments: Sequence[Segment]) -> list[Result]:
    """How often single tests of unmarked segments reach a score s, compared with the bound exp(-s).

    `value` is the rate divided by the bound: above 1, the bound would be violated.
    """
    scores = np.concatenate([_null_scores(segment, seed) for seed, segment in enumerate(segments)])
    results = []
    for level in _NULL_LEVELS:
        interval = np.array(wilson_interval(int((scores >= level).sum()), len(scores)))
        figure = Figure(*(interval / math.exp(-level)).tolist())
        results.append(Result(UNMARKED, f"tests over {level:.0f} / bound", figure, len(segments)))
    return results


def _null_scores(segment: Segment, seed: int) -> NDArray[np.float64]:
    """Scores of tests over all of the segment at random offsets and shifts."""
    rng = np.random.default_rng(seed)
    analysis = Analysis(compute_spectrogram(segment.samples))
    phases = derive_dither(PUBLISHED_KEY, "presence") * (2 * np.pi / STEP_SIZES)
    scores = []
    for _ in range(_NULL_TESTS):
        positions = analysis.column_positions(int(rng.integers(int(analysis.column))))
        shifts = (int(rng.integers(PERIOD)) + np.arange(len(positions))) % PERIOD
        cells = np.where(PRESENCE_MASK[shifts], analysis.cells[positions], 0)
        correlation = (cells * np.exp(-1j * phases[shifts])).real.sum()
        scores.append(max(0.0, float(correlation)) ** 2 / float((np.abs(cells) ** 2).sum()))
    return np.array(scores)


def table(results: Sequence[Result]) -> str:
    """The results as text: row, metric, value, interval, segments."""
    return "\n".join(
        f"{r.row:20}{r.name:22}{r.figure.value:9.4f}"
        f"  [{r.figure.low:.4f}, {r.figure.high:.4f}]{r.segments:6d}"
        for r in results
    )
