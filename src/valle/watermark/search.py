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

from valle.watermark.grid import (
    BANDS,
    COLUMN_HOPS,
    EDGES,
    GRID,
    HOPS_PER_SECOND,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE,
    PUBLISHED_KEY,
    Floats,
    places,
    window,
)

RATE = 16_000
"""Hz, at which recordings are searched."""
FRAMES_PER_SECOND = 800
"""Offsets are searched 1.25 ms apart."""

_HOP = RATE // HOPS_PER_SECOND
_FINE = FRAMES_PER_SECOND // HOPS_PER_SECOND  # frames in the time of a hop
# Tests begin and end at whole blocks of columns, which are compared with the pattern at once: no
# score of a single column is ever written to memory, where nearly all of the time would go.
_BLOCK = 5  # columns
_LONGEST = PERIOD // (5 * _BLOCK) * 5 * _BLOCK  # columns with places of their own, nearly all
_WINDOWS = (25, 75, _LONGEST)  # columns of a test: 1 s, 3 s, 10 s
_STARTS = 5  # tests of one length at one offset begin a fifth of that length apart
_BINS = 76  # of 50 Hz that are summed up: the highest edge, moved up by a pitch of 1.1, and two
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
    """Powers of `samples` [N] at `RATE`, summed up over the bins of 50 Hz: [bins + 1, frames].

    The bins are those up to the highest edge at the highest pitch that is looked for, 3.8 kHz.
    """
    step = RATE // FRAMES_PER_SECOND
    padded = np.pad(samples.astype(np.float32), (0, max(0, 2 * _HOP - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HOP)[::step]
    parts = np.square(frames @ _transform())
    powers = np.zeros((_BINS + 1, len(frames)))
    np.cumsum((parts[:, :_BINS] + parts[:, _BINS:]).T, axis=0, dtype=np.float64, out=powers[1:])
    return powers


@functools.cache
def _transform() -> NDArray[np.float32]:
    """Window and Fourier transform of a frame: [samples, 2 * _BINS], cosines before sines.

    So few bins are wanted that one product of matrices is faster than a fast transform.
    """
    turns = np.outer(np.arange(2 * _HOP), np.arange(_BINS)) * (2 * np.pi / (2 * _HOP))
    waves = np.concatenate([np.cos(turns), np.sin(turns)], axis=1)
    return (waves * window(_HOP)[:, None]).astype(np.float32)


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
        summed = powers[below]
        if warp.pitch != 1.0:
            summed = summed + (edges - below)[:, None] * (powers[below + 1] - summed)
        bands = np.diff(summed, axis=0)
        hop, half = _hop_and_half(warp)
        # From here on single precision will do: it tells levels to a millionth of a dB or so.
        both = (bands[:, :-hop] + bands[:, hop:] + _SILENCE).astype(np.float32)
        levels = np.float32(10 / np.log(10)) * np.log(both)  # [BANDS, frames]
        first, second = levels[:, :-half], levels[:, half:]
        quieter = np.minimum(first, second)
        if levels.size:
            quieter = quieter - np.percentile(levels, 10, axis=1)[:, None].astype(np.float32)
        weights = np.clip(quieter / np.float32(_LOUD), np.float32(_LEAST), np.float32(1.0))
        angles = (first - second) * (2 * np.pi / GRID[:, None]).astype(np.float32)
        self.cells = np.empty(angles.shape[::-1], np.complex64)
        self.cells.real = (weights * np.cos(angles)).T
        self.cells.imag = (weights * np.sin(angles)).T

    def positions(self, phase: int) -> NDArray[np.int64]:
        """The frames at which the whole columns of a phase begin."""
        count = _whole_columns(len(self.cells) - phase, self.warp)
        return phase + np.rint(np.arange(count) * self.column).astype(np.int64)

    def hits(self, least: float = np.inf) -> list[Hit]:
        """All tests with a score of `least` or more, or else the best one.

        As many tests are made as `count_tests` says.
        """
        pattern, presence = _pattern()
        found: list[Hit] = []
        best = Hit(0.0, 0, 0, 0, 0)
        phases = np.arange(0, round(self.column), phase_step(self.warp))
        columns = np.array([len(self.positions(int(phase))) for phase in phases])
        for count in set(columns.tolist()):
            own = phases[columns == count]
            parts = _parts(self.cells[np.stack([self.positions(int(phase)) for phase in own])])
            score = _sums_along(parts, pattern)  # [blocks + 1, phases, PERIOD]
            square = _sums_along(parts**2, presence)  # [blocks + 1, phases, PAYLOAD_PERIOD]
            for length, starts in _tests_of(count):
                first, last = starts // _BLOCK, -(-(starts + length) // _BLOCK)
                sums = np.maximum(score[last] - score[first], 0.0)
                powers = np.maximum(square[last] - square[first], _SILENCE)
                values = sums**2 / np.tile(powers, PERIOD // PAYLOAD_PERIOD)
                for flat in [*np.flatnonzero(values >= least), values.argmax()]:
                    index, phase, shift = np.unravel_index(flat, values.shape)
                    value = float(values[index, phase, shift])
                    hit = Hit(value, int(own[phase]), int(shift), int(starts[index]), length)
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
    for length in sorted({*(w for w in _WINDOWS if w < columns), min(columns, _LONGEST)}):
        if length:
            yield length, np.arange(0, columns - length + 1, max(1, length // _STARTS))


def _parts(cells: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Cells [phases, columns, BANDS] as blocks of columns, the last filled up with zeros.

    [blocks, phases, 2 * _BLOCK * BANDS]; real and imaginary parts take turns.
    """
    phases, columns, _ = cells.shape
    filled = np.pad(cells, ((0, 0), (0, -columns % _BLOCK), (0, 0)))
    blocks = filled.reshape(phases, -1, _BLOCK * BANDS).swapaxes(0, 1)
    return np.ascontiguousarray(blocks).view(np.float32)


def _sums_along(parts: NDArray[np.float32], pattern: NDArray[np.float32]) -> NDArray[np.float32]:
    """Products with a pattern that goes on as the blocks do, summed up: [blocks + 1, phases, n].

    `pattern` [2 * _BLOCK * BANDS, 2 n] is what a block is multiplied with where it begins at each
    of n columns of the pattern, and again at each of them. The last index of the sums is the
    pattern's column at the first block.
    """
    period = pattern.shape[1] // 2
    sums = np.zeros((len(parts) + 1, parts.shape[1], period), np.float32)
    for number, block in enumerate(parts):
        begin = number * _BLOCK % period
        np.matmul(block, pattern[:, begin : begin + period], out=sums[number + 1])
        sums[number + 1] += sums[number]
    return sums


@functools.cache
def _pattern() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the parts of a block's cells are multiplied with, and which cells count.

    [2 * _BLOCK * BANDS, 2 * PERIOD] and [2 * _BLOCK * BANDS, 2 * PAYLOAD_PERIOD]: for each column
    of the pattern that a block may begin with, twice over.
    """
    angles = places(PUBLISHED_KEY, "presence") * (2 * np.pi / GRID)
    columns = (np.arange(_BLOCK)[:, None] + np.arange(2 * PERIOD)) % PERIOD

    def rows(real: Floats, imaginary: Floats) -> NDArray[np.float32]:
        parts = np.stack([real[columns], imaginary[columns]], axis=-1)  # [block, 2 P, BANDS, 2]
        return parts.transpose(0, 2, 3, 1).reshape(-1, 2 * PERIOD).astype(np.float32)

    counts = PRESENCE.astype(np.float64)
    pattern = rows(np.cos(angles) * counts, np.sin(angles) * counts)
    return pattern, np.ascontiguousarray(rows(counts, counts)[:, : 2 * PAYLOAD_PERIOD])
