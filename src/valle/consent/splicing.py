"""Signs that a recording was cut together from several.

Two that need no model of how cuts are made: the background changes at one place in time, or the
voice of one part is not that of another. Parts of one recording session pass both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.audio import levels
from valle.audio.recording import resample

SHORTEST_PART = 1.5  # seconds on each side of a supposed cut

_RATE = 16_000  # Hz
_STEP, _WINDOW = 160, 512  # samples: 10 ms and 32 ms
_BANDS = 16
_LOWEST, _HIGHEST = 60.0, 7_600.0  # Hz; narrow bands below, wide ones above, as the ear's are
# Percentiles of a band's levels that are background. Joins of two recordings of one speaker, nearly
# all of one session, change its colour rather than its level: at 5 in 100 of 110 whole recordings
# refused, 15 of 110 joins were found by level, at any percentile fewer than 30 in 100; by colour 35
# in 100 at the second percentile, 54 at the fifth, 31 at the tenth. For level, 2 told two speakers'
# joins best.
_LEVEL_OF, _COLOUR_OF = 2.0, 5.0
_EVERY = 10  # steps between supposed cuts
_FLOOR = 1e-9  # of power: what a digital silence is taken for


def background_jumps(samples: Samples, sample_rate: int) -> tuple[float, float]:
    """The greatest changes of the background at any one place, in dB: of its level, of its colour.

    The background is what a band falls to in its quietest moments, before the place and after it.
    Of how much each of 16 bands changes, the first is the mean and the second the standard
    deviation. Both are 0 for recordings too short to be cut anywhere.

    Args:
        samples: [N] mono in [-1, 1].
        sample_rate: Hz.
    """
    audio = resample(samples, sample_rate, _RATE)
    least = round(SHORTEST_PART * _RATE / _STEP)
    if len(audio) < _WINDOW:
        return 0.0, 0.0
    level = _band_levels(audio)
    places = np.arange(least, len(level) - least + 1, _EVERY)
    if not len(places):
        return 0.0, 0.0

    def change(percentile: float) -> NDArray[np.float64]:  # [places, bands]
        before = _backgrounds(level, places, percentile)
        return before - _backgrounds(level[::-1], len(level) - places[::-1], percentile)[::-1]

    jump = np.abs(change(_LEVEL_OF)).mean(axis=1).max()
    return float(jump), float(change(_COLOUR_OF).std(axis=1).max())


def _backgrounds(
    level: NDArray[np.float64], ends: NDArray[np.int64], percentile: float
) -> NDArray[np.float64]:
    """A low percentile of the levels [ends, bands] of the first steps up to each end, which rise.

    A low percentile needs the lowest levels only, so no more are kept from one end to the next.
    """
    share = percentile / 100
    most = int(share * len(level)) + 2
    lowest = level[:0]
    found = np.empty((len(ends), level.shape[1]))
    for number, end in enumerate(ends):
        new = level[ends[number - 1] if number else 0 : end]
        lowest = np.sort(np.concatenate([lowest, new]), axis=0)[:most]
        place = share * (end - 1)
        below = int(place)
        above = min(below + 1, end - 1)
        found[number] = lowest[below] + (place - below) * (lowest[above] - lowest[below])
    return found


def least_alike_thirds(
    samples: Samples, sample_rate: int, embed: Callable[[Samples], NDArray[np.float32]]
) -> float:
    """How alike the voices of the least alike two thirds of a recording are, -1 to 1.

    Args:
        samples: [N] mono in [-1, 1].
        sample_rate: Hz.
        embed: gives a voice's direction, of unit length.
    """
    speaks = levels.sound(levels.powers(samples, sample_rate))
    (where,) = np.nonzero(speaks)
    step = sample_rate // levels.STEPS_PER_SECOND
    spoken = samples[where[0] * step : (where[-1] + 1) * step] if len(where) else samples
    one, two, three = (embed(part) for part in np.array_split(spoken, 3))
    return float(min(one @ two, one @ three, two @ three))


def _band_levels(audio: Samples) -> NDArray[np.float64]:
    """[steps, 16] dB."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, _WINDOW)[::_STEP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW)))) / _WINDOW
    edges = np.geomspace(_LOWEST + 200, _HIGHEST + 200, _BANDS + 1) - 200
    bins = np.round(edges * _WINDOW / _RATE).astype(np.int64)
    bins = np.maximum(bins, np.arange(len(bins)) + bins[0])  # each band holds a bin at least
    bands = np.add.reduceat(power, bins, axis=1)[:, :-1]
    return np.asarray(10 * np.log10(bands + _FLOOR))
