"""`valle evaluate intelligibility`: word error rates by Whisper, and where the errors come from.

Held-out speakers in groups (native and accented ones apart) are cloned from prompts of 3 s without
a transcript. Four rows add one model at a time, so that what a row loses against the one before is
due to the model that came in:

- *ground truth*: the speakers' own recordings, which also show what Whisper itself gets wrong;
- *codec resynthesis*: the same through the codec and back;
- *first codebook + NAR*: the recordings' own first codebook, the other codebooks predicted by the
  NAR from the phonemes, their times and the prompt;
- *synthesized*: new sentences, from text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.errors import UsageError
from valle.evaluation.alignment import align_transcript
from valle.evaluation.evaluator import Evaluator, Metrics, Sample
from valle.evaluation.material import (
    PROMPT_SECONDS,
    HeldoutUtterance,
    Row,
    Speaker,
    interleave_corpora,
    make_speaker,
)
from valle.evaluation.metrics import EVALUATION_RATE
from valle.evaluation.report import WORD_METRICS, Clip, clip_rows, table
from valle.runtime.nar import NAR
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.acoustic_model import AcousticModel
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model, Voice

ROWS = {
    "ground-truth": "ground truth",
    "codec": "codec resynthesis",
    "nar": "first codebook + NAR",
    "synthesized": "synthesized",
}
"""Names on the command line, and headings in the report."""
PER_SPEAKER = 8
NO_WHISPER = "no --whisper FOLDER was given"
# Of an utterance: enough speech to recognize a speaker, and no more than Whisper decodes in one
# window with room to spare.
_SHORTEST, _MOST_WORDS = 2.0, 25
_REPORTED = (
    *WORD_METRICS,
    "speaker_similarity",
    "speaker_identification_accuracy",
    "dnsmos",
    "pitch_range_semitones",
)


@dataclass(frozen=True)
class Group:
    """Speakers who are evaluated together, and are the closed set of speaker identification."""

    name: str
    speakers: tuple[Speaker, ...]
    skipped: dict[str, str]
    """Speakers on the list who cannot take part, and why."""


@dataclass(frozen=True)
class Settings:
    """What is synthesized and measured."""

    rows: tuple[str, ...] = tuple(ROWS)
    """Keys of `ROWS`."""
    speakers: int | None = None
    """Speakers per group; None evaluates all."""
    per_speaker: int = PER_SPEAKER
    """Sentences, and recordings, per speaker."""
    seeds: tuple[int, ...] = (0,)
    """Every sentence is synthesized once with each."""
    quiet: bool = True
    """No progress bar."""


def read_group(name: str, rows: dict[str, list[Row]], per_speaker: int = PER_SPEAKER) -> Group:
    """Select the prompt and the utterances of every speaker of a list, corpora interleaved.

    The prompt is the speaker's first recording of 3 s or more; the utterances are the first others
    of 2 s or more with a transcript of 25 words at most.

    Args:
        name: of the group.
        rows: manifest rows by speaker.
        per_speaker: utterances per speaker, at most.

    Raises:
        UsageError: no speaker can take part.
    """
    speakers: list[Speaker] = []
    skipped: dict[str, str] = {}
    taken: dict[str, set[tuple[str, float]]] = {}
    for speaker, recordings in rows.items():
        keys = {(row["text"], round(row["seconds"], 1)) for row in recordings if row["text"]}
        twin = next((name for name, other in taken.items() if _is_same_person(keys, other)), None)
        prompt = next((row for row in recordings if row["seconds"] >= PROMPT_SECONDS), None)
        utterances = [
            row
            for row in recordings
            if row is not prompt
            and row["text"]
            and row["seconds"] >= _SHORTEST
            and len(row["text"].split()) <= _MOST_WORDS
        ]
        if not recordings:
            skipped[speaker] = "no recording in any manifest"
        elif prompt is None:
            skipped[speaker] = f"no recording of {PROMPT_SECONDS} s"
        elif not utterances:
            skipped[speaker] = "no other recording with a transcript"
        elif twin is not None:
            # Two copies of a corpus: each would be taken for the other in the closed set.
            skipped[speaker] = f"the same recordings as {twin}"
        else:
            taken[speaker] = keys
            speakers.append(make_speaker(speaker, prompt, utterances[:per_speaker]))
    if not speakers:
        raise UsageError(
            f"no speaker of the group {name!r} has a prompt of {PROMPT_SECONDS} s and another "
            "recording with a transcript in the manifests"
        )
    return Group(name, tuple(interleave_corpora(speakers)), skipped)


def _is_same_person(keys: set[tuple[str, float]], other: set[tuple[str, float]]) -> bool:
    """Whether most recordings agree in transcript and duration."""
    return 2 * len(keys & other) > min(len(keys), len(other))


def run(
    model: Model, group: Group, sentences: Sequence[str], metrics: Metrics, settings: Settings
) -> list[Clip]:
    """Make and evaluate all clips of one group.

    Args:
        model: the one to evaluate.
        group: from `read_group`.
        sentences: new ones to synthesize; speakers take consecutive ones, the first speaker of
            every group the same.
        metrics: beside speaker similarity and pitch range.
        settings: rows, numbers and seeds.
    """
    evaluator = Evaluator(group.speakers, metrics)
    maker = _ClipMaker(model)
    clips: list[Clip] = []
    evaluated = group.speakers[: settings.speakers]
    for place, speaker in enumerate(
        tqdm(evaluated, desc=group.name, unit="speaker", disable=settings.quiet or None)
    ):
        voice = model.enroll((speaker.prompt, EVALUATION_RATE), attest=ATTESTATION)
        first = place * settings.per_speaker
        texts = [
            sentences[(first + index) % len(sentences)] for index in range(settings.per_speaker)
        ]
        for row in settings.rows:
            spoken: Iterable[tuple[str, Samples]]
            if row == "synthesized":
                # The seed moves on with the sentence, so that no two clips share their noise.
                spoken = (
                    (text, maker.synthesize(voice, text, seed + first + index))
                    for seed in settings.seeds
                    for index, text in enumerate(texts)
                )
            else:
                spoken = maker.resynthesize(row, voice, speaker.utterances)
            for text, samples in spoken:
                clips.append(evaluator.evaluate(Sample(ROWS[row], speaker, text, samples)))
    return clips


class _ClipMaker:
    """One model, its parts one after the other; mono at 16 kHz in and out."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._recognizer = PhonemeRecognizer(model.bundle)
        self._acoustic_model = AcousticModel(model.bundle, model.codec)
        self._nar = NAR(model.bundle)

    def synthesize(self, voice: Voice, text: str, seed: int) -> Samples:
        """A sentence from its text."""
        speech = self._model.speak(text, voice=voice, seed=seed)
        return resample(speech.audio, speech.sample_rate, EVALUATION_RATE)

    def resynthesize(
        self, row: str, voice: Voice, utterances: Sequence[HeldoutUtterance]
    ) -> Iterator[tuple[str, Samples]]:
        """The transcripts and samples of recordings in one of `ROWS`.

        A recording that cannot be aligned with its transcript is left out of the NAR's row.
        """
        make: dict[str, Callable[[HeldoutUtterance], Samples | None]] = {
            "ground-truth": HeldoutUtterance.samples,
            "codec": self._through_codec,
            "nar": lambda utterance: self._through_nar(voice, utterance),
        }
        for utterance in utterances:
            samples = make[row](utterance)
            if samples is not None:
                yield utterance.text, samples

    def _through_codec(self, utterance: HeldoutUtterance) -> Samples:
        codec = self._model.codec
        return self._to_evaluation_rate(codec.decode(codec.encode(self._read(utterance))))

    def _through_nar(self, voice: Voice, utterance: HeldoutUtterance) -> Samples | None:
        samples = self._read(utterance)
        aligned = align_transcript(self._recognizer, self._acoustic_model, samples, utterance.text)
        if aligned is None:
            return None
        symbols, frame_symbol = aligned
        codec, prompt = self._model.codec, self._acoustic_model.prompt(voice)
        frames = zip(
            codec.encode(samples)[:, 0].tolist(),
            symbols.ids[frame_symbol].tolist(),
            symbols.stress[frame_symbol].tolist(),
            strict=True,
        )
        codes = np.concatenate(list(self._nar.predict_residuals(prompt.nar, frames)))
        return self._to_evaluation_rate(codec.decode(codes, prompt.embedding))

    def _read(self, utterance: HeldoutUtterance) -> Samples:
        """The recording at the model's rate."""
        return resample(utterance.samples(), EVALUATION_RATE, self._model.sample_rate)

    def _to_evaluation_rate(self, samples: Samples) -> Samples:
        return resample(samples, self._model.sample_rate, EVALUATION_RATE)


def as_json(
    groups: Sequence[Group], clips: dict[str, list[Clip]], measured: bool
) -> dict[str, Any]:
    """What the JSON holds: figures and clips by group, and which metrics are empty and why.

    Args:
        groups: that were evaluated.
        clips: of each group, by its name.
        measured: whether Whisper transcribed the clips.
    """
    return {
        "not_measured": {} if measured else dict.fromkeys(WORD_METRICS, NO_WHISPER),
        "groups": {
            group.name: {
                "closed_set": [speaker.name for speaker in group.speakers],
                "skipped_speakers": group.skipped,
                **clip_rows(clips[group.name]),
            }
            for group in groups
        },
    }


def tables(groups: Sequence[Group], clips: dict[str, list[Clip]], measured: bool) -> str:
    """A table per group, the speakers that were left out, and why columns are empty."""
    parts = []
    for group in groups:
        lines = [group.name, table(clips[group.name], _REPORTED)]
        lines += [f"left out: {name}, {reason}" for name, reason in group.skipped.items()]
        parts.append("\n".join(lines))
    if not measured:
        parts.append(f"words are not measured: {NO_WHISPER}")
    return "\n\n".join(parts)


def describe(settings: Settings) -> dict[str, Any]:
    """The settings that determine the figures, for the JSON."""
    return {name: value for name, value in asdict(settings).items() if name != "quiet"} | {
        "prompt_seconds": PROMPT_SECONDS,
        "prompt_transcript": None,
    }
