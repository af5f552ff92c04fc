"""Which words of a text are missing or doubled in a recording, by forced alignment.

The text is laid over the CTC head's log-probabilities. For each word, the stretch from the word
before it to the word after it is then aligned three times: as it is, without the word, and with the
word twice. A word is missing when the stretch is likelier by far without it, and doubled when it is
likelier with two of it. Nothing has to be
recognised freely, so a listener that hears many sounds amiss can still tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.runtime.alignment import viterbi
from valle.text.phonemes import Sentence
from valle.text.symbols import BORDERS

# Seconds a phoneme, pauses included. Recordings of 20 speakers have 0.08 to 0.49.
SHORTEST, LONGEST = 0.06, 0.5
_AROUND = 0.5  # seconds of silence around, which count for much beside a single word
# Nats by which a stretch must be likelier without a word. One word of fifty in recordings through
# the codec is further off, and 0.95 of words that were not said at all.
LOST = 11.0
_FEWEST = 2  # sounds of a word that is judged; one lost sound is more often the listener's mistake


@dataclass(frozen=True)
class Said:
    """What was found in a recording of some words."""

    words: int
    """Those of two sounds or more."""
    missing: tuple[str, ...]
    doubled: tuple[str, ...]
    cut_short: bool
    """It is shorter than the fastest speech of so many phonemes."""
    runs_on: bool
    """It is longer than the slowest speech of so many phonemes."""

    @property
    def flagged(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.missing or self.doubled or self.cut_short or self.runs_on)


def words_of(sentences: Sequence[Sentence]) -> list[tuple[str, list[str]]]:
    """Each word of some sentences as it is written, and its phonemes."""
    found: list[tuple[str, list[str]]] = []
    for sentence in sentences:
        by_word: dict[int, list[str]] = {}
        for phoneme in sentence.phonemes:
            if phoneme.symbol not in BORDERS:
                by_word.setdefault(phoneme.word, []).append(phoneme.symbol)
        found += [(sentence.words[word].text, phonemes) for word, phonemes in by_word.items()]
    return found


def said(
    ctc: NDArray[np.floating],
    classes: Sequence[str],
    words: Sequence[tuple[str, Sequence[str]]],
    seconds: float,
) -> Said:
    """Compare a recording with the words that it should hold.

    Args:
        ctc: [frames, classes] log-probabilities of the CTC head, from `Listener.ctc`.
        classes: of the listener; the first is the blank.
        words: as they are written, and their phonemes; from `words_of`.
        seconds: how long the recording is.
    """
    columns = {symbol: column for column, symbol in enumerate(classes)}
    rows = [np.array([columns[p] for p in phonemes if p in columns]) for _, phonemes in words]
    total = sum(map(len, rows))
    cut_short = seconds < SHORTEST * total
    runs_on = seconds > LONGEST * total + _AROUND
    judged = [len(row) >= _FEWEST for row in rows]
    aligned = _align(ctc, rows)
    if aligned is None:  # fewer frames than sounds: where which word is cannot be said
        lost = tuple(word for (word, _), judge in zip(words, judged, strict=True) if judge)
        return Said(sum(judged), lost, (), True, False)
    spans = aligned[1]
    missing, doubled = [], []
    for index, (word, _) in enumerate(words):
        if not judged[index]:
            continue
        before, after = rows[max(0, index - 1) : index], rows[index + 1 : index + 2]
        begin = spans[index - 1][0] if before else 0
        end = spans[index + 1][1] if after else len(ctc)
        stretch, own = ctc[begin:end], rows[index]
        once = _fit(stretch, [*before, own, *after])
        without = _fit(stretch, [*before, *after])
        twice = _fit(stretch, [*before, own, own, *after])
        if without > max(once, twice) + LOST:
            missing.append(word)
        elif twice > once:
            doubled.append(word)
    return Said(sum(judged), tuple(missing), tuple(doubled), cut_short, runs_on)


def _fit(ctc: NDArray[np.floating], words: Sequence[NDArray[np.int64]]) -> float:
    aligned = _align(ctc, words)
    return -np.inf if aligned is None else aligned[0]


def _align(
    ctc: NDArray[np.floating], words: Sequence[NDArray[np.int64]]
) -> tuple[float, list[tuple[int, int]]] | None:
    """Log-probability of the best path through some words, and the frames of each, [begin, end).

    Blanks may stand before, between and after all sounds. None for too few frames.
    """
    sounds = np.concatenate([np.zeros(0, np.int64), *words])
    symbols = np.zeros(2 * len(sounds) + 1, np.int64)
    symbols[1::2] = sounds
    optional = symbols == 0
    path = viterbi(ctc, symbols, optional)
    if path is None:
        return None
    spans, first = [], 0
    for word in words:
        last = first + len(word)
        at = np.flatnonzero((path > 2 * first) & (path < 2 * last)) if len(word) else path[:0]
        spans.append((int(at[0]), int(at[-1]) + 1) if len(at) else (0, len(ctc)))
        first = last
    return float(ctc[np.arange(len(path)), symbols[path]].sum()), spans
