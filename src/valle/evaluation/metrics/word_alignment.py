"""Deleted and repeated words of a recording of a known text, by forced alignment.

The text is aligned with the log-probabilities of the recognizer's CTC head. For each word, the
stretch from the word before it to the word after it is then aligned three times: as it is, without
the word, and with the word twice. A word counts as deleted when the stretch is far more likely
without it, and as repeated when it is more likely with two of it. Nothing has to be recognized
freely, so a recognizer that gets many phonemes wrong can still tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.runtime.alignment import viterbi
from valle.text.segmentation import Sentence
from valle.text.symbols import BORDERS

# Seconds per phoneme, pauses included. Recordings of 20 speakers have 0.08 to 0.49.
SHORTEST, LONGEST = 0.06, 0.5
_MARGIN = 0.5  # seconds of silence before and after, which dominate a single word
# Nats by which a stretch must be more likely without a word. One word in fifty of recordings
# through the codec exceeds it, and 95 % of words that were not said at all.
DELETION_MARGIN = 11.0
# Phonemes of a word that is checked: a single lost one is more often the recognizer's mistake.
_FEWEST = 2


@dataclass(frozen=True)
class WordCheck:
    """How a recording differs from its text."""

    words: int
    """Words that were checked: those of two phonemes or more."""
    deleted: tuple[str, ...]
    repeated: tuple[str, ...]
    truncated: bool
    """Shorter than the fastest speech of this many phonemes."""
    run_on: bool
    """Longer than the slowest speech of this many phonemes."""

    @property
    def flagged(self) -> bool:
        """Whether anything is wrong."""
        return bool(self.deleted or self.repeated or self.truncated or self.run_on)


def spoken_words(sentences: Sequence[Sentence]) -> list[tuple[str, list[str]]]:
    """Each word of some sentences as it is written, and its phonemes."""
    words: list[tuple[str, list[str]]] = []
    for sentence in sentences:
        by_word: dict[int, list[str]] = {}
        for phoneme in sentence.phonemes:
            if phoneme.symbol not in BORDERS:
                by_word.setdefault(phoneme.word, []).append(phoneme.symbol)
        words += [(sentence.words[word].text, phonemes) for word, phonemes in by_word.items()]
    return words


def check_words(
    ctc: NDArray[np.floating],
    classes: Sequence[str],
    words: Sequence[tuple[str, Sequence[str]]],
    seconds: float,
) -> WordCheck:
    """Compare a recording with the words that it should say.

    Args:
        ctc: [frames, classes] log-probabilities of the recognizer's CTC head.
        classes: of the recognizer; the first is the blank.
        words: as they are written, and their phonemes; from `spoken_words`.
        seconds: duration of the recording.
    """
    columns = {symbol: column for column, symbol in enumerate(classes)}
    tokens = [np.array([columns[p] for p in phonemes if p in columns]) for _, phonemes in words]
    total = sum(map(len, tokens))
    checked = [len(word) >= _FEWEST for word in tokens]
    aligned = _align(ctc, tokens)
    if aligned is None:  # fewer frames than phonemes: no word can be placed
        lost = tuple(word for (word, _), check in zip(words, checked, strict=True) if check)
        return WordCheck(sum(checked), lost, (), True, False)
    spans = aligned[1]
    deleted, repeated = [], []
    for index, (word, _) in enumerate(words):
        if not checked[index]:
            continue
        before, after = tokens[max(0, index - 1) : index], tokens[index + 1 : index + 2]
        begin = spans[index - 1][0] if before else 0
        end = spans[index + 1][1] if after else len(ctc)
        stretch = ctc[begin:end]
        once = _log_likelihood(stretch, [*before, tokens[index], *after])
        without = _log_likelihood(stretch, [*before, *after])
        twice = _log_likelihood(stretch, [*before, tokens[index], tokens[index], *after])
        if without > max(once, twice) + DELETION_MARGIN:
            deleted.append(word)
        elif twice > once:
            repeated.append(word)
    return WordCheck(
        sum(checked),
        tuple(deleted),
        tuple(repeated),
        truncated=seconds < SHORTEST * total,
        run_on=seconds > LONGEST * total + _MARGIN,
    )


def _log_likelihood(ctc: NDArray[np.floating], words: Sequence[NDArray[np.int64]]) -> float:
    aligned = _align(ctc, words)
    return -np.inf if aligned is None else aligned[0]


def _align(
    ctc: NDArray[np.floating], words: Sequence[NDArray[np.int64]]
) -> tuple[float, list[tuple[int, int]]] | None:
    """Log-probability of the best path through some words, and the frames of each, [begin, end).

    Blanks are optional before, between and after all phonemes. None for too few frames.
    """
    tokens = np.concatenate([np.zeros(0, np.int64), *words])
    symbols = np.zeros(2 * len(tokens) + 1, np.int64)
    symbols[1::2] = tokens
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
