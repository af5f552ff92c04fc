"""Text verification: how well a given text matches a recording.

Nothing is recognized. The text is aligned with the recognizer's CTC log-probabilities along its
best path (Viterbi over phonemes and blanks), and compared with the best path without any text. The
log-likelihood ratio per phoneme is a goodness-of-pronunciation score (Witt and Young 2000,
"Phone-level pronunciation scoring and assessment for interactive language learning"): 0 where the
text is what the recognizer would have recognized by itself, lower with every sound that is missing
or inserted.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.text.segmentation import split_sentences
from valle.text.symbols import BLANK, BORDERS

MIN_SCORE = -20.0  # nats per frame; also the score of a text that does not fit into the recording

_UNREACHABLE = -1e30  # score of a state that no path reaches

Span = tuple[int, int]
"""Start and end of a word in its text, in characters."""


@dataclass(frozen=True)
class TextScore:
    """Log-likelihood ratios in nats per phoneme: 0 is the best, `MIN_SCORE` the worst."""

    whole: float
    words: dict[Span, float]
    """Of each word, including the frames between it and its neighbors."""
    phoneme_counts: dict[Span, int]
    """How many phonemes each word has."""
    frames: dict[Span, tuple[int, int]]
    """First frame of each word, and one past its last; empty for a text that does not fit."""


@dataclass(frozen=True)
class CtcPath:
    """A path of symbols through a part of a recording."""

    start: int
    """Its first frame."""
    states: NDArray[np.int64]
    """[frames] 2 s + 1 is symbol s, even states are blanks."""
    ratios: NDArray[np.float64]
    """[frames] log-likelihood ratios, nats."""


def score_text(log_probs: NDArray[np.floating], classes: Sequence[str], text: str) -> TextScore:
    """Score a text against a recording; speech before and after it does not matter.

    Args:
        log_probs: [frames, classes], natural logarithms from the CTC head.
        classes: The recognizer's symbols, "<blank>" among them.
        text: English.

    Raises:
        TextError: The text has no words.
    """
    spans, symbols = _to_classes(text, tuple(classes))
    counts = {span: spans.count(span) for span in spans}
    path = best_path(_to_ratios(log_probs), symbols, classes.index(BLANK))
    if path is None:
        return TextScore(MIN_SCORE, dict.fromkeys(counts, MIN_SCORE), counts, {})
    words, frames = {}, {}
    for span, count in counts.items():
        first = spans.index(span)
        # From the blank before the word's first phoneme to the one after its last: a sound inserted
        # next to the word lowers its score too.
        with_blanks = (path.states >= 2 * first) & (path.states <= 2 * (first + count))
        words[span] = max(MIN_SCORE, float(path.ratios[with_blanks].sum()) / count)
        (inside,) = np.nonzero((path.states > 2 * first) & (path.states < 2 * (first + count)))
        frames[span] = (path.start + int(inside[0]), path.start + int(inside[-1]) + 1)
    whole = max(MIN_SCORE, float(path.ratios.sum()) / len(symbols))
    return TextScore(whole, words, counts, frames)


def score_margin(
    log_probs: NDArray[np.floating], classes: Sequence[str], text: str, decoys: Sequence[str]
) -> float:
    """Return by how much a text scores above the best of several decoys, nats per phoneme.

    A recognizer without a clear opinion accepts every text: the ratio to its own best path is near
    0 for all of them. Then the margin is near 0 too, or below.
    """
    texts = [_to_classes(candidate, tuple(classes))[1] for candidate in (text, *decoys)]
    scores = best_path_scores(_to_ratios(log_probs), texts, classes.index(BLANK))
    scores = np.maximum(scores / [len(symbols) for symbols in texts], MIN_SCORE)
    return float(scores[0] - scores[1:].max())


def best_path_scores(
    ratios: NDArray[np.float64], texts: Sequence[NDArray[np.int64]], blank: int
) -> NDArray[np.float64]:
    """Return the score of the `best_path` of each text, computed for all texts at once.

    Args:
        ratios: [frames, classes] log-probability minus that of the frame's best class.
        texts: Classes of each text.
        blank: The class of the blank.

    Returns:
        [texts] sums of ratios; `_UNREACHABLE` for a text that does not fit.
    """
    count = 2 * max(len(symbols) for symbols in texts) + 1
    # Shorter texts are padded with blanks after the state whose score is read.
    state_class = np.full((len(texts), count), blank)
    skip_cost = np.full((len(texts), count), _UNREACHABLE)
    for row, symbols in enumerate(texts):
        state_class[row, 1 : 2 * len(symbols) : 2] = symbols
        skip_cost[row, 3 : 2 * len(symbols) : 2][symbols[1:] != symbols[:-1]] = 0.0
    last = np.array([2 * len(symbols) - 1 for symbols in texts])
    rows = np.arange(len(texts))
    score = np.full((len(texts), count), _UNREACHABLE)
    best = np.full(len(texts), _UNREACHABLE)
    for frame in ratios:
        incoming = score.copy()
        incoming[:, 1:] = np.maximum(incoming[:, 1:], score[:, :-1])
        incoming[:, 2:] = np.maximum(incoming[:, 2:], score[:, :-2] + skip_cost[:, 2:])
        incoming[:, 1] = 0.0  # the path may start at any frame: earlier speech does not count
        score = incoming + frame[state_class]
        best = np.maximum(best, score[rows, last])
    return best


def best_path(
    ratios: NDArray[np.float64], symbols: NDArray[np.int64], blank: int
) -> CtcPath | None:
    """Find the best CTC path of symbols, which may start and end at any frame (Viterbi).

    Args:
        ratios: [frames, classes] log-probability minus that of the frame's best class; at most 0.
        symbols: [S] classes, in order; all are visited, with optional blanks between them.
        blank: The class of the blank.

    Returns:
        The path; None if there are too few frames.
    """
    frames, count = len(ratios), 2 * len(symbols) + 1
    state_class = np.full(count, blank)
    state_class[1::2] = symbols
    emission = ratios[:, state_class]
    # A blank may be skipped between two symbols that differ.
    skip_cost = np.full(count, _UNREACHABLE)
    skip_cost[3::2][symbols[1:] != symbols[:-1]] = 0.0
    score = np.full(count, _UNREACHABLE)
    steps = np.zeros((frames, count), np.int8)  # how many states forward each frame went
    last = count - 2
    best, end = _UNREACHABLE, -1
    for t in range(frames):
        incoming = np.full((3, count), _UNREACHABLE)
        incoming[0] = score
        incoming[1, 1:] = score[:-1]
        incoming[2, 2:] = score[:-2]
        incoming[2] += skip_cost
        steps[t] = incoming.argmax(axis=0)
        score = incoming.max(axis=0)
        score[1] = 0.0  # the path may start at any frame: earlier speech does not count
        score += emission[t]
        if score[last] >= best:
            best, end = float(score[last]), t
    if best <= _UNREACHABLE / 2:
        return None
    backward = [last]
    while backward[-1] != 1:
        backward.append(backward[-1] - int(steps[end - len(backward) + 1, backward[-1]]))
    states = np.array(backward[::-1], np.int64)
    start = end - len(states) + 1
    return CtcPath(start, states, emission[np.arange(start, end + 1), states])


@functools.lru_cache(maxsize=256)  # the decoys repeat
def _to_classes(text: str, classes: tuple[str, ...]) -> tuple[list[Span], NDArray[np.int64]]:
    """Return the word span and the class of each phoneme of a text."""
    columns = {symbol: column for column, symbol in enumerate(classes)}
    spans: list[Span] = []
    symbols: list[int] = []
    for sentence in split_sentences(text)[0]:
        for phoneme in sentence.phonemes:
            if phoneme.symbol not in BORDERS and phoneme.symbol in columns:
                word = sentence.words[phoneme.word]
                spans.append((word.start, word.end))
                symbols.append(columns[phoneme.symbol])
    return spans, np.array(symbols, np.int64)


def _to_ratios(log_probs: NDArray[np.floating]) -> NDArray[np.float64]:
    best = log_probs.max(axis=1, keepdims=True)
    return np.asarray(np.maximum(log_probs - best, MIN_SCORE), np.float64)
