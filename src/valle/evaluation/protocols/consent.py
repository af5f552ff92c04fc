"""`valle evaluate consent`: how often an agreement is accepted, and how often a false one is.

Held-out speakers' recordings stand in for statements, their transcripts for what was to be read,
and some words of each transcript for the phrase. The false ones are made of the same recordings.
"""

from __future__ import annotations

import functools
import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from tqdm import tqdm

from valle.arrays import Samples
from valle.audio import levels
from valle.audio.recording import active_level, resample
from valle.consent import verification
from valle.consent.challenge import PHRASE_WORDS, Statement
from valle.consent.fingerprint import Fingerprint, fingerprint
from valle.consent.verification import Reading, Reference, Scores
from valle.consent.words import WORDS
from valle.corpora.recordings import read_heldout, read_manifest
from valle.errors import UsageError
from valle.evaluation.material import Original
from valle.evaluation.metrics.judges import JUDGE_RATE
from valle.evaluation.protocols.zero_shot import ATTESTATION
from valle.text.phonemes import to_sentences

if TYPE_CHECKING:
    from valle import Model, Voice

TRUE = "true"
KINDS = (TRUE, "other speaker", "wrong words", "replay", "cut, 1 voice", "cut, 2 voices", "clone")
_RECORDINGS = 12  # of each speaker, the longest
# Seconds of a recording that stands in for a statement. Reading one takes 13 to 20; the parts of a
# much shorter one are too short to tell a voice from.
_SHORTEST, _LONGEST = 6.0, 25.0
_FEWEST_WORDS = 2  # of those that can stand in a phrase
_FEWEST_LETTERS = 5  # of a word that can: the challenge's have four phonemes and more
TRIES = 3  # that a true speaker has on one occasion
_EARLIER = 3  # other recordings that were "used before"
_CODERS = (("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("OGG", "OPUS"))


@dataclass(frozen=True)
class Talker:
    """A held-out speaker and what he or she says."""

    name: str
    recordings: tuple[Original, ...]
    statements: int
    """How many of the recordings, from the first, are long enough to stand in for statements."""


@dataclass(frozen=True)
class Trial:
    """One attempt and what became of it."""

    kind: str
    speaker: str
    occasion: int
    """True ones of one occasion are up to three tries: the same reference, other statements."""
    accepted: bool
    faults: list[str]
    scores: dict[str, float]


def read_talkers(manifest: Path, heldout: Path) -> list[Talker]:
    """The held-out speakers with two recordings whose text is known, one of them of 6 s.

    Raises:
        UsageError: a file is missing, or there are not two such speakers.
    """
    names = read_heldout(heldout)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(names)}
    for row in read_manifest(manifest):
        fits = row["speaker"] in names and row["seconds"] <= _LONGEST
        if fits and len(phrase_places(row["text"] or "")) >= _FEWEST_WORDS:
            rows[row["speaker"]].append(row)
    talkers = []
    for name, own in rows.items():
        own.sort(key=lambda row: (-row["seconds"], row["audio"]))
        own = own[:_RECORDINGS]
        long = sum(row["seconds"] >= _SHORTEST for row in own)
        if len(own) >= 2 and long:
            kept = tuple(Original(manifest.parent / row["audio"], row["text"]) for row in own)
            talkers.append(Talker(name, kept, long))
    if len(talkers) < 2:
        raise UsageError(
            f"{heldout} names {len(talkers)} speakers that have two recordings with text in "
            f"{manifest}, one of {_SHORTEST} s or more; two such speakers are needed"
        )
    return talkers


def phrase_places(text: str) -> list[tuple[int, int]]:
    """Where in a text the words lie that can stand in a phrase."""
    if not any(letter.isalpha() for letter in text):
        return []
    found = [word for sentence in to_sentences(text)[0] for word in sentence.words]
    return [
        (word.start, word.end)
        for word in found
        if word.text.isalpha() and len(word.text) >= _FEWEST_LETTERS
    ]


def run_trials(
    model: Model,
    talkers: Sequence[Talker],
    count: int,
    clones: int | None = None,
    seed: int = 0,
    quiet: bool = True,
) -> Iterator[Trial]:
    """Make and judge `count` trials of each kind; the same seed, the same trials.

    Args:
        model: its listener and speaker encoder judge, and it makes the clones.
        talkers: from `read_talkers`.
        count: of each kind.
        clones: so many of these, which take the longest; as many as of the others if not given.
        seed: what pairs, words and coders are drawn from.
        quiet: no progress bar.
    """
    maker = _Maker(model, talkers)
    counts = dict.fromkeys(KINDS, count) | {"clone": count if clones is None else clones}
    with tqdm(total=sum(counts.values()), desc="consent", disable=quiet or None) as bar:
        for number, (kind, wanted) in enumerate(counts.items()):
            for trial in itertools.islice(maker.trials(kind, (seed, number)), wanted):
                yield trial
                bar.update()


class _Maker:
    def __init__(self, model: Model, talkers: Sequence[Talker]) -> None:
        self._model = model
        self._talkers = talkers
        self._voices: dict[Path, Voice] = {}
        # A recording is in many trials, and to read it and listen to it is most of the work.
        self._samples = functools.cache(Original.samples)
        self._fingerprint = functools.cache(self._fingerprinted)
        self._reference = functools.cache(self._heard_reference)
        self._reading = functools.cache(self._heard)

    def trials(self, kind: str, seed: tuple[int, int]) -> Iterator[Trial]:
        """Trials of a kind without end; the talkers take turns."""
        for occasion in itertools.count():
            rng = np.random.default_rng((*seed, occasion))
            talker = self._talkers[occasion % len(self._talkers)]
            if kind == TRUE:
                yield from self._tries(talker, rng, occasion)
            else:
                yield self._false(kind, talker, rng, occasion)

    def _tries(self, talker: Talker, rng: np.random.Generator, occasion: int) -> Iterator[Trial]:
        order = [talker.recordings[index] for index in rng.permutation(len(talker.recordings))]
        long = [one for one in order if one in talker.recordings[: talker.statements]]
        said = long[:TRIES]
        rest = [one for one in order if one not in said]
        # Who has no more than these three recordings tries less often.
        reference = rest.pop() if rest else said.pop()
        earlier = [self._fingerprint(one) for one in rest[:_EARLIER]]
        for one in said:
            statement = drawn_statement(one.text, rng)
            yield self._judge(
                TRUE, talker, occasion, reference, self._reading(one), statement, earlier
            )

    def _false(self, kind: str, talker: Talker, rng: np.random.Generator, occasion: int) -> Trial:
        said = talker.recordings[rng.integers(talker.statements)]
        others = [one for one in talker.recordings if one is not said]
        reference, *rest = (others[index] for index in rng.permutation(len(others)))
        stranger = self._stranger(talker, rng)
        text = said.text
        own = rest.pop() if rest else reference  # what is cut to what was said
        earlier = [self._fingerprint(one) for one in rest[:_EARLIER]]
        words, last = None, False
        if kind == "other speaker":
            reading, text = self._reading(stranger), stranger.text
        elif kind == "wrong words":
            reading, words = self._reading(said), WORDS
        elif kind == "replay":
            earlier.append(self._fingerprint(said))
            reading = self._listen(recoded(self._samples(said), rng))
        elif kind in ("cut, 1 voice", "cut, 2 voices"):
            other = own if kind == "cut, 1 voice" else stranger
            reading = self._listen(joined(self._samples(said), self._samples(other)))
            text = f"{text}. {other.text}"
            last = True  # what is put behind an old recording is what was not known then
        else:
            reading = self._listen(self._clone(reference, text, int(rng.integers(2**31))))
        statement = drawn_statement(text, rng, words, last)
        return self._judge(kind, talker, occasion, reference, reading, statement, earlier)

    def _judge(
        self,
        kind: str,
        talker: Talker,
        occasion: int,
        reference: Original,
        reading: Reading,
        statement: Statement,
        earlier: list[Fingerprint],
    ) -> Trial:
        scores = verification.compare(
            self._model.bundle, self._reference(reference), reading, statement, earlier
        )
        faults = scores.faults()
        return Trial(kind, talker.name, occasion, not faults, faults, plain_scores(scores))

    def _listen(self, samples: Samples) -> Reading:
        return verification.hear(self._model.bundle, samples, JUDGE_RATE)

    def _heard(self, one: Original) -> Reading:
        return self._listen(self._samples(one))

    def _heard_reference(self, one: Original) -> Reference:
        return verification.hear_reference(self._model.bundle, self._samples(one), JUDGE_RATE)

    def _stranger(self, talker: Talker, rng: np.random.Generator) -> Original:
        others = [other for other in self._talkers if other is not talker]
        stranger = others[rng.integers(len(others))]
        return stranger.recordings[rng.integers(stranger.statements)]

    def _fingerprinted(self, one: Original) -> Fingerprint:
        return fingerprint(self._samples(one), JUDGE_RATE)

    def _clone(self, reference: Original, text: str, seed: int) -> Samples:
        if reference.path not in self._voices:
            given = (self._samples(reference), JUDGE_RATE)
            self._voices[reference.path] = self._model.enroll(given, attest=ATTESTATION)
        speech = self._model.speak(text, self._voices[reference.path], seed=seed)
        return resample(speech.audio, speech.sample_rate, JUDGE_RATE)


def drawn_statement(
    text: str,
    rng: np.random.Generator,
    words: Sequence[str] | None = None,
    last: bool = False,
) -> Statement:
    """A text, and a run of its words (the last ones if `last`) that stand for the phrase.

    With `words`, some of these are put in the place of its own.
    """
    places = phrase_places(text)
    latest = max(0, len(places) - PHRASE_WORDS)
    first = latest if last else int(rng.integers(latest + 1))
    phrase = places[first : first + PHRASE_WORDS]
    statement = Statement(text, tuple(phrase))
    if words is None:
        return statement
    return statement.with_words([str(word) for word in rng.choice(words, len(phrase), False)])


def recoded(samples: Samples, rng: np.random.Generator) -> Samples:
    """The samples [N] at 16 kHz as somebody would play them again: coded, softer, begun later."""
    container, coder = _CODERS[rng.integers(len(_CODERS))]
    late, gain = int(rng.integers(JUDGE_RATE // 2)), rng.uniform(0.2, 1.0)
    file = io.BytesIO()
    soundfile.write(file, samples[late:] * gain, JUDGE_RATE, format=container, subtype=coder)
    file.seek(0)
    return np.asarray(soundfile.read(file, dtype="float32")[0])


def joined(one: Samples, other: Samples) -> Samples:
    """One recording after the other as one would cut them: without silence, at the same level."""
    one, other = _spoken(one), _spoken(other)
    change = active_level(one, JUDGE_RATE) - active_level(other, JUDGE_RATE)
    matched = np.clip(other * 10 ** (change / 20), -1.0, 1.0)
    return np.concatenate([one, matched]).astype(np.float32)


def _spoken(samples: Samples) -> Samples:
    (where,) = np.nonzero(levels.sound(levels.powers(samples, JUDGE_RATE)))
    step = JUDGE_RATE // levels.STEPS_PER_SECOND
    return samples[where[0] * step : (where[-1] + 1) * step] if len(where) else samples


def plain_scores(scores: Scores) -> dict[str, float]:
    """Scores as numbers only, the weakest of the words among them; what was not checked is out."""
    facts = {
        name: value for name, value in scores.as_facts().items() if isinstance(value, float | int)
    }
    return facts | {"weakest_word": round(min(scores.words.values()), 3)}
