"""All metrics of single clips, given the prompts of the closed set of speakers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.metrics.audio_quality import DNSMOS
from valle.evaluation.metrics.pitch_range import pitch_range
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.metrics.whisper import Transcriber
from valle.evaluation.metrics.word_errors import WordErrorCounter
from valle.evaluation.report import Clip
from valle.runtime.check import phoneme_error_rate
from valle.runtime.recognizer import PhonemeRecognizer
from valle.text.segmentation import split_sentences
from valle.text.symbols import BORDERS

PhonemeErrors = Callable[[Samples, str], tuple[float, int]]
"""From samples at 16 kHz and their text to the phoneme edits and the number of phonemes."""


@dataclass(frozen=True)
class Metrics:
    """The optional metrics; None leaves a metric out.

    Speaker similarity and pitch range are always measured.
    """

    identifier: SentenceIdentifier | None = None
    transcriber: Transcriber | None = None
    quality: DNSMOS | None = None
    phoneme_errors: PhonemeErrors | None = None


@dataclass(frozen=True)
class Sample:
    """A clip that is to be evaluated."""

    row: str
    """Of the report: how the clip was made."""
    speaker: Speaker
    text: str
    """What it should say."""
    samples: Samples
    """[N] at 16 kHz."""
    choices: Sequence[str] = ()
    """The closed set for sentence identification, `text` among them; none leaves it out."""
    work_seconds: float | None = None
    """Time it took to synthesize; None for a recording."""


class Evaluator:
    """Evaluates clips against the prompts of a closed set of speakers."""

    def __init__(self, speakers: Sequence[Speaker], metrics: Metrics) -> None:
        self._metrics = metrics
        self._word_errors = WordErrorCounter() if metrics.transcriber else None
        self._encoder = ResemblyzerEncoder()
        self._names = [speaker.name for speaker in speakers]
        self._prompts = np.stack([self._encoder.embed(speaker.prompt) for speaker in speakers])

    def evaluate(self, sample: Sample) -> Clip:
        """All metrics of one clip."""
        metrics, samples, text = self._metrics, sample.samples, sample.text
        identified = None
        if metrics.identifier and sample.choices:
            index = metrics.identifier.identify(samples, sample.choices)
            identified = None if index is None else sample.choices[index]
        words = None
        if metrics.transcriber and self._word_errors:
            words = self._word_errors.count(text, metrics.transcriber.transcribe(samples))
        errors, phonemes = None, 0
        if metrics.phoneme_errors:
            errors, phonemes = metrics.phoneme_errors(samples, text)
        similarities = self._prompts @ self._encoder.embed(samples)
        target = self._names.index(sample.speaker.name)
        others = np.delete(similarities, target)
        return Clip(
            row=sample.row,
            speaker=sample.speaker.name,
            corpus=sample.speaker.corpus,
            text=text,
            seconds=len(samples) / EVALUATION_RATE,
            similarity=float(similarities[target]),
            similarity_to_others=float(others.mean()) if len(others) else 0.0,
            speaker_identified=bool((others < similarities[target]).all()),
            pitch_range=pitch_range(samples),
            choices=len(sample.choices) if metrics.identifier else 0,
            identified=identified,
            words=words,
            quality=metrics.quality.rate(samples) if metrics.quality else None,
            phoneme_errors=errors,
            phonemes=phonemes,
            work_seconds=sample.work_seconds,
        )


def phoneme_errors_by(recognizer: PhonemeRecognizer, sample_rate: int) -> PhonemeErrors:
    """The phoneme error metric of a bundle's own recognizer, which works at `sample_rate`."""

    def count(samples: Samples, text: str) -> tuple[float, int]:
        return count_phoneme_errors(
            recognizer, resample(samples, EVALUATION_RATE, sample_rate), text
        )

    return count


def count_phoneme_errors(
    recognizer: PhonemeRecognizer, samples: Samples, text: str
) -> tuple[float, int]:
    """Edits between the recognized phonemes and those of a text, and how many the text has.

    Args:
        recognizer: the bundle's own.
        samples: [N] at the bundle's rate.
        text: what they should say.
    """
    sentences, _ = split_sentences(text)
    expected = [p.symbol for sentence in sentences for p in sentence.phonemes]
    expected = [symbol for symbol in expected if symbol not in BORDERS]
    # Best guesses, not only confident ones: the usual phoneme error rate.
    recognized = recognizer.transcribe(samples).guesses
    return phoneme_error_rate(expected, recognized) * len(expected), len(expected)
