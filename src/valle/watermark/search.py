"""Blind search for the watermark at any offset, speed and pitch, with a provable error bound.

**Why the false-positive probability is known.** A test takes one offset and one part of the
recording. Each cell's log-energy difference, less the dither that the published key gives the cell,
is an angle on the circle of one quantization step. The score is

    S = sum(w cos(angle)) / sqrt(sum(w**2))

where the weights w depend on the recording alone. For a recording that was made without the key,
dither and so the angles are uniform and independent, since each cell of a test has a dither of its
own. As E[exp(a cos(angle))] = I0(a) <= exp(a**2 / 4), the Chernoff bound gives

    P(S >= s) <= exp(-s**2)

without any assumption about speech. Of n tests, the probability that any reaches s is at most
n exp(-s**2) (union bound; the correlation of neighboring tests can only make it smaller).

The owner's half is searched in the same way by twice each angle. A payload symbol moves the lattice
by half a step, which twice the angle does not show: so it is found whatever the payload is, and
also where somebody has removed the published half.
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
    HOPS_PER_SECOND,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE_MASK,
    PUBLISHED_KEY,
    STEP_SIZES,
    Floats,
    derive_dither,
    frame_window,
)

RATE = 16_000
"""Hz, at which recordings are searched."""
FRAMES_PER_SECOND = 800
"""Offsets are searched 1.25 ms apart."""

_HOP = RATE // HOPS_PER_SECOND
_FRAMES_PER_HOP = FRAMES_PER_SECOND // HOPS_PER_SECOND
# Tests begin and end at whole blocks of columns, and each block is correlated with the pattern at
# once: the scores of single columns are never written to memory, where nearly all of the time
# would go.
_BLOCK = 5  # columns
_LONGEST = PERIOD // (5 * _BLOCK) * 5 * _BLOCK  # 250 columns, each with a dither of its own
_TEST_LENGTHS = (25, 75, _LONGEST)  # columns: 1 s, 3 s, 10 s
_STARTS_PER_LENGTH = 5  # tests of one length at one offset start a fifth of that length apart
_BINS = 101  # of 50 Hz: up to the highest edge, raised by a pitch of 1.5, and two more
_SILENCE = 1e-10  # a power far below the resolution of 16 bits
_FULL_WEIGHT = 12.0  # dB above the 10th percentile of a band's levels: full weight from there on
_MIN_WEIGHT = 0.1  # of quiet cells: useful in a clean recording, nearly harmless in a noisy one


class Warp(NamedTuple):
    """A change of speed and pitch after speech was made."""

    speed: float
    """Durations were divided by it."""
    pitch: float
    """Frequencies were multiplied by it."""


NEUTRAL = Warp(1.0, 1.0)


class Hit(NamedTuple):
    """One test with a high score."""

    score: float
    """S**2, in nats."""
    phase: int
    """The frame at which the first whole column begins."""
    shift: int
    """The pattern column that is at the first whole column."""
    first: int
    """The column at which the test begins, counted from the first whole one."""
    columns: int


def compute_spectrogram(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute powers, summed cumulatively over bins of 50 Hz up to 5 kHz.

    Args:
        samples: [N] at `RATE`.

    Returns:
        [bins + 1, frames]: the power below each bin edge, `FRAMES_PER_SECOND` frames per second.
    """
    step = RATE // FRAMES_PER_SECOND
    padded = np.pad(samples.astype(np.float32), (0, max(0, 2 * _HOP - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * _HOP)[::step]
    squares = np.square(frames @ _windowed_dft())
    powers = np.zeros((_BINS + 1, len(frames)))
    np.cumsum((squares[:, :_BINS] + squares[:, _BINS:]).T, axis=0, dtype=np.float64, out=powers[1:])
    return powers


@functools.cache
def _windowed_dft() -> NDArray[np.float32]:
    """Window and Fourier transform of a frame: [samples, 2 * _BINS], cosines before sines.

    So few bins are needed that one matrix product is faster than a fast Fourier transform.
    """
    angles = np.outer(np.arange(2 * _HOP), np.arange(_BINS)) * (2 * np.pi / (2 * _HOP))
    waves = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return (waves * frame_window(_HOP)[:, None]).astype(np.float32)


class Analysis:
    """The cells of a recording at every offset, for one speed and pitch.

    Attributes:
        cells: [frames, BANDS] complex. For a column that begins at that frame, the angle is the
            log-energy difference in turns of the quantization step, the magnitude is the weight.
        column: Frames per column.
        warp: The speed and pitch.
    """

    def __init__(self, powers: NDArray[np.float64], warp: Warp = NEUTRAL) -> None:
        """Compute the cells from the output of `compute_spectrogram`."""
        self.warp = warp
        self.column = frames_per_column(warp)
        edges = EDGES * warp.pitch
        below = edges.astype(int)
        cumulative = powers[below]
        if warp.pitch != 1.0:
            cumulative = cumulative + (edges - below)[:, None] * (powers[below + 1] - cumulative)
        bands = np.diff(cumulative, axis=0)
        hop, half = _hop_and_half_column(warp)
        # Single precision suffices from here on: it resolves levels to a millionth of a dB.
        half_powers = (bands[:, :-hop] + bands[:, hop:] + _SILENCE).astype(np.float32)
        levels = np.float32(10 / np.log(10)) * np.log(half_powers)  # [BANDS, frames]
        first, second = levels[:, :-half], levels[:, half:]
        quieter = np.minimum(first, second)
        if levels.size:
            quieter = quieter - np.percentile(levels, 10, axis=1)[:, None].astype(np.float32)
        weights = np.clip(
            quieter / np.float32(_FULL_WEIGHT), np.float32(_MIN_WEIGHT), np.float32(1.0)
        )
        angles = (first - second) * (2 * np.pi / STEP_SIZES[:, None]).astype(np.float32)
        self.cells = np.empty(angles.shape[::-1], np.complex64)
        self.cells.real = (weights * np.cos(angles)).T
        self.cells.imag = (weights * np.sin(angles)).T

    def column_positions(self, phase: int) -> NDArray[np.int64]:
        """Return the frames at which the whole columns of a phase begin: [columns]."""
        count = _count_columns(len(self.cells) - phase, self.warp)
        return phase + np.rint(np.arange(count) * self.column).astype(np.int64)

    def find_hits(self, threshold: float = np.inf, owner_key: bytes | None = None) -> list[Hit]:
        """Run all tests, as many as `count_tests` says.

        Args:
            threshold: The least score of what is returned.
            owner_key: Search the half of this owner's key; None: the published half.

        Returns:
            The tests with a score of `threshold` or more; if there are none, the best one.
        """
        pattern, presence = _pattern_matrices(owner_key)
        cells = self.cells if owner_key is None else double_angles(self.cells)
        hits: list[Hit] = []
        best = Hit(0.0, 0, 0, 0, 0)
        all_phases = np.arange(0, round(self.column), phase_step(self.warp))
        columns = np.array([len(self.column_positions(int(phase))) for phase in all_phases])
        for count in set(columns.tolist()):
            phases = all_phases[columns == count]
            positions = np.stack([self.column_positions(int(phase)) for phase in phases])
            blocks = _to_blocks(cells[positions])
            score = _correlate_blocks(blocks, pattern)  # [blocks + 1, phases, PERIOD]
            square = _correlate_blocks(blocks**2, presence)  # [blocks + 1, phases, PAYLOAD_PERIOD]
            for length, starts in _iterate_tests(count):
                first, last = starts // _BLOCK, -(-(starts + length) // _BLOCK)
                sums = np.maximum(score[last] - score[first], 0.0)
                powers = np.maximum(square[last] - square[first], _SILENCE)
                values = sums**2 / np.tile(powers, PERIOD // PAYLOAD_PERIOD)
                for flat in [*np.flatnonzero(values >= threshold), values.argmax()]:
                    index, row, shift = np.unravel_index(flat, values.shape)
                    value = float(values[index, row, shift])
                    hit = Hit(value, int(phases[row]), int(shift), int(starts[index]), length)
                    if value >= threshold:
                        hits.append(hit)
                    best = max(best, hit)
        return hits or [best]


def phase_step(warp: Warp) -> int:
    """Return the frames between tested offsets: coarser where there are many warps to test."""
    return 1 if warp == NEUTRAL else 4


def count_tests(length: int, warp: Warp = NEUTRAL) -> int:
    """Return how many tests `Analysis.find_hits` makes, at most, in `length` samples at `RATE`."""
    frames = max(0, length - 2 * _HOP) // (RATE // FRAMES_PER_SECOND) + 1
    columns = _count_columns(frames - sum(_hop_and_half_column(warp)), warp)
    tests_per_alignment = sum(len(starts) for _, starts in _iterate_tests(columns))
    offsets = len(range(0, round(frames_per_column(warp)), phase_step(warp)))
    return offsets * PERIOD * tests_per_alignment


def frames_per_column(warp: Warp) -> float:
    """Return the length of a column in frames."""
    return COLUMN_HOPS * _FRAMES_PER_HOP / warp.speed


def _hop_and_half_column(warp: Warp) -> tuple[int, int]:
    """Return the frames between the two frames of a half column, and between the two halves."""
    return round(_FRAMES_PER_HOP / warp.speed), round(frames_per_column(warp) / 2)


def _count_columns(frames: int, warp: Warp) -> int:
    """Return how many columns begin within `frames`, the first at frame 0."""
    return int((frames - 1) / frames_per_column(warp)) + 1 if frames > 0 else 0


def _iterate_tests(columns: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Yield the lengths of tests within `columns`, and where the tests of each length begin."""
    shorter = (length for length in _TEST_LENGTHS if length < columns)
    for length in sorted({*shorter, min(columns, _LONGEST)}):
        if length:
            yield length, np.arange(0, columns - length + 1, max(1, length // _STARTS_PER_LENGTH))


def _to_blocks(cells: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Arrange cells [phases, columns, BANDS] as blocks of columns, zero-padded at the end.

    Returns:
        [blocks, phases, 2 * _BLOCK * BANDS]; real and imaginary parts alternate.
    """
    phases, columns, _ = cells.shape
    padded = np.pad(cells, ((0, 0), (0, -columns % _BLOCK), (0, 0)))
    blocks = padded.reshape(phases, -1, _BLOCK * BANDS).swapaxes(0, 1)
    return np.ascontiguousarray(blocks).view(np.float32)


def _correlate_blocks(
    blocks: NDArray[np.float32], pattern: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Correlate blocks with a pattern that advances with them, summed cumulatively.

    Args:
        blocks: [blocks, phases, 2 * _BLOCK * BANDS], see `_to_blocks`.
        pattern: [2 * _BLOCK * BANDS, 2 * period]: what a block is multiplied by if it begins at
            each of the pattern's columns, repeated once.

    Returns:
        [blocks + 1, phases, period]; the last index is the pattern column at the first block.
    """
    period = pattern.shape[1] // 2
    sums = np.zeros((len(blocks) + 1, blocks.shape[1], period), np.float32)
    for number, block in enumerate(blocks):
        first = number * _BLOCK % period
        np.matmul(block, pattern[:, first : first + period], out=sums[number + 1])
        sums[number + 1] += sums[number]
    return sums


def double_angles(cells: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Return cells with twice the angles and the same magnitudes."""
    return np.asarray(cells**2 / np.maximum(np.abs(cells), np.float32(_SILENCE)), np.complex64)


def derive_angles(owner_key: bytes | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what a search compares cells with, [PERIOD, BANDS]: angles, and which cells count.

    Of an owner's key, the angles are doubled.
    """
    if owner_key is None:
        return derive_dither(PUBLISHED_KEY, "presence") * (2 * np.pi / STEP_SIZES), PRESENCE_MASK
    return derive_dither(owner_key, "payload") * (4 * np.pi / STEP_SIZES), ~PRESENCE_MASK


@functools.lru_cache(maxsize=4)
def _pattern_matrices(
    owner_key: bytes | None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the matrices for `_correlate_blocks`: the pattern of a half, and its cells.

    [2 * _BLOCK * BANDS, 2 * PERIOD] and [2 * _BLOCK * BANDS, 2 * PAYLOAD_PERIOD]: for each column
    of the pattern that a block may begin with, repeated once.
    """
    angles, is_cell = derive_angles(owner_key)
    columns = (np.arange(_BLOCK)[:, None] + np.arange(2 * PERIOD)) % PERIOD

    def to_rows(real: Floats, imaginary: Floats) -> NDArray[np.float32]:
        parts = np.stack([real[columns], imaginary[columns]], axis=-1)  # [block, 2 P, BANDS, 2]
        return parts.transpose(0, 2, 3, 1).reshape(-1, 2 * PERIOD).astype(np.float32)

    mask = is_cell.astype(np.float64)
    pattern = to_rows(np.cos(angles) * mask, np.sin(angles) * mask)
    return pattern, np.ascontiguousarray(to_rows(mask, mask)[:, : 2 * PAYLOAD_PERIOD])
