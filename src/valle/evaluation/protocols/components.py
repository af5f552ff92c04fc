"""`valle evaluate components`: the codec, the recognizer and the speaker encoder, each by itself.

All on held-out speakers. The codec is compared with the ground truth and with Opus at its lowest
rate; the speaker encoder with Resemblyzer on the same pairs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from valle.arrays import Samples
from valle.corpora.synthetic import synthesize_speaker
from valle.corpora.synthetic_speaker import SyntheticSpeaker
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE, audio_quality, coding
from valle.evaluation.metrics.calibration import (
    ScoredPhonemes,
    expected_calibration_error,
    score_phonemes,
)
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.statistics import (
    bootstrap_interval,
    bootstrap_median,
    equal_error_rate,
)
from valle.evaluation.report import Figure
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.speaker_encoder import SpeakerEncoder
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS

if TYPE_CHECKING:
    from valle import Model

CHOICES = 100  # size of the closed set of sentence identification
SEGMENT_SECONDS = 3.0  # of a trial of speaker verification
SEGMENTS = 8  # per speaker, at most
RESAMPLES = 500  # bootstrap resamples of the speakers
GROUND_TRUTH, CODEC, OPUS = "ground truth", "codec", "opus"
SYNTHETIC = "synthetic"
BOUNDARY_ERROR = "boundary error, median s"
NATIVE = "librispeech-dev-clean-mp3"  # the held-out corpus of native speakers
_SPEAKER_SEED = 1_000_000_000  # synthetic speakers from here on are in no training corpus
_TOLERANCE = 0.05  # seconds; a boundary further off counts as wrong


@dataclass(frozen=True)
class Measurement:
    """One measurement of one clip: `value` out of `weight` (1, or the phonemes of the clip)."""

    row: str
    metric: str
    speaker: str
    value: float
    weight: float = 1.0


@dataclass(frozen=True)
class Result:
    """A figure over all clips, its interval by bootstrap over the speakers."""

    row: str
    name: str
    figure: Figure
    clips: int


def summarize(measured: Sequence[Measurement | ScoredPhonemes]) -> list[Result]:
    """All figures, in the order in which they were first measured; calibration after the others."""
    measurements = [item for item in measured if isinstance(item, Measurement)]
    phonemes = [item for item in measured if isinstance(item, ScoredPhonemes)]
    results = []
    for row, name in dict.fromkeys((m.row, m.metric) for m in measurements):
        matching = [m for m in measurements if (m.row, m.metric) == (row, name)]
        by_speaker: dict[str, list[Measurement]] = {}
        for m in matching:
            by_speaker.setdefault(m.speaker, []).append(m)
        if name == BOUNDARY_ERROR:
            values = [[m.value for m in group] for group in by_speaker.values()]
            figure = Figure(*bootstrap_median(values, RESAMPLES))
        else:
            groups = [by_speaker[speaker] for speaker in sorted(by_speaker)]
            figure = Figure(
                *bootstrap_interval(
                    [sum(m.value for m in group) for group in groups],
                    [sum(m.weight for m in group) for group in groups],
                )
            )
        results.append(Result(row, name, figure, len(matching)))
    for row in dict.fromkeys(scored.row for scored in phonemes):
        error = expected_calibration_error(row, phonemes)
        results.append(Result(row, "expected calibration error", *error))
    return results


def measure_codec(
    model: Model,
    speakers: Sequence[Speaker],
    sentences: Sequence[str],
    identifier: SentenceIdentifier,
    quiet: bool = True,
) -> Iterator[Measurement]:
    """Measure the speakers' utterances as they are, through the codec, and through Opus.

    Args:
        model: whose codec is measured, at 16 kHz.
        speakers: from `read_speakers`.
        sentences: distractors that fill the closed set up to `CHOICES`, different from the
            transcripts.
        identifier: of sentences.
        quiet: no progress bar.
    """
    encoder, quality = ResemblyzerEncoder(), audio_quality.DNSMOS()
    utterances = [(s.name, utterance) for s in speakers for utterance in s.utterances]
    choices = [*(utterance.text for _, utterance in utterances), *sentences][:CHOICES]
    codec = model.codec
    for speaker, utterance in tqdm(utterances, desc="codec", unit="clip", disable=quiet or None):
        samples = utterance.samples()
        codes = codec.encode(samples)
        start = time.perf_counter()
        decoded = codec.decode(codes)[: len(samples)]
        work = time.perf_counter() - start
        opus, bit_rate = coding.opus_round_trip(samples)
        # The codec must be, and is, without delay. Its output has other phases than the recording,
        # so the delay of the best correlation would be a random one.
        opus = coding.time_align(samples, opus)
        yield Measurement(CODEC, "rtf", speaker, work, len(samples) / EVALUATION_RATE)
        yield Measurement(OPUS, "bits per second", speaker, bit_rate)
        embedding = encoder.embed(samples)
        for row, degraded in ((GROUND_TRUTH, samples), (CODEC, decoded), (OPUS, opus)):
            index = identifier.identify(degraded, choices)
            correct = index is not None and choices[index] == utterance.text
            yield Measurement(row, "sentence identification", speaker, float(correct))
            yield Measurement(row, "DNSMOS", speaker, quality.rate(degraded))
            if row == GROUND_TRUTH:
                continue
            similarity = float(embedding @ encoder.embed(degraded))
            yield Measurement(row, "speaker similarity", speaker, similarity)
            score = audio_quality.pesq(samples, degraded)
            if score is not None:
                yield Measurement(row, "PESQ", speaker, score)
            yield Measurement(row, "STOI", speaker, audio_quality.stoi(samples, degraded))


def measure_recognizer(
    model: Model,
    speakers: Sequence[Speaker],
    sentences: Sequence[str],
    synthetic_speakers: int = 20,
    quiet: bool = True,
) -> Iterator[Measurement | ScoredPhonemes]:
    """Measure phoneme error rates, confidence, and the times of phoneme boundaries.

    Boundaries are measured on synthetic speech only, where they are known.

    Args:
        model: whose recognizer is measured, at 16 kHz.
        speakers: from `read_speakers`.
        sentences: for the synthetic speakers to say; in no training text.
        synthetic_speakers: how many, of espeak-ng, which reports when each phoneme begins.
        quiet: no progress bar.
    """
    recognizer = PhonemeRecognizer(model.bundle)
    for speaker in tqdm(speakers, desc="recognizer", unit="speaker", disable=quiet or None):
        row = "native" if speaker.corpus == NATIVE else "accented"
        for utterance in speaker.utterances:
            symbols = [p.symbol for s in split_sentences(utterance.text)[0] for p in s.phonemes]
            yield from _measure_phonemes(
                recognizer, row, speaker.name, utterance.samples(), symbols
            )
    frame = model.codec.hop / model.codec.sample_rate
    bar = tqdm(range(synthetic_speakers), desc=SYNTHETIC, unit="speaker", disable=quiet or None)
    for number in bar:
        voice = SyntheticSpeaker.sample(_SPEAKER_SEED + number, {"espeak": 1.0})
        texts = [sentences[(number * 2 + index) % len(sentences)] for index in range(2)]
        for synthetic in synthesize_speaker(voice, texts)[0]:
            symbols = [phoneme.symbol for phoneme in synthetic.phonemes]
            samples = synthetic.samples
            yield from _measure_phonemes(recognizer, SYNTHETIC, voice.name, samples, symbols)
            alignment = recognizer.align(samples, symbols)
            if alignment is None or synthetic.frame_symbol is None:
                continue
            for index in (i for i, symbol in enumerate(symbols) if symbol not in BORDERS):
                true, aligned = (
                    int(np.argmax(path >= index)) * frame
                    for path in (synthetic.frame_symbol, alignment.frame_symbol)
                )
                error = abs(true - aligned)
                yield Measurement(SYNTHETIC, BOUNDARY_ERROR, voice.name, error)
                wrong = float(error > _TOLERANCE)
                yield Measurement(SYNTHETIC, "boundary error > 50 ms", voice.name, wrong)


def _measure_phonemes(
    recognizer: PhonemeRecognizer,
    row: str,
    speaker: str,
    samples: Samples,
    symbols: Sequence[str],
) -> Iterator[Measurement | ScoredPhonemes]:
    expected = [symbol for symbol in symbols if symbol not in BORDERS]
    recognition = recognizer.transcribe(samples)
    edits = phoneme_error_rate(expected, recognition.guesses) * len(expected)
    yield Measurement(row, "phoneme error rate", speaker, edits, len(expected))
    yield score_phonemes(row, speaker, recognition, expected)


def measure_speaker_encoder(
    model: Model, speakers: Sequence[Speaker], quiet: bool = True
) -> list[Result]:
    """Speaker verification on pairs of 3 s segments, never of the same recording.

    Args:
        model: whose speaker encoder is measured, at 16 kHz.
        speakers: from `read_speakers`.
        quiet: no progress bar.

    Returns:
        The equal error rates of ours and of Resemblyzer, and ours minus Resemblyzer's.
    """
    baseline, encoder = ResemblyzerEncoder(), SpeakerEncoder(model.bundle)
    length = round(SEGMENT_SECONDS * EVALUATION_RATE)
    labels, recordings = [], []
    ours, theirs = [], []
    for label, speaker in enumerate(tqdm(speakers, desc="speaker", disable=quiet or None)):
        recorded = [speaker.prompt, *(utterance.samples() for utterance in speaker.utterances)]
        segments = [
            (index, samples[start : start + length])
            for index, samples in enumerate(recorded)
            for start in range(0, len(samples) - length + 1, length)
        ]
        for index, segment in segments[:SEGMENTS]:
            labels.append(label)
            recordings.append((label, index))
            ours.append(encoder.embed(segment))
            theirs.append(baseline.embed(segment))
    similarity, baseline_similarity = (np.stack(rows) @ np.stack(rows).T for rows in (ours, theirs))
    return _error_rates(similarity, baseline_similarity, np.array(labels), recordings)


def _error_rates(
    ours: NDArray[Any],
    theirs: NDArray[Any],
    labels: NDArray[np.int64],
    recordings: list[tuple[int, int]],
) -> list[Result]:
    """From similarities [segments, segments] by two encoders; intervals over the same resamples."""
    first, second = np.triu_indices(len(labels), 1)
    different = np.array(
        [recordings[a] != recordings[b] for a, b in zip(first, second, strict=True)]
    )
    first, second = first[different], second[different]
    same = labels[first] == labels[second]
    our_scores, their_scores = ours[first, second], theirs[first, second]
    count = int(labels.max()) + 1

    def rates(weights: NDArray[np.float64]) -> list[float]:
        our_rate, their_rate = (
            equal_error_rate(scores, same, weights) for scores in (our_scores, their_scores)
        )
        return [our_rate, their_rate, our_rate - their_rate]

    rng = np.random.default_rng(0)
    resampled = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(count, size=count), minlength=count)
        weights = times[labels[first]] * times[labels[second]]
        if weights[same].any() and weights[~same].any():  # not one speaker alone
            resampled.append(rates(weights.astype(np.float64)))
    low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
    values = rates(np.ones(len(first)))
    return [
        Result(row, "equal error rate", Figure(*map(float, figure)), len(first))
        for row, *figure in zip(
            ("ours", "Resemblyzer", "difference"), values, low, high, strict=True
        )
    ]


def table(results: Sequence[Result]) -> str:
    """The results as text: row, metric, value, interval, clips."""
    return "\n".join(
        f"{r.row:18}{r.name:28}{r.figure.value:9.3f}"
        f"  [{r.figure.low:.3f}, {r.figure.high:.3f}]{r.clips:7d}"
        for r in results
    )
