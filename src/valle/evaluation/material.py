"""What an evaluation is made of: held-out speakers, their prompts and recordings, new sentences.

Everything here is chosen by rule from the files, never by chance, so two runs, and runs of two
models, say the same sentences with the same prompts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.audio.recording import load_recording, resample
from valle.corpora.recordings import read_heldout, read_manifest
from valle.corpora.split import is_evaluation_sentence, plain_words
from valle.errors import UsageError
from valle.evaluation.metrics.judges import JUDGE_RATE, SentenceChooser

PROMPT_SECONDS = 3.0
_FEWEST = 4  # originals that a speaker must have
_WORDS = range(5, 15)  # words of a sentence, originals too: of the length that prompts are
_SHORTEST_ORIGINAL = 2.5  # seconds; a voice is not told reliably from less
# Plain prose only: what is judged is the voice, not the reading of numbers and brackets.
_PROSE = re.compile(r"[A-Z][A-Za-z',-]*(?: [A-Za-z',-]+)*[.?!]")


@dataclass(frozen=True)
class Protocol:
    """How much is said and judged."""

    name: str
    per_speaker: int
    """Sentences that each speaker says; as many originals are heard, of those that have them."""
    choices: int
    """Sentences that the judge chooses between."""
    quality: bool
    """Whether the quality of the sound is rated too."""


QUICK = Protocol("quick", 4, 40, quality=False)
DEFAULT = Protocol("default", 8, 100, quality=True)


@dataclass(frozen=True)
class Original:
    """One of a speaker's own recordings, and what it says."""

    path: Path
    text: str

    def samples(self) -> Samples:
        """The recording, mono at 16 kHz."""
        return read_samples(self.path)


@dataclass(frozen=True)
class Speaker:
    """A held-out speaker."""

    name: str
    corpus: str
    prompt: Samples
    """3 s at 16 kHz, of a recording that is not among the originals."""
    originals: tuple[Original, ...]


def read_samples(path: Path) -> Samples:
    """A recording, mono at 16 kHz."""
    recording = load_recording(path)
    return resample(recording.samples, recording.sample_rate, JUDGE_RATE)


def loudest(samples: Samples, length: int) -> Samples:
    """The `length` samples in a row with the most energy: speech, not the silence around it."""
    energy = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length])) if len(samples) > length else 0
    return samples[start : start + length]


def read_speakers(
    manifest: Path, heldout: Path, chooser: SentenceChooser, originals: int = _FEWEST
) -> list[Speaker]:
    """The held-out speakers with a prompt and originals, corpora taking turns.

    Each has as many of the wanted originals as there are, and four at least.

    No two originals say the same words, so that the right choice is the only one.

    Raises:
        UsageError: a file is missing, or a speaker has too few recordings.
    """
    for path, option in ((manifest, "--manifest"), (heldout, "--heldout")):
        _need(path, option)
    names = read_heldout(heldout)
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in sorted(names)}
    for row in read_manifest(manifest):
        if row["speaker"] in names:
            rows[row["speaker"]].append(row)
    taken: set[str] = set()
    speakers = [
        _read_speaker(name, own, manifest.parent, chooser, taken, originals)
        for name, own in rows.items()
    ]
    return _taking_turns(speakers)


def _read_speaker(
    name: str,
    rows: list[dict[str, Any]],
    folder: Path,
    chooser: SentenceChooser,
    taken: set[str],
    wanted: int,
) -> Speaker:
    originals: list[dict[str, Any]] = []
    prompts: list[dict[str, Any]] = []
    for row in rows:
        words = plain_words(row["text"] or "")
        key = " ".join(words)
        fits = len(words) in _WORDS and row["seconds"] >= _SHORTEST_ORIGINAL and key not in taken
        if fits and len(originals) < wanted and chooser.knows(key):
            taken.add(key)
            originals.append(row)
        elif row["seconds"] >= PROMPT_SECONDS:
            prompts.append(row)
    if len(originals) < min(_FEWEST, wanted) or not prompts:
        raise UsageError(
            f"speaker {name} has too few recordings with text: an evaluation needs {_FEWEST} "
            f"of {_SHORTEST_ORIGINAL} s or more, and another of {PROMPT_SECONDS} s or more"
        )
    prompt = loudest(read_samples(folder / prompts[0]["audio"]), round(PROMPT_SECONDS * JUDGE_RATE))
    return Speaker(
        name,
        rows[0]["corpus"],
        prompt,
        tuple(Original(folder / row["audio"], row["text"]) for row in originals),
    )


def _taking_turns(speakers: list[Speaker]) -> list[Speaker]:
    """One speaker of each corpus after another, so that the first few stand for all corpora."""
    by_corpus: dict[str, list[Speaker]] = {}
    for speaker in speakers:
        by_corpus.setdefault(speaker.corpus, []).append(speaker)
    turns = zip_longest(*by_corpus.values())
    return [speaker for turn in turns for speaker in turn if speaker is not None]


def draw_sentences(
    sentences: Path, manifest: Path, chooser: SentenceChooser, count: int = QUICK.choices
) -> list[str]:
    """Short plain sentences that no training text contains, whole or as a part.

    Args:
        sentences: lines of source, tab, sentence; those that the split keeps for evaluation are
            drawn from, all others are training texts.
        manifest: its transcripts are training texts too.
        chooser: knows every word of what is drawn.

    Raises:
        UsageError: a file is missing, or holds too few such sentences.
    """
    _need(sentences, "--text")
    lines = sentences.read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t", 1)[-1].strip() for line in lines]
    spoken = (row["text"] for row in read_manifest(manifest) if row["text"])
    training = _one_text([*(t for t in texts if not is_evaluation_sentence(t)), *spoken])
    candidates = {
        key: text
        for text in texts
        if is_evaluation_sentence(text)
        and _PROSE.fullmatch(text)
        and len(plain_words(text)) in _WORDS
        for key in [" ".join(plain_words(text))]
    }
    drawn: list[str] = []
    # By hash, so that neither the order of the file nor a line added to it shuffles the draw.
    for key in sorted(candidates, key=lambda key: hashlib.sha256(key.encode()).hexdigest()):
        if len(drawn) == count:
            break
        if chooser.knows(key) and f" {key} " not in training:
            drawn.append(candidates[key])
    if len(drawn) < count:
        raise UsageError(
            f"{sentences} has {len(drawn)} sentences fit for evaluation, {count} are needed"
        )
    return drawn


def _one_text(texts: Iterable[str]) -> str:
    """All texts as plain words in one string, in which any run of words can be searched."""
    return "|".join(f" {' '.join(plain_words(text))} " for text in texts)


def _need(path: Path, option: str) -> None:
    if not path.is_file():
        raise UsageError(f"there is no file {path}; say where it is with {option}")
