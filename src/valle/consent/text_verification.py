"""How surely a given text is said in a recording.

Nothing is recognised: the text is laid over the listener's CTC log-probabilities on its best path
(Viterbi over phonemes and blanks), and compared with the best path of no text at all. The log of
their likelihood ratio, for each phoneme, is 0 where the text is what the listener would have heard
anyway, and falls with every sound that was not said or said besides.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.text.phonemes import to_sentences
from valle.text.symbols import BLANK, BORDERS

LOWEST = -20.0  # nats a frame, and the score of a text that has no room in the recording

_NOT_BEGUN = -1e30

Span = tuple[int, int]


@dataclass(frozen=True)
class Said:
    """Log-likelihood ratios in nats for each phoneme; 0 is the best, `LOWEST` the worst."""

    whole: float
    words: dict[Span, float]
    """By the word's place in the text, with the frames up to its neighbours."""
    phonemes: dict[Span, int]
    """How many phonemes each word has."""
    frames: dict[Span, tuple[int, int]]
    """The first frame of each word, and the one after its last; empty for a text with no room."""


def how_surely_said(log_probs: NDArray[np.floating], classes: Sequence[str], text: str) -> Said:
    """Score a text against a recording; what is said before and after it does not count.

    Args:
        log_probs: [frames, classes], the CTC head's natural logarithms.
        classes: the listener's symbols, "<blank>" among them.
        text: English, with at least one word. Raises TextError where it has none.
    """
    spans, said = _phonemes(text, tuple(classes))
    count = {span: spans.count(span) for span in spans}
    path = best_path(_ratio(log_probs), said, classes.index(BLANK))
    if path is None:
        return Said(LOWEST, dict.fromkeys(count, LOWEST), count, {})
    begin, states, costs = path
    words, frames = {}, {}
    for span, phonemes in count.items():
        first = spans.index(span)
        # From the blank before the word's first phoneme to the one after its last: a sound that
        # was put in beside it is paid for by the word too.
        inside = (states >= 2 * first) & (states <= 2 * (first + phonemes))
        words[span] = max(LOWEST, float(costs[inside].sum()) / phonemes)
        (own,) = np.nonzero((states > 2 * first) & (states < 2 * (first + phonemes)))
        frames[span] = (begin + int(own[0]), begin + int(own[-1]) + 1)
    whole = max(LOWEST, float(costs.sum()) / len(said))
    return Said(whole, words, count, frames)


def margin(
    log_probs: NDArray[np.floating], classes: Sequence[str], text: str, others: Sequence[str]
) -> float:
    """By how much a text fits a recording better than the best of others, nats for each phoneme.

    A listener who hears nothing clearly finds every text: the ratio to what it would have heard
    anyway is near 0 for all. Then this is near 0 too, and falls below.
    """
    texts = [_phonemes(one, tuple(classes))[1] for one in (text, *others)]
    scores = best_scores(_ratio(log_probs), texts, classes.index(BLANK))
    scores = np.maximum(scores / [len(said) for said in texts], LOWEST)
    return float(scores[0] - scores[1:].max())


def best_scores(
    ratio: NDArray[np.float64], texts: Sequence[NDArray[np.int64]], blank: int
) -> NDArray[np.float64]:
    """The sums of ratios along the `best_path` of each text, all at once; `_NOT_BEGUN` for none."""
    count = 2 * max(len(said) for said in texts) + 1
    # Shorter texts are filled up with blanks that are never come to: their last symbol is asked.
    state_class = np.full((len(texts), count), blank)
    may_skip = np.full((len(texts), count), _NOT_BEGUN)
    for row, said in enumerate(texts):
        state_class[row, 1 : 2 * len(said) : 2] = said
        may_skip[row, 3 : 2 * len(said) : 2][said[1:] != said[:-1]] = 0.0
    last = np.array([2 * len(said) - 1 for said in texts])
    rows = np.arange(len(texts))
    score = np.full((len(texts), count), _NOT_BEGUN)
    best = np.full(len(texts), _NOT_BEGUN)
    for frame in ratio:
        ways = score.copy()
        ways[:, 1:] = np.maximum(ways[:, 1:], score[:, :-1])
        ways[:, 2:] = np.maximum(ways[:, 2:], score[:, :-2] + may_skip[:, 2:])
        ways[:, 1] = 0.0  # the path may begin at any frame: what lies before does not count
        score = ways + frame[state_class]
        best = np.maximum(best, score[rows, last])
    return best


def best_path(
    ratio: NDArray[np.float64], symbols: NDArray[np.int64], blank: int
) -> tuple[int, NDArray[np.int64], NDArray[np.float64]] | None:
    """The best CTC path of symbols through a part of the frames, begun and ended at any of them.

    Args:
        ratio: [frames, classes] log-probability above that of the frame's best class; at most 0.
        symbols: [S] classes, in order; each is passed, and blanks may lie between any two.
        blank: the class of the blank.

    Returns:
        The first frame of the path; of each of its frames the state (2 s + 1 is symbol s, even
        ones are blanks) and the ratio. None when there are too few frames.
    """
    frames, count = len(ratio), 2 * len(symbols) + 1
    state_class = np.full(count, blank)
    state_class[1::2] = symbols
    emission = ratio[:, state_class]
    # A blank may be left out between two symbols that differ.
    may_skip = np.full(count, _NOT_BEGUN)
    may_skip[3::2][symbols[1:] != symbols[:-1]] = 0.0
    score = np.full(count, _NOT_BEGUN)
    came = np.zeros((frames, count), np.int8)  # from how many states before
    last = count - 2
    best, end = _NOT_BEGUN, -1
    for t in range(frames):
        ways = np.full((3, count), _NOT_BEGUN)
        ways[0] = score
        ways[1, 1:] = score[:-1]
        ways[2, 2:] = score[:-2]
        ways[2] += may_skip
        came[t] = ways.argmax(axis=0)
        score = ways.max(axis=0)
        score[1] = 0.0  # the path may begin at any frame: what lies before does not count
        score += emission[t]
        if score[last] >= best:
            best, end = float(score[last]), t
    if best <= _NOT_BEGUN / 2:
        return None
    states = [last]
    while states[-1] != 1:
        states.append(states[-1] - int(came[end - len(states) + 1, states[-1]]))
    path = np.array(states[::-1], np.int64)
    begin = end - len(path) + 1
    return begin, path, emission[np.arange(begin, end + 1), path]


@functools.lru_cache(maxsize=256)  # the other phrases are always the same
def _phonemes(text: str, classes: tuple[str, ...]) -> tuple[list[Span], NDArray[np.int64]]:
    """Of each phoneme of a text the place of its word, and its class."""
    columns = {symbol: column for column, symbol in enumerate(classes)}
    spans: list[Span] = []
    said: list[int] = []
    for sentence in to_sentences(text)[0]:
        for phoneme in sentence.phonemes:
            if phoneme.symbol not in BORDERS and phoneme.symbol in columns:
                word = sentence.words[phoneme.word]
                spans.append((word.start, word.end))
                said.append(columns[phoneme.symbol])
    return spans, np.array(said, np.int64)


def _ratio(log_probs: NDArray[np.floating]) -> NDArray[np.float64]:
    best = log_probs.max(axis=1, keepdims=True)
    return np.asarray(np.maximum(log_probs - best, LOWEST), np.float64)
