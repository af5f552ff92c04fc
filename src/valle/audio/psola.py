"""Changing pitch and speed of recorded speech, period by period, with its formants kept.

Pitch-synchronous overlap-add (Moulines and Charpentier, "Pitch-synchronous waveform processing
techniques for text-to-speech synthesis using diphones", Speech Communication 9, 1990): two periods
around each pulse of the voice are cut out, and laid down again at other distances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats

_UNVOICED_STEP = 0.005  # seconds between marks where there is no voice
_SEARCH = 0.2  # of a period, in which the next pulse may come earlier or later
_COMPARED = 0.6  # of a period on each side of a pulse, that the next one is compared by
MIN_OUTPUT, MAX_OUTPUT = 50.0, 700.0  # Hz

Doubles = NDArray[np.float64]
Places = NDArray[np.int64]


def find_marks(mono: Floats, pitch: Doubles, hop: int, sample_rate: int) -> tuple[Places, Doubles]:
    """Find the pulses of the voice.

    Args:
        mono: [N] samples.
        pitch: [frames] in Hz, NaN where there is no voice.
        hop: Samples from frame to frame of the pitch.
        sample_rate: In Hz.

    Returns:
        The places of the marks in ascending order, and of each the period in samples; NaN where
        there is no voice.
    """
    places, periods = [0], [np.nan]
    step = max(1, round(_UNVOICED_STEP * sample_rate))
    while True:
        last, before = places[-1], periods[-1]
        at = last + (step if np.isnan(before) else round(before))
        if at >= len(mono):
            return np.array(places, np.int64), np.array(periods)
        hertz = pitch[min(at // hop, len(pitch) - 1)] if len(pitch) else np.nan
        period = sample_rate / hertz
        if not np.isnan(period):
            if np.isnan(before):  # the first pulse is the highest peak of the first period
                part = np.abs(mono[at : at + round(period)])
                at += int(part.argmax()) if len(part) else 0
            else:
                at = _find_next(mono, last, at, period)
        places.append(max(at, last + 1))
        periods.append(period)


def _find_next(mono: Floats, last: int, expected: int, period: float) -> int:
    """Return where around `expected` the waveform is most like that around the mark `last`."""
    side, reach = round(_COMPARED * period), max(1, round(_SEARCH * period))
    if last < side or expected + reach + side >= len(mono):
        return expected
    wanted = mono[last - side : last + side].astype(np.float64)
    nearby = mono[expected - reach - side : expected + reach + side].astype(np.float64)
    sums = np.concatenate([[0.0], np.cumsum(nearby**2)])
    energy = sums[2 * side :] - sums[: len(sums) - 2 * side]
    match = np.correlate(nearby, wanted, "valid") / np.sqrt(energy + 1e-9)
    return expected - reach + int(match.argmax())


def lay_periods(
    samples: Floats,
    marks: tuple[Places, Doubles],
    change_pitch: Callable[[Places], Doubles],
    length: int,
) -> Floats:
    """Lay the periods of speech down at other distances.

    Args:
        samples: [N, channels].
        marks: From `find_marks`.
        change_pitch: Returns the factors [M] of the pitch at places [M] of `samples`.
        length: Samples of the result; other than N, the speech is faster or slower.

    Returns:
        [length, channels].
    """
    places, periods = marks
    count = len(samples)
    edges = np.concatenate([[places[0] - 1], places, [count]])
    ratios = change_pitch(places)
    reach = int(np.nanmax(np.diff(edges))) + 1
    padded = np.pad(samples, ((reach, reach), (0, 0)))
    output = np.zeros((length + 2 * reach, samples.shape[1]))
    weights = np.zeros(length + 2 * reach)
    speed = count / max(1, length)
    at, used, flipped = float(places[0]), -1, False
    while at < length:
        index = _find_nearest(places, at * speed)
        place = int(places[index])
        left, right = place - int(edges[index]), int(edges[index + 2]) - place
        window = np.concatenate([_rise(left), _rise(right)[::-1]])
        grain = padded[reach + place - left : reach + place + right] * window[:, None]
        voiced = not np.isnan(periods[index])
        # Noise that is repeated as it is sounds like a tone.
        flipped = index == used and not voiced and not flipped
        if flipped:
            grain, window, left = grain[::-1], window[::-1], right
        begin = reach + round(at) - left
        output[begin : begin + len(grain)] += grain
        weights[begin : begin + len(grain)] += window
        used = index
        at += max(1.0, right / ratios[index] if voiced else float(right))
    laid: Floats = (output / np.maximum(weights, 1.0)[:, None]).astype(np.float32)
    return laid[reach : reach + length]


def _rise(size: int) -> Doubles:
    """Return the rising half [size] of a Hann window."""
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * np.arange(size) / max(1, size)))


def _find_nearest(places: Places, wanted: float) -> int:
    right = min(int(np.searchsorted(places, wanted)), len(places) - 1)
    if right and wanted - places[right - 1] < places[right] - wanted:
        return right - 1
    return right
