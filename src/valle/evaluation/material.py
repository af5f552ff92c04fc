"""Evaluation material: held-out speakers, their prompts and recordings, and new sentences.

All of it is selected by rule from the files, never at random, so that two runs, and runs of two
models, synthesize the same sentences from the same prompts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.corpora.recordings import find_part, load_recording_part, read_heldout, read_manifest
from valle.corpora.split import is_evaluation_sentence, plain_words
from valle.errors import UsageError
from valle.evaluation.metrics import EVALUATION_RATE

PROMPT_SECONDS = 3.0
_FEWEST_UTTERANCES = 4  # that a speaker of the closed-set protocols must have
_WORDS = range(5, 15)  # per sentence and utterance, as many as a prompt of 3 s holds
_SHORTEST_UTTERANCE = 2.5  # seconds; a speaker is not recognized reliably from less
# Plain prose only: the voice is evaluated, not the reading of numbers and brackets.
_PROSE = re.compile(r"[A-Z][A-Za-z',-]*(?: [A-Za-z',-]+)*[.?!]")

# A row of a manifest, with `audio` as a full path.
Row = dict[str, Any]


@dataclass(frozen=True)
class HeldoutUtterance:
    """One of a held-out speaker's recordings, and its transcript."""

    path: Path
    text: str
    part: tuple[float, float] | None = None
    """Start and length in seconds of the part of the file that is meant; None: all of it."""

    @classmethod
    def from_row(cls, row: Row) -> HeldoutUtterance:
        """The recording, or the part of one, that a row of a manifest names."""
        return cls(row["audio"], row["text"], find_part(row))

    def samples(self) -> Samples:
        """The recording, mono at 16 kHz."""
        return read_samples(self.path, self.part)


@dataclass(frozen=True)
class Speaker:
    """A held-out speaker."""

    name: str
    corpus: str
    prompt: Samples
    """3 s at 16 kHz, of a recording that is not among the utterances."""
    utterances: tuple[HeldoutUtterance, ...]
    """Ground truth: recordings with transcripts."""


def read_samples(path: Path, part: tuple[float, float] | None = None) -> Samples:
    """Read a recording, or a part of it (start and length in seconds), mono at 16 kHz."""
    recording = load_recording_part(path, part)
    return resample(recording.samples, recording.sample_rate, EVALUATION_RATE)


def read_row(row: Row) -> Samples:
    """Read the recording, or the part of one, that a row of a manifest names, mono at 16 kHz."""
    return read_samples(row["audio"], find_part(row))


def loudest(samples: Samples, length: int) -> Samples:
    """The window of `length` samples with the most energy: speech, not the silence around it."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length])) if len(samples) > length else 0
    return samples[start : start + length]


def read_manifests(manifests: Sequence[Path]) -> list[Row]:
    """The rows of several manifests one after another, `audio` resolved to a full path.

    Raises:
        UsageError: a manifest is missing.
    """
    return [
        row | {"audio": manifest.parent / row["audio"]}
        for manifest in manifests
        for row in read_manifest(manifest)
    ]


def read_names(heldout: Sequence[Path]) -> frozenset[str]:
    """The speakers of several held-out lists together.

    Raises:
        UsageError: a list is missing.
    """
    return frozenset(name for path in heldout for name in read_heldout(path) if name)


def rows_by_speaker(manifests: Sequence[Path], names: Collection[str]) -> dict[str, list[Row]]:
    """The manifest rows of each of some speakers, in order of the names; may be empty."""
    rows: dict[str, list[Row]] = {name: [] for name in sorted(names)}
    for row in read_manifests(manifests):
        if row["speaker"] in rows:
            rows[row["speaker"]].append(row)
    return rows


def make_speaker(name: str, prompt: Row, utterances: Iterable[Row]) -> Speaker:
    """A speaker from manifest rows: the prompt is the loudest 3 s of its recording."""
    samples = loudest(read_row(prompt), round(PROMPT_SECONDS * EVALUATION_RATE))
    transcribed = tuple(map(HeldoutUtterance.from_row, utterances))
    return Speaker(name, prompt["corpus"], samples, transcribed)


def read_speakers(
    manifests: Sequence[Path],
    heldout: Sequence[Path],
    is_known: Callable[[str], bool],
    most: int = _FEWEST_UTTERANCES,
) -> list[Speaker]:
    """The held-out speakers of the closed-set protocols, corpora interleaved.

    No two utterances have the same words, so that each transcript identifies one of them.

    Args:
        manifests: JSONL lists of recordings.
        heldout: lists of speaker names.
        is_known: whether every word of a text is in the identifier's dictionary.
        most: utterances per speaker; each has as many as there are, and at least four.

    Raises:
        UsageError: a file is missing, or a speaker has too few recordings.
    """
    rows = rows_by_speaker(manifests, read_names(heldout))
    taken: set[str] = set()
    return interleave_corpora(
        _read_speaker(name, recordings, is_known, taken, most) for name, recordings in rows.items()
    )


def _read_speaker(
    name: str, rows: list[Row], is_known: Callable[[str], bool], taken: set[str], most: int
) -> Speaker:
    utterances: list[Row] = []
    prompts: list[Row] = []
    for row in rows:
        words = plain_words(row["text"] or "")
        key = " ".join(words)
        fits = len(words) in _WORDS and row["seconds"] >= _SHORTEST_UTTERANCE and key not in taken
        if fits and len(utterances) < most and is_known(key):
            taken.add(key)
            utterances.append(row)
        elif row["seconds"] >= PROMPT_SECONDS:
            prompts.append(row)
    if len(utterances) < min(_FEWEST_UTTERANCES, most) or not prompts:
        raise UsageError(
            f"speaker {name} has too few recordings with text: an evaluation needs "
            f"{_FEWEST_UTTERANCES} of {_SHORTEST_UTTERANCE} s or more, and another of "
            f"{PROMPT_SECONDS} s or more"
        )
    return make_speaker(name, prompts[0], utterances)


def interleave_corpora(speakers: Iterable[Speaker]) -> list[Speaker]:
    """One speaker of each corpus after another, so that the first few represent all corpora."""
    by_corpus: dict[str, list[Speaker]] = {}
    for speaker in speakers:
        by_corpus.setdefault(speaker.corpus, []).append(speaker)
    rounds = zip_longest(*by_corpus.values())
    return [speaker for turn in rounds for speaker in turn if speaker is not None]


def select_sentences(
    sentences: Path,
    manifests: Sequence[Path],
    count: int | None,
    is_known: Callable[[str], bool] = lambda _text: True,
) -> list[str]:
    """Short plain sentences that no training text contains, whole or as a part.

    Args:
        sentences: lines of source, tab, sentence. Those that the split keeps for evaluation are
            candidates; all others are training texts.
        manifests: their transcripts are training texts too.
        count: how many; None takes all that fit.
        is_known: whether every word of a text is in a dictionary.

    Raises:
        UsageError: a file is missing, or has too few such sentences.
    """
    if not sentences.is_file():
        raise UsageError(f"there is no file {sentences}; give the sentences with --text")
    lines = sentences.read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t", 1)[-1].strip() for line in lines]
    transcripts = (row["text"] for row in read_manifests(manifests) if row["text"])
    training = _join_words([*(t for t in texts if not is_evaluation_sentence(t)), *transcripts])
    candidates = {
        key: text
        for text in texts
        if is_evaluation_sentence(text)
        and _PROSE.fullmatch(text)
        and len(plain_words(text)) in _WORDS
        for key in [" ".join(plain_words(text))]
    }
    selected: list[str] = []
    # By hash, so that neither the order of the file nor an added line reorders the selection.
    for key in sorted(candidates, key=lambda key: hashlib.sha256(key.encode()).hexdigest()):
        if len(selected) == count:
            break
        if is_known(key) and f" {key} " not in training:
            selected.append(candidates[key])
    if len(selected) < (count or 1):
        raise UsageError(
            f"{sentences} has {len(selected)} sentences fit for evaluation, {count or 1} are needed"
        )
    return selected


def _join_words(texts: Iterable[str]) -> str:
    """The plain words of all texts in one string, in which any run of words can be searched."""
    return "|".join(f" {' '.join(plain_words(text))} " for text in texts)
