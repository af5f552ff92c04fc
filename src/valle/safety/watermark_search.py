"""Finding the watermark: blind, at any offset, at other speeds and pitches, and how sure it is.

**Why the chance of a false alarm is known.** A test takes one offset and one stretch of speech. It
measures the step of each cell there, in turns of the grid, less the place that the published key
has for the cell: an angle. Its score is S = sum(w cos(angle)) / sqrt(sum(w**2)), where the weights
w depend on the recording alone. Whatever the recording is, if it was made without the key then the
places are uniform and independent to it, and so are the angles, since each cell of a test has a
place of its own. As E[exp(a cos(angle))] = I0(a) <= exp(a**2 / 4), Chernoff's bound gives

    P(S >= s) <= exp(-s**2)

with no assumption about speech at all. Of n tests, the chance that any reaches s is at most
n exp(-s**2) (union bound; neighbouring tests hang together, which only makes it less).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from valle.safety.watermark_cells import (
    COLUMN_HOPS,
    EDGES,
    GRID,
    HOPS_PER_SECOND,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE,
    PUBLISHED_KEY,
    places,
    window,
)

RATE = 16_000
"""Hz, at which recordings are searched."""
FRAMES_PER_SECOND = 800
"""Offsets are searched 1.25 ms apart."""

_HOP = RATE // HOPS_PER_SECOND
_FINE = FRAMES_PER_SECOND // HOPS_PER_SECOND  # frames in the time of a hop
_WINDOWS = (25, 75, PERIOD)  # columns of a test: 1 s, 3 s, and as many as have places of their own
_STARTS = 5  # tests of one length at one offset begin a fifth of that length apart
_SILENCE = 1e-10  # a power far below what 16 bits hold
_LOUD = 12.0  # dB over the tenth percentile of a band's levels: there a cell has its full weight
_LEAST = 0.1  # weight of quiet cells: of use in a clean recording, of little harm in a noisy one


class Warp(NamedTuple):
    """What was done to speech after it was made."""

    speed: float
    """Durations were divided by it."""
    pitch: float
    """Frequencies were multiplied by it."""


NEUTRAL = Warp(1.0, 1.0)


class Hit(NamedTuple):
    """One test that stands out."""

    score: float
    """S**2, in nats."""
    phase: int
    """The frame at which the first whole column begins."""
    shift: int
    """Which column of the pattern that is."""
    first: int
    """The column at which the test begins, counted from the first whole one."""
    columns: int


def spectrogram(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Powers of `samples` [N] at `RATE`, summed up over the bins of 50 Hz: [frames, bins + 1]."""
    step = RATE // FRAMES_PER_SECOND
    padded = np.pad(samples, (0, max(0, 2 * _HOP - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HOP)[::step]
    spectra = np.fft.rfft(frames * window(_HOP))
    powers = np.zeros((len(frames), spectra.shape[1] + 1))
    np.cumsum(spectra.real**2 + spectra.imag**2, axis=1, out=powers[:, 1:])
    return powers


class Analysis:
    """A recording's cells at every offset, for one speed and pitch.

    `cells` [frames, BANDS] is complex: for a column that begins at that frame, the angle is the
    step in turns of the grid, the magnitude the weight.
    """

    def __init__(self, powers: NDArray[np.float64], warp: Warp = NEUTRAL) -> None:
        """`powers` is the `spectrogram`."""
        self.warp = warp
        self.column = column_frames(warp)
        edges = EDGES * warp.pitch
        below = edges.astype(int)
        summed = powers[:, below]
        if warp.pitch != 1.0:
            summed = summed + (edges - below) * (powers[:, below + 1] - summed)
        bands = np.diff(summed, axis=1)
        hop, half = _hop_and_half(warp)
        levels = 10 * np.log10(bands[:-hop] + bands[hop:] + _SILENCE)
        first, second = levels[:-half], levels[half:]
        quieter = np.minimum(first, second)
        if len(levels):
            quieter = quieter - np.percentile(levels, 10, axis=0)
        weights = np.clip(quieter / _LOUD, _LEAST, 1.0)
        angles = (first - second) * (2 * np.pi / GRID)
        self.cells = (weights * np.exp(1j * angles)).astype(np.complex64)

    def positions(self, phase: int) -> NDArray[np.int64]:
        """The frames at which the whole columns of a phase begin."""
        count = _whole_columns(len(self.cells) - phase, self.warp)
        return phase + np.rint(np.arange(count) * self.column).astype(np.int64)

    def hits(self, least: float = np.inf) -> list[Hit]:
        """All tests with a score of `least` or more, or else the best one.

        As many tests are made as `count_tests` says.
        """
        cos, sin, presence = _pattern()
        scores = self.cells.real @ cos + self.cells.imag @ sin  # [frames, PERIOD]
        squares = np.abs(self.cells) ** 2 @ presence  # [frames, PAYLOAD_PERIOD]
        found: list[Hit] = []
        best = Hit(0.0, 0, 0, 0, 0)
        for phase in range(0, round(self.column), phase_step(self.warp)):
            positions = self.positions(phase)
            score = _sums_along(scores[positions])  # [PERIOD, columns + 1]
            square = _sums_along(squares[positions])  # [PAYLOAD_PERIOD, columns + 1]
            for length, starts in _tests_of(len(positions)):
                sums = np.maximum(score[:, starts + length] - score[:, starts], 0.0)
                powers = np.maximum(square[:, starts + length] - square[:, starts], _SILENCE)
                values = sums**2 / np.tile(powers, (PERIOD // PAYLOAD_PERIOD, 1))
                for flat in [*np.flatnonzero(values >= least), values.argmax()]:
                    shift, index = divmod(int(flat), len(starts))
                    value = float(values[shift, index])
                    hit = Hit(value, phase, shift, int(starts[index]), length)
                    if value >= least:
                        found.append(hit)
                    best = max(best, hit)
        return found or [best]


def phase_step(warp: Warp) -> int:
    """Frames from one offset that is tried to the next: fewer where there are many warps to try."""
    return 1 if warp == NEUTRAL else 4


def count_tests(length: int, warp: Warp = NEUTRAL) -> int:
    """How many tests `Analysis.hits` makes, at most, in `length` samples at `RATE`."""
    frames = max(0, length - 2 * _HOP) // (RATE // FRAMES_PER_SECOND) + 1
    columns = _whole_columns(frames - sum(_hop_and_half(warp)), warp)
    each = sum(len(starts) for _, starts in _tests_of(columns))
    offsets = len(range(0, round(column_frames(warp)), phase_step(warp)))
    return offsets * PERIOD * each


def column_frames(warp: Warp) -> float:
    """Frames in a column."""
    return COLUMN_HOPS * _FINE / warp.speed


def _hop_and_half(warp: Warp) -> tuple[int, int]:
    """Frames from one of a cell's two frames to the next, and from one half to the other."""
    return round(_FINE / warp.speed), round(column_frames(warp) / 2)


def _whole_columns(frames: int, warp: Warp) -> int:
    """How many columns begin within so many frames, the first of them at once."""
    return int((frames - 1) / column_frames(warp)) + 1 if frames > 0 else 0


def _tests_of(columns: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Lengths of tests among so many columns, and where those of each length begin."""
    for length in sorted({*(w for w in _WINDOWS if w < columns), min(columns, PERIOD)}):
        if length:
            yield length, np.arange(0, columns - length + 1, max(1, length // _STARTS))


def _sums_along(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """For each shift, the values as the pattern goes on, summed up: [period, columns + 1].

    `values` [columns, period] are those of every column for every column of the pattern.
    """
    columns, period = values.shape
    sums = np.zeros((period, columns + 1), np.float32)
    np.cumsum(values.ravel().take(_diagonals(columns, period)), axis=1, out=sums[:, 1:])
    return sums


@functools.lru_cache(maxsize=8)
def _diagonals(columns: int, period: int) -> NDArray[np.int64]:
    index = np.arange(columns)
    return index * period + (np.arange(period)[:, None] + index) % period


@functools.cache
def _pattern() -> tuple[NDArray[np.float32], ...]:
    """What parts of cells are multiplied with, [BANDS, PERIOD], and which count, [BANDS, 64]."""
    angles = places(PUBLISHED_KEY, "presence") * (2 * np.pi / GRID)
    cos, sin = np.cos(angles) * PRESENCE, np.sin(angles) * PRESENCE
    presence = PRESENCE[:PAYLOAD_PERIOD]
    return tuple(part.T.astype(np.float32) for part in (cos, sin, presence))
