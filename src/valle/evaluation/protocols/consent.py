"""`valle evaluate consent`: how often true statements of consent are accepted, and false ones.

Held-out speakers' recordings stand in for statements, their transcripts for the text to be read,
and some words of each transcript for the phrase of the day. Attacks are made of the same
recordings.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import soundfile
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio import levels
from valle.audio.fingerprint import Fingerprint, compute_fingerprint
from valle.audio.recording import measure_active_level, resample
from valle.consent import verification
from valle.consent.challenge import PHRASE_WORDS, Statement
from valle.consent.verification import ReferenceAnalysis, Scores, StatementAnalysis
from valle.consent.words import WORDS
from valle.errors import UsageError
from valle.evaluation.material import (
    HeldoutUtterance,
    Row,
    read_names,
    rows_by_speaker,
)
from valle.evaluation.metrics import EVALUATION_RATE
from valle.text.segmentation import split_sentences
from valle.trust.attestation import ATTESTATION

if TYPE_CHECKING:
    from valle import Model, Voice

TARGET = "target"
IMPOSTOR = "impostor"
WRONG_WORDS = "wrong words"
REPLAY = "replay"
SPLICE_ONE = "splice, 1 speaker"
SPLICE_TWO = "splice, 2 speakers"
CLONE = "clone"
KINDS = (TARGET, IMPOSTOR, WRONG_WORDS, REPLAY, SPLICE_ONE, SPLICE_TWO, CLONE)
ATTEMPTS = 3  # that a target speaker has on one occasion
_RECORDINGS = 12  # per speaker, the longest
# Seconds of a recording that stands in for a statement. Reading one takes 13 to 20; the parts of a
# much shorter one are too short to recognize a voice from.
_SHORTEST, _LONGEST = 6.0, 25.0
_FEWEST_WORDS = 2  # that can stand in a phrase
_FEWEST_LETTERS = 5  # of such a word: those of a challenge have four phonemes and more
_EARLIER = 3  # other recordings that "were used before"
_CODERS = (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"))


@dataclass(frozen=True)
class Talker:
    """A held-out speaker with transcribed recordings."""

    name: str
    recordings: tuple[HeldoutUtterance, ...]
    statements: int
    """How many of the recordings, from the first, are long enough to stand in for statements."""


@dataclass(frozen=True)
class Plan:
    """How many trials to run."""

    count: int
    """Of each kind."""
    clones: int | None = None
    """Of clones, which take the longest; None runs `count`."""
    seed: int = 0
    """Of the random pairs, words and coders."""


@dataclass(frozen=True)
class Trial:
    """One attempt and its result."""

    kind: str
    speaker: str
    occasion: int
    """Target trials of one occasion are up to three attempts: the same reference, other
    statements."""
    accepted: bool
    faults: list[str]
    scores: dict[str, float]


@dataclass(frozen=True)
class _Attempt:
    """What is verified: recordings, and what they are claimed to be."""

    reference: HeldoutUtterance
    recording: StatementAnalysis
    statement: Statement
    earlier: list[Fingerprint]


def read_talkers(manifests: Sequence[Path], heldout: Sequence[Path]) -> list[Talker]:
    """The held-out speakers with two transcribed recordings, one of them of 6 s or more.

    Raises:
        UsageError: a file is missing, or there are fewer than two such speakers.
    """
    talkers = []
    for name, rows in rows_by_speaker(manifests, read_names(heldout)).items():
        recordings = [row for row in rows if _is_usable(row)]
        recordings.sort(key=lambda row: (-row["seconds"], str(row["audio"])))
        recordings = recordings[:_RECORDINGS]
        statements = sum(row["seconds"] >= _SHORTEST for row in recordings)
        if len(recordings) >= 2 and statements:
            utterances = tuple(map(HeldoutUtterance.from_row, recordings))
            talkers.append(Talker(name, utterances, statements))
    if len(talkers) < 2:
        raise UsageError(
            f"the manifests have {len(talkers)} held-out speakers with two transcribed recordings, "
            f"one of {_SHORTEST} s or more; two such speakers are needed"
        )
    return talkers


def _is_usable(row: Row) -> bool:
    return row["seconds"] <= _LONGEST and len(find_phrase_words(row["text"] or "")) >= _FEWEST_WORDS


def find_phrase_words(text: str) -> list[tuple[int, int]]:
    """The places [start, end) of the words of a text that can stand in a phrase."""
    if not any(letter.isalpha() for letter in text):
        return []
    words = [word for sentence in split_sentences(text)[0] for word in sentence.words]
    return [
        (word.start, word.end)
        for word in words
        if word.text.isalpha() and len(word.text) >= _FEWEST_LETTERS
    ]


def run_trials(
    model: Model, talkers: Sequence[Talker], plan: Plan, quiet: bool = True
) -> Iterator[Trial]:
    """Run trials of each kind; the same seed gives the same trials.

    Args:
        model: its recognizer, speaker encoder and detector verify, and it makes the clones.
        talkers: from `read_talkers`.
        plan: how many trials.
        quiet: no progress bar.
    """
    runner = _TrialRunner(model, talkers)
    clones = plan.count if plan.clones is None else plan.clones
    counts = dict.fromkeys(KINDS, plan.count) | {CLONE: clones}
    with tqdm(total=sum(counts.values()), desc="consent", disable=quiet or None) as bar:
        for number, (kind, count) in enumerate(counts.items()):
            for trial in itertools.islice(runner.run(kind, (plan.seed, number)), count):
                yield trial
                bar.update()


class _TrialRunner:
    def __init__(self, model: Model, talkers: Sequence[Talker]) -> None:
        self._model = model
        self._talkers = talkers
        self._voices: dict[HeldoutUtterance, Voice] = {}
        # A recording is in many trials, and decoding and analyzing it is most of the work.
        self._samples = functools.cache(HeldoutUtterance.samples)
        self._fingerprint = functools.cache(self._compute_fingerprint)
        self._reference = functools.cache(self._analyze_reference)
        self._statement = functools.cache(self._analyze_statement)

    def run(self, kind: str, seed: tuple[int, int]) -> Iterator[Trial]:
        """Endless trials of a kind, talkers taking turns."""
        for occasion in itertools.count():
            rng = np.random.default_rng((*seed, occasion))
            talker = self._talkers[occasion % len(self._talkers)]
            if kind == TARGET:
                attempts = self._target_attempts(talker, rng)
            else:
                attempts = iter([self._attack(kind, talker, rng)])
            for attempt in attempts:
                yield self._verify(kind, talker, occasion, attempt)

    def _target_attempts(self, talker: Talker, rng: np.random.Generator) -> Iterator[_Attempt]:
        order = [talker.recordings[index] for index in rng.permutation(len(talker.recordings))]
        long = [recording for recording in order if self._is_statement(recording, talker)]
        statements = long[:ATTEMPTS]
        others = [recording for recording in order if recording not in statements]
        # A talker with only these three recordings has fewer attempts.
        reference = others.pop() if others else statements.pop()
        earlier = [self._fingerprint(recording) for recording in others[:_EARLIER]]
        for recording in statements:
            statement = make_statement(recording.text, rng)
            yield _Attempt(reference, self._statement(recording), statement, earlier)

    def _is_statement(self, recording: HeldoutUtterance, talker: Talker) -> bool:
        return recording in talker.recordings[: talker.statements]

    def _attack(self, kind: str, talker: Talker, rng: np.random.Generator) -> _Attempt:
        recording = talker.recordings[rng.integers(talker.statements)]
        others = [other for other in talker.recordings if other is not recording]
        reference, *rest = (others[index] for index in rng.permutation(len(others)))
        impostor = self._choose_impostor(talker, rng)
        text = recording.text
        own_splice = rest.pop() if rest else reference
        earlier = [self._fingerprint(other) for other in rest[:_EARLIER]]
        words, last = None, False
        if kind == IMPOSTOR:
            analysis, text = self._statement(impostor), impostor.text
        elif kind == WRONG_WORDS:
            analysis, words = self._statement(recording), WORDS
        elif kind == REPLAY:
            earlier.append(self._fingerprint(recording))
            analysis = self._analyze(transcode(self._samples(recording), rng))
        elif kind in (SPLICE_ONE, SPLICE_TWO):
            other = own_splice if kind == SPLICE_ONE else impostor
            analysis = self._analyze(splice(self._samples(recording), self._samples(other)))
            text = f"{text}. {other.text}"
            last = True  # what is appended to an old recording is what was not known then
        else:
            analysis = self._analyze(self._clone(reference, text, int(rng.integers(2**31))))
        statement = make_statement(text, rng, words, last)
        return _Attempt(reference, analysis, statement, earlier)

    def _verify(self, kind: str, talker: Talker, occasion: int, attempt: _Attempt) -> Trial:
        scores = verification.compute_scores(
            self._model.bundle,
            self._reference(attempt.reference),
            attempt.recording,
            attempt.statement,
            attempt.earlier,
        )
        faults = scores.find_faults()
        return Trial(kind, talker.name, occasion, not faults, faults, flatten_scores(scores))

    def _analyze(self, samples: Samples) -> StatementAnalysis:
        return verification.analyze_statement(self._model.bundle, samples, EVALUATION_RATE)

    def _analyze_statement(self, recording: HeldoutUtterance) -> StatementAnalysis:
        return self._analyze(self._samples(recording))

    def _analyze_reference(self, recording: HeldoutUtterance) -> ReferenceAnalysis:
        samples = self._samples(recording)
        return verification.analyze_reference(self._model.bundle, samples, EVALUATION_RATE)

    def _choose_impostor(self, talker: Talker, rng: np.random.Generator) -> HeldoutUtterance:
        others = [other for other in self._talkers if other is not talker]
        impostor = others[rng.integers(len(others))]
        return impostor.recordings[rng.integers(impostor.statements)]

    def _compute_fingerprint(self, recording: HeldoutUtterance) -> Fingerprint:
        return compute_fingerprint(self._samples(recording), EVALUATION_RATE)

    def _clone(self, reference: HeldoutUtterance, text: str, seed: int) -> Samples:
        if reference not in self._voices:
            prompt = (self._samples(reference), EVALUATION_RATE)
            self._voices[reference] = self._model.enroll(prompt, attest=ATTESTATION)
        speech = self._model.speak(text, self._voices[reference], seed=seed)
        return resample(speech.audio, speech.sample_rate, EVALUATION_RATE)


def make_statement(
    text: str,
    rng: np.random.Generator,
    words: Sequence[str] | None = None,
    last: bool = False,
) -> Statement:
    """A text, and a run of its words that stands for the phrase.

    Args:
        text: a transcript.
        rng: chooses the run and the words.
        words: replace the phrase's own by some of these.
        last: take the last words of the text.
    """
    places = find_phrase_words(text)
    latest = max(0, len(places) - PHRASE_WORDS)
    first = latest if last else int(rng.integers(latest + 1))
    phrase = places[first : first + PHRASE_WORDS]
    statement = Statement(text, tuple(phrase))
    if words is None:
        return statement
    return statement.with_words([str(word) for word in rng.choice(words, len(phrase), False)])


def transcode(samples: Samples, rng: np.random.Generator) -> Samples:
    """Samples [N] at 16 kHz as a replay has them: coded, at a lower level, with a later start."""
    container, coder = _CODERS[rng.integers(len(_CODERS))]
    start, gain = int(rng.integers(EVALUATION_RATE // 2)), rng.uniform(0.2, 1.0)
    file = io.BytesIO()
    soundfile.write(file, samples[start:] * gain, EVALUATION_RATE, format=container, subtype=coder)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def splice(first: Samples, second: Samples) -> Samples:
    """One recording after the other as an attacker would: without silence, at the same level."""
    first, second = _trim(first), _trim(second)
    target, level = (measure_active_level(part, EVALUATION_RATE) for part in (first, second))
    matched = np.clip(second * 10 ** ((target - level) / 20), -1.0, 1.0)
    return np.concatenate([first, matched]).astype(np.float32)


def _trim(samples: Samples) -> Samples:
    """Without the silence at both ends."""
    (loud,) = np.nonzero(levels.detect_sound(levels.compute_power(samples, EVALUATION_RATE)))
    step = EVALUATION_RATE // levels.STEPS_PER_SECOND
    return samples[loud[0] * step : (loud[-1] + 1) * step] if len(loud) else samples


def flatten_scores(scores: Scores) -> dict[str, float]:
    """Scores as numbers, with the lowest of the words; without what was not checked."""
    numbers = {
        name: value for name, value in scores.as_dict().items() if isinstance(value, float | int)
    }
    return numbers | {"lowest_word": round(min(scores.words.values()), 3)}
