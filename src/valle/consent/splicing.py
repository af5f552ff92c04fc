"""Signs that a recording was spliced together from several.

Two checks that need no model of how splices are made: the background changes at some point in time,
or one part is in another voice. Splices within one recording session pass both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Embedding, Samples
from valle.audio import levels
from valle.audio.recording import resample

MIN_PART_SECONDS = 1.5  # on each side of a candidate splice

_RATE = 16_000  # Hz
_HOP, _WINDOW = 160, 512  # samples: 10 ms and 32 ms
_BANDS = 16
# Hz. Band edges are log-spaced with an offset, close to the mel scale.
_LOW_HZ, _HIGH_HZ, _OFFSET_HZ = 60.0, 7_600.0, 200.0
# Percentiles of a band's levels that count as background. A splice of two recordings of one
# speaker, mostly of one session, changes the spectral shape of the background rather than its
# level. With a limit that refuses 5 in 100 of 110 unspliced recordings, level detects 15 of 110
# splices, and fewer than 30 in 100 at any percentile. Spectral shape detects 35 in 100 at the 2nd
# percentile, 54 at the 5th, 31 at the 10th. For level, the 2nd percentile detects splices of two
# speakers best.
_LEVEL_PERCENTILE, _SHAPE_PERCENTILE = 2.0, 5.0
_CANDIDATE_STEP = 10  # hops between candidate splices
_FLOOR = 1e-9  # power that stands for digital silence


def measure_background_jumps(samples: Samples, sample_rate: int) -> tuple[float, float]:
    """Measure the largest change of the background at any point in time.

    The background is a low percentile of each band's level, before that point and after it.

    Args:
        samples: [N] mono in [-1, 1].
        sample_rate: Hz.

    Returns:
        Decibels: the change of level (mean over 16 bands), and of spectral shape (standard
        deviation over the bands). Both are 0 for recordings too short to have a candidate.
    """
    audio = resample(samples, sample_rate, _RATE)
    min_frames = round(MIN_PART_SECONDS * _RATE / _HOP)
    if len(audio) < _WINDOW:
        return 0.0, 0.0
    band_levels = _compute_band_levels(audio)
    splices = np.arange(min_frames, len(band_levels) - min_frames + 1, _CANDIDATE_STEP)
    if not len(splices):
        return 0.0, 0.0

    def changes(percentile: float) -> NDArray[np.float64]:  # [splices, bands]
        before = _running_percentiles(band_levels, splices, percentile)
        mirrored = len(band_levels) - splices[::-1]
        after = _running_percentiles(band_levels[::-1], mirrored, percentile)[::-1]
        return before - after

    level_jump = np.abs(changes(_LEVEL_PERCENTILE)).mean(axis=1).max()
    return float(level_jump), float(changes(_SHAPE_PERCENTILE).std(axis=1).max())


def _running_percentiles(
    band_levels: NDArray[np.float64], ends: NDArray[np.int64], percentile: float
) -> NDArray[np.float64]:
    """Compute a low percentile of the frames before each end: [ends, bands].

    `ends` must increase. A low percentile depends on the lowest levels only, so no more of them
    are kept from one end to the next.
    """
    fraction = percentile / 100
    capacity = int(fraction * len(band_levels)) + 2
    lowest = band_levels[:0]
    percentiles = np.empty((len(ends), band_levels.shape[1]))
    for number, end in enumerate(ends):
        new_frames = band_levels[ends[number - 1] if number else 0 : end]
        lowest = np.sort(np.concatenate([lowest, new_frames]), axis=0)[:capacity]
        rank = fraction * (end - 1)
        below = int(rank)
        above = min(below + 1, end - 1)
        percentiles[number] = lowest[below] + (rank - below) * (lowest[above] - lowest[below])
    return percentiles


def measure_speaker_consistency(
    samples: Samples, sample_rate: int, embed: Callable[[Samples], Embedding]
) -> float:
    """Measure how similar the voices in the thirds of a recording are.

    Args:
        samples: [N] mono in [-1, 1].
        sample_rate: Hz.
        embed: Computes a speaker embedding of unit length.

    Returns:
        The lowest cosine between two thirds, -1 to 1. Silence at the ends is left out.
    """
    speech = levels.detect_sound(levels.compute_power(samples, sample_rate))
    (active,) = np.nonzero(speech)
    step = sample_rate // levels.STEPS_PER_SECOND
    trimmed = samples[active[0] * step : (active[-1] + 1) * step] if len(active) else samples
    first, second, third = (embed(part) for part in np.array_split(trimmed, 3))
    return float(min(first @ second, first @ third, second @ third))


def _compute_band_levels(audio: Samples) -> NDArray[np.float64]:
    """Compute band levels [frames, 16] in dB."""
    frames = np.lib.stride_tricks.sliding_window_view(audio, _WINDOW)[::_HOP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW)))) / _WINDOW
    edges = np.geomspace(_LOW_HZ + _OFFSET_HZ, _HIGH_HZ + _OFFSET_HZ, _BANDS + 1) - _OFFSET_HZ
    bins = np.round(edges * _WINDOW / _RATE).astype(np.int64)
    bins = np.maximum(bins, np.arange(len(bins)) + bins[0])  # each band has one bin at least
    bands = np.add.reduceat(power, bins, axis=1)[:, :-1]
    return np.asarray(10 * np.log10(bands + _FLOOR))
