"""What the watermark is written in: levels of speech in cells of time and frequency.

The band from 300 to 3300 Hz is cut into 12 bands, time into columns of 40 ms. A cell is one band in
one column; its *step* is how many decibels its first 20 ms are louder than its second 20 ms. A mark
moves steps, by little, to places on a grid that is `GRID` dB wide: quantisation index modulation
with dither (Chen and Wornell 2001, "Quantization index modulation", section III). A step is a ratio
of neighbours in time, so gains, filters and other levels between bands do not change it; and where
on the grid a step should lie is told by a key, so that without the key nothing stands out.

Which cells carry what is public: `PRESENCE` cells say that valle made it, with places drawn from
`PUBLISHED_KEY`; the others carry the payload, with places drawn from the owner's key.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]

HOPS_PER_SECOND = 100
"""Frames are 20 ms long and 10 ms apart, with sine windows: their squares sum to 1."""
COLUMN_HOPS = 4
# Edges of the bands in bins of 50 Hz: 200 Hz wide up to 1500 Hz, then 300 Hz wide.
EDGES = np.array([6, 10, 14, 18, 22, 26, 30, 36, 42, 48, 54, 60, 66])
BANDS = len(EDGES) - 1
GRID = np.array([4.0, 4.0, 5.0, 6.5, 9.0, 9.0] + [10.5] * 6)
"""Decibels from one place of a band's grid to the next, [BANDS].

Speech is strongest, and best heard, in the lowest bands: there noise and codecs change a step by
little, so that a narrow grid can be read, and a small move is enough to lay it.
"""
FURTHEST = np.array([1.0, 1.0, 1.4, 2.2, 3.5, 3.5] + [4.5] * 6)
"""Decibels that a step is moved at most, [BANDS]; further places are only approached."""
PERIOD = 256
"""Columns after which the pattern begins again: 10.24 s."""
PAYLOAD_PERIOD = 64
"""Columns in which the payload is told once: 2.56 s."""

# Any number would do, if no recording was in view when it was chosen. It is no secret: whoever has
# this file can find the mark, forge it or take it away.
PUBLISHED_KEY = bytes.fromhex("5b0c1f7e9a43d2886ee1b5f0c7293a14d85f60ab37c49e127d0b8ef3a651c92d")


def _presence() -> NDArray[np.bool_]:
    """[PERIOD, BANDS]: of the 12 cells of a column half, others in the next."""
    column, band = np.ogrid[:PERIOD, :BANDS]
    cells: NDArray[np.bool_] = (5 * band + 7 * (column % PAYLOAD_PERIOD)) % BANDS < BANDS // 2
    return cells


PRESENCE = _presence()
PAYLOAD_CELLS = BANDS - BANDS // 2
"""Cells of a column that carry the payload."""


def places(key: bytes, what: str) -> NDArray[np.float64]:
    """Where on its band's grid each cell's step should lie: [PERIOD, BANDS] dB in 0..GRID.

    Uniform and independent, as far as anyone can tell who does not have the key: the numbers are
    SHAKE-256 of it. `what` keeps the numbers of different uses of one key apart.
    """
    stream = hashlib.shake_256(b"valle watermark\0" + what.encode() + b"\0" + key)
    words = np.frombuffer(stream.digest(4 * PERIOD * BANDS), "<u4")
    return (words.reshape(PERIOD, BANDS) * (GRID / 2**32)).astype(np.float64)


def window(hop: int) -> NDArray[np.float64]:
    """The window of a frame, [2 * hop]."""
    return np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))


def band_powers(spectra: NDArray[np.complexfloating]) -> Floats:
    """Powers [frames, BANDS] of the bands in spectra [frames, bins of 50 Hz]."""
    inside = spectra[:, EDGES[0] : EDGES[-1]]
    return np.add.reduceat(inside.real**2 + inside.imag**2, EDGES[:-1] - EDGES[0], axis=1)
