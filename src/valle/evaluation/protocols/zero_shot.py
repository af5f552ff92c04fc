"""`valle evaluate quick|default`: held-out speakers cloned from 3 s, by independent metrics.

Three rows are evaluated alike: *ground truth*, the speakers' own recordings, the upper bound;
*codec resynthesis*, the same through the codec and back, the upper bound of our codes;
*synthesized*, new sentences in the voice of a 3 s prompt. The ground truth also shows whether the
metrics work.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.evaluation.evaluator import Evaluator, Metrics, Sample, phoneme_errors_by
from valle.evaluation.material import Speaker
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.report import Clip
from valle.runtime.recognizer import PhonemeRecognizer
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model, Voice

GROUND_TRUTH = "ground truth"
CODEC = "codec resynthesis"
SYNTHESIZED = "synthesized"
REPORTED = (
    "word_error_rate",
    "sentence_identification_accuracy",
    "speaker_similarity",
    "similarity_to_others",
    "speaker_identification_accuracy",
    "dnsmos",
    "phoneme_error_rate",
    "rtf",
)
"""Metrics of the table."""

SaveClip = Callable[[str, Samples], None]
"""Takes a name such as "synthesized/SPEAKER-2" and samples at 16 kHz."""


@dataclass(frozen=True)
class Scale:
    """How much is synthesized and measured."""

    name: str
    per_speaker: int
    """Sentences per speaker, and utterances of those who have as many."""
    choices: int
    """Size of the closed set of sentence identification."""
    quality: bool
    """Whether DNSMOS is measured too."""


QUICK = Scale("quick", 4, 40, quality=False)
DEFAULT = Scale("default", 8, 100, quality=True)


@dataclass(frozen=True)
class Settings:
    """What is synthesized."""

    scale: Scale = QUICK
    speakers: int | None = None
    """How many of the speakers to evaluate; None evaluates all."""
    per_speaker: int | None = None
    """Clips per speaker in each row; None takes the scale's."""
    seed: int = 0
    """Of the first clip; every further clip takes the next number."""
    best_of: int = 1
    """Candidates per sentence, of which the bundle's own recognizer picks the best: its phoneme
    error rate is then biased."""
    quiet: bool = True
    """No progress bar."""

    @property
    def clips(self) -> int:
        """Clips per speaker in each row."""
        return self.scale.per_speaker if self.per_speaker is None else self.per_speaker


class EvaluationSet(NamedTuple):
    """What is spoken by whom.

    Attributes:
        speakers: from `read_speakers`; every clip is compared with the prompts of all of them.
        sentences: from `select_sentences`, the closed set of the synthesized row.
    """

    speakers: Sequence[Speaker]
    sentences: Sequence[str]


def run(
    model: Model | None,
    evaluation_set: EvaluationSet,
    metrics: Metrics,
    settings: Settings,
    save: SaveClip = lambda _name, _samples: None,
) -> list[Clip]:
    """Make and evaluate all clips.

    Args:
        model: None evaluates the ground truth only.
        evaluation_set: speakers and sentences.
        metrics: the optional ones; the phoneme error rate is added where there is a model.
        settings: numbers and seeds.
        save: called with every clip that was made, and with the prompts.
    """
    speakers, sentences = evaluation_set
    synthesizer = None
    if model is not None:
        synthesizer = _Synthesizer(model, save, settings.best_of)
        recognizer = PhonemeRecognizer(model.bundle)
        errors = phoneme_errors_by(recognizer, model.codec.sample_rate)
        metrics = dataclasses.replace(metrics, phoneme_errors=errors)
    evaluator = Evaluator(speakers, metrics)
    transcripts = [utterance.text for speaker in speakers for utterance in speaker.utterances]
    clips: list[Clip] = []
    evaluated = speakers[: settings.speakers]
    for place, speaker in enumerate(
        tqdm(evaluated, desc="evaluate", unit="speaker", disable=settings.quiet or None)
    ):
        save(f"prompts/{_file_name(speaker.name)}", speaker.prompt)
        samples = _resynthesize(synthesizer, speaker, transcripts, settings)
        clips += map(evaluator.evaluate, samples)
        if synthesizer is not None:
            first = place * settings.scale.per_speaker
            samples = _synthesize(synthesizer, speaker, sentences, first, settings)
            clips += map(evaluator.evaluate, samples)
    return clips


def _resynthesize(
    synthesizer: _Synthesizer | None,
    speaker: Speaker,
    transcripts: list[str],
    settings: Settings,
) -> Iterator[Sample]:
    """A speaker's utterances, and each through the codec."""
    for index, utterance in enumerate(speaker.utterances[: settings.clips]):
        place = transcripts.index(utterance.text)
        # The transcript itself and those that follow it, cyclically.
        choices = (transcripts[place:] + transcripts[:place])[: settings.scale.choices]
        samples, text = utterance.samples(), utterance.text
        yield Sample(GROUND_TRUTH, speaker, text, samples, choices)
        if synthesizer is not None:
            name = f"codec/{_file_name(speaker.name)}-{index + 1}"
            coded, work = synthesizer.through_codec(samples, name)
            yield Sample(CODEC, speaker, text, coded, choices, work)


def _synthesize(
    synthesizer: _Synthesizer,
    speaker: Speaker,
    sentences: Sequence[str],
    first: int,
    settings: Settings,
) -> Iterator[Sample]:
    """New sentences in a speaker's voice, from the `first` on."""
    voice = synthesizer.enroll(speaker)
    for index in range(settings.clips):
        text = sentences[(first + index) % len(sentences)]
        name = f"synthesized/{_file_name(speaker.name)}-{index + 1}"
        samples, work = synthesizer.speak(text, voice, settings.seed + first + index, name)
        yield Sample(SYNTHESIZED, speaker, text, samples, sentences, work)


class _Synthesizer:
    """The model at 16 kHz in and out, timed."""

    def __init__(self, model: Model, save: SaveClip, best_of: int) -> None:
        self._model = model
        self._best_of = best_of
        self._save = save

    def enroll(self, speaker: Speaker) -> Voice:
        voice = self._model.enroll((speaker.prompt, EVALUATION_RATE), attest=ATTESTATION)
        # The first sentence of a voice also pays for sessions and caches that later ones share.
        self._model.speak("Yes.", voice=voice, seed=0)
        return voice

    def speak(self, text: str, voice: Voice, seed: int, name: str) -> tuple[Samples, float]:
        start = time.perf_counter()
        speech = self._model.speak(text, voice=voice, seed=seed, best_of=self._best_of)
        work = time.perf_counter() - start
        samples = resample(speech.audio, speech.sample_rate, EVALUATION_RATE)
        self._save(name, samples)
        return samples, work

    def through_codec(self, samples: Samples, name: str) -> tuple[Samples, float]:
        codec = self._model.codec
        resampled = resample(samples, EVALUATION_RATE, codec.sample_rate)
        start = time.perf_counter()
        decoded = codec.decode(codec.encode(resampled))[: len(resampled)]
        work = time.perf_counter() - start
        coded = resample(decoded, codec.sample_rate, EVALUATION_RATE)
        self._save(name, coded)
        return coded, work


def _file_name(speaker: str) -> str:
    return speaker.replace("/", "_")
