"""Forced alignment: which frames of a recording belong to each symbol of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import AnyFloats, Bools, Floats, Ints, Samples
from valle.text.symbols import BORDERS, PAUSE

_IMPOSSIBLE = -1e30
_PAUSE_PRIOR, _LOUD_PAUSE_PENALTY = 3.0, 4.0  # nats
_MIN_CTC = -5.0  # clips CTC log-probabilities: most frames are blank, and carry no information
_MIN_LOG_PROB = -1e4  # clips all log-probabilities, so that paths of any length stay comparable
_FIRST_PHONEME = 2  # column of the first phoneme, after "<blank>" and "<pause>"


@dataclass(frozen=True)
class Posteriors:
    """Log-probabilities of the phoneme recognizer's two heads, and what their columns mean.

    Attributes:
        ctc: [frames, classes] of the CTC head, which knows which phonemes there are.
        frame: [frames, classes] of the frame head, which knows how long they last.
        classes: "<blank>", "<pause>", then the phonemes.
    """

    ctc: Floats
    frame: Floats
    classes: Sequence[str]


@dataclass(frozen=True)
class Alignment:
    """The frames of each of the given symbols in a recording."""

    frame_symbol: Ints
    """[frames] the index of the symbol at each frame; it never decreases."""
    score: Floats
    """[symbols] mean log-probability over the frames of each; 0 for a border without a frame."""


def align_frames(
    posteriors: Posteriors, is_loud: Bools, symbols: Sequence[str]
) -> Alignment | None:
    """Align symbols with a recording.

    The frame head tells the durations, and the CTC head similar phonemes apart: where CTC is sure
    of a phoneme, the path has to pass through it. Pauses are by far the most frequent class, so an
    unclear sound looks most like a pause: their log-prior is subtracted, as in hybrid speech
    recognizers, and that of a loud frame is lowered further.

    Args:
        posteriors: Of the recording.
        is_loud: [frames] from `find_loud_frames`.
        symbols: Phonemes without stress, borders and "<unknown>".

    Returns:
        None if there are fewer frames than the symbols need.
    """
    log_probs, emissions = score_classes(posteriors, is_loud)
    symbol_classes = find_classes(symbols, posteriors.classes)
    optional = np.array([symbol in BORDERS for symbol in symbols], bool)
    path = viterbi(emissions, symbol_classes, optional)
    if path is None:
        return None
    frame_scores = log_probs[np.arange(len(path)), symbol_classes[path]]
    count = np.bincount(path, minlength=len(symbols))
    total = np.bincount(path, weights=frame_scores, minlength=len(symbols))
    return Alignment(path, (total / np.maximum(count, 1)).astype(np.float32))


def score_classes(posteriors: Posteriors, is_loud: Bools) -> tuple[Floats, Floats]:
    """Return how well each class, and "<unknown>" after them, explains each frame.

    Returns:
        Log-probabilities of the frame head without the prior of pauses, and the same with those of
        the CTC head added, both [frames, classes + 1].
    """
    frame = posteriors.frame.copy()
    pause = posteriors.classes.index(PAUSE)
    frame[:, pause] -= _PAUSE_PRIOR + _LOUD_PAUSE_PENALTY * is_loud
    # "<unknown>" explains every frame half as well as the best phoneme: it takes the frames that
    # its neighbors do not explain, and no more.
    unknown = frame[:, _FIRST_PHONEME:].max(-1, keepdims=True) - np.log(2.0, dtype=np.float32)
    log_probs = np.concatenate([frame, unknown], axis=-1)
    unknown_ctc = posteriors.ctc[:, _FIRST_PHONEME:].max(-1, keepdims=True)
    clipped_ctc = np.maximum(np.concatenate([posteriors.ctc, unknown_ctc], -1), _MIN_CTC)
    return log_probs, log_probs + clipped_ctc


def find_classes(symbols: Sequence[str], classes: Sequence[str]) -> Ints:
    """Return the column of `score_classes` for each of some symbols.

    Borders are pauses, and what is not a class is "<unknown>".
    """
    columns = {symbol: column for column, symbol in enumerate(classes)}
    columns |= dict.fromkeys(BORDERS, columns[PAUSE])
    return np.array([columns.get(symbol, len(classes)) for symbol in symbols], np.int64)


def find_loud_frames(samples: Samples, hop: int) -> Bools:
    """Find the frames that are too loud to be a pause of this recording.

    The threshold lies 45 % of the way from the 5th to the 95th percentile of the frames' levels in
    dB.

    Args:
        samples: [N], N a multiple of `hop`.
        hop: Samples per frame.

    Returns:
        [N / hop].
    """
    if not len(samples):
        return np.zeros(0, bool)
    power = np.square(samples.reshape(-1, hop)).mean(-1)
    level = 10.0 * np.log10(power + 1e-8)
    soft, loud = np.percentile(level, 5), np.percentile(level, 95)
    return np.asarray(level > soft + 0.45 * (loud - soft))


def viterbi(
    log_probs: AnyFloats, symbol_classes: NDArray[np.integer[Any]], optional: Bools
) -> Ints | None:
    """Find the most likely monotonic alignment of a sequence of symbols with frames.

    Every frame is at one symbol; from frame to frame the path stays, advances to the next symbol,
    or skips one optional symbol. The first and the last symbol may be skipped too if they are
    optional. Every other symbol gets at least one frame.

    Args:
        log_probs: [frames, classes], natural logarithms.
        symbol_classes: [symbols] the class (column of `log_probs`) of each symbol.
        optional: [symbols] True for a symbol that may have no frame (a border).

    Returns:
        [frames] int64, the index of the symbol at each frame, or None if there are fewer frames
        than the symbols need (or no frame or no symbol at all).
    """
    frames, symbols = len(log_probs), len(symbol_classes)
    if frames == 0 or symbols == 0:
        return None
    emission = np.maximum(np.asarray(log_probs, np.float64), _MIN_LOG_PROB)[:, symbol_classes]
    skip_penalty = np.full(symbols, _IMPOSSIBLE)  # for arriving from two symbols before
    skip_penalty[2:][optional[1:-1]] = 0.0

    score = np.full(symbols, _IMPOSSIBLE)
    score[0] = emission[0, 0]
    if symbols > 1 and optional[0]:
        score[1] = emission[0, 1]
    # Padded with two impossible symbols in front, so that "one before" and "two before" are views.
    padded = np.full(symbols + 2, _IMPOSSIBLE)
    stay, advance, skip = padded[2:], padded[1:-1], padded[:-2]
    skip_score, best = np.empty(symbols), np.empty(symbols)
    advanced, skipped = np.zeros((frames, symbols), bool), np.zeros((frames, symbols), bool)
    stay[:] = score
    for t in range(1, frames):
        np.add(skip, skip_penalty, out=skip_score)
        np.greater(advance, stay, out=advanced[t])
        np.maximum(advance, stay, out=best)
        np.greater(skip_score, best, out=skipped[t])
        np.maximum(skip_score, best, out=best)
        np.add(best, emission[t], out=stay)

    last = symbols - 1
    if symbols > 1 and optional[last] and stay[last - 1] > stay[last]:
        last -= 1
    if stay[last] <= _IMPOSSIBLE / 2:
        return None
    path = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = last
        last -= 2 if skipped[t, last] else int(advanced[t, last])
    return path
