"""Where each symbol of a text is in a recording, from what the listener heard frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats, Ints
from valle.text.symbols import BORDERS, PAUSE

_IMPOSSIBLE = -1e30
_PAUSE_PRIOR, _LOUD_PAUSE = 3.0, 4.0  # nats
_NO_PEAK = -5.0  # CTC log-probabilities are clipped here: most frames are blank and say nothing
_LOWEST = -1e4  # log-probabilities are clipped here, so that a path of any length stays comparable


@dataclass(frozen=True)
class Alignment:
    """Where each of the given symbols is in a recording."""

    frame_symbol: Ints
    """[frames] the index of the symbol at each frame; it never decreases."""
    score: Floats
    """[symbols] mean log-probability over the frames of each; 0 for a border without a frame."""


def align_frames(
    ctc: Floats,
    frame: Floats,
    loud: NDArray[np.bool_],
    symbols: Sequence[str],
    classes: Sequence[str],
) -> Alignment | None:
    """Align symbols with what the two heads [frames, classes] (log-probabilities) heard.

    The frame head knows how long a sound lasts, the CTC head which of two like sounds it is: where
    CTC is sure of a phoneme, the path has to pass through it there. Pauses are by far the most
    frequent class, so that an unclear sound looks most like a pause: their share is taken out (as
    recognisers divide by priors), and a loud frame is hardly one. None when there are fewer frames
    than the symbols need.
    """
    frame = frame.copy()
    frame[:, classes.index(PAUSE)] -= _PAUSE_PRIOR + _LOUD_PAUSE * loud
    # An unknown sound explains every frame half as well as the best phoneme does: it takes what
    # its neighbours do not explain, and no more.
    anything = frame[:, 2:].max(-1, keepdims=True) - np.log(2.0, dtype=np.float32)
    log_probs = np.concatenate([frame, anything], axis=-1)
    optional = np.array([symbol in BORDERS for symbol in symbols], bool)
    columns = {symbol: column for column, symbol in enumerate(classes)}
    columns |= dict.fromkeys(BORDERS, columns[PAUSE])
    column = np.array([columns.get(symbol, len(classes)) for symbol in symbols], np.int64)
    peaks = np.maximum(np.concatenate([ctc, ctc[:, 2:].max(-1, keepdims=True)], -1), _NO_PEAK)
    path = viterbi(log_probs + peaks, column, optional)
    if path is None:
        return None
    each = log_probs[np.arange(len(path)), column[path]]
    count = np.bincount(path, minlength=len(symbols))
    total = np.bincount(path, weights=each, minlength=len(symbols))
    return Alignment(path, (total / np.maximum(count, 1)).astype(np.float32))


def loud_frames(samples: Floats, hop: int) -> NDArray[np.bool_]:
    """[N / hop] True for frames too loud to be a pause of this recording; N a multiple of hop.

    The limit lies between the levels of its softest and its loudest twentieth, nearer the softest.
    """
    if not len(samples):
        return np.zeros(0, bool)
    power = np.square(samples.reshape(-1, hop)).mean(-1)
    level = 10.0 * np.log10(power + 1e-8)
    soft, loud = np.percentile(level, 5), np.percentile(level, 95)
    return np.asarray(level > soft + 0.45 * (loud - soft))


def viterbi(
    log_probs: NDArray[np.floating[Any]],
    symbol_classes: NDArray[np.integer[Any]],
    optional: NDArray[np.bool_],
) -> Ints | None:
    """The best monotonic alignment of a sequence of symbols with frames.

    Every frame is at one symbol; from frame to frame it stays, goes on to the next symbol, or skips
    one optional symbol. The first and the last symbol may be skipped too where they are optional.
    Every other symbol gets at least one frame.

    Args:
        log_probs: [frames, classes], natural logarithms.
        symbol_classes: [symbols], the class (column of log_probs) of each symbol.
        optional: [symbols], True where a symbol may have no frame (a border).

    Returns:
        [frames] int64, the index of the symbol at each frame, or None when there are fewer frames
        than the symbols need (or no frame or no symbol at all).
    """
    frames, symbols = len(log_probs), len(symbol_classes)
    if frames == 0 or symbols == 0:
        return None
    emission = np.maximum(np.asarray(log_probs, np.float64), _LOWEST)[:, symbol_classes]
    may_skip = np.full(symbols, _IMPOSSIBLE)  # added to a score that arrives two symbols further
    may_skip[2:][optional[1:-1]] = 0.0

    score = np.full(symbols, _IMPOSSIBLE)
    score[0] = emission[0, 0]
    if symbols > 1 and optional[0]:
        score[1] = emission[0, 1]
    # Padded by two impossible symbols in front, so that "one back" and "two back" are plain views.
    padded = np.full(symbols + 2, _IMPOSSIBLE)
    stay, advance, skip = padded[2:], padded[1:-1], padded[:-2]
    skipped, best = np.empty(symbols), np.empty(symbols)
    moved, jumped = np.zeros((frames, symbols), bool), np.zeros((frames, symbols), bool)
    stay[:] = score
    for t in range(1, frames):
        np.add(skip, may_skip, out=skipped)
        np.greater(advance, stay, out=moved[t])
        np.maximum(advance, stay, out=best)
        np.greater(skipped, best, out=jumped[t])
        np.maximum(skipped, best, out=best)
        np.add(best, emission[t], out=stay)

    last = symbols - 1
    if symbols > 1 and optional[last] and stay[last - 1] > stay[last]:
        last -= 1
    if stay[last] <= _IMPOSSIBLE / 2:
        return None
    path = np.empty(frames, np.int64)
    for t in range(frames - 1, -1, -1):
        path[t] = last
        last -= 2 if jumped[t, last] else int(moved[t, last])
    return path
