"""The cells of time and frequency that carry the watermark, and their dither.

300 to 3300 Hz is divided into 12 bands, time into columns of 40 ms. A cell is one band of one
column. Its *log-energy difference* is by how many decibels its first 20 ms are louder than its
second 20 ms. Embedding moves this difference a little, toward a point of a lattice with the spacing
`STEP_SIZES` (quantization index modulation with dither: Chen and Wornell 2001, "Quantization index
modulation", section III). A ratio of neighbors in time is unchanged by gain, filters and other
levels between bands. A key decides the dither, that is where the lattice of each cell lies, so that
nothing stands out without the key.

`PRESENCE_MASK` cells say that valle made the speech; their dither is that of `PUBLISHED_KEY`. The
other cells carry the payload, with the dither of the owner's key.
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
STEP_SIZES = np.array([4.0, 4.0, 5.0, 6.5, 9.0, 9.0] + [10.5] * 6)
"""Quantization step (lattice spacing) of each band, dB: [BANDS].

Speech is strongest, and most audible, in the lowest bands. There noise and codecs change the
log-energy difference only a little, so that a small step can still be read, and a small change is
enough to embed it. Chosen on 16 clips of 3 s, see "Quality" in docs/WATERMARK.md.
"""
MAX_CHANGES = np.array([1.0, 1.0, 1.4, 2.2, 3.5, 3.5] + [4.5] * 6)
"""Largest change of the log-energy difference in each band, dB: [BANDS].

Lattice points farther away are only approached. Chosen together with `STEP_SIZES`.
"""
PERIOD = 256
"""Columns after which the pattern repeats: 10.24 s."""
PAYLOAD_PERIOD = 64
"""Columns in which the payload is embedded once: 2.56 s."""

# An arbitrary number, chosen before any recording was seen. It is not a secret: anyone who has this
# file can find the watermark, forge it, or remove it.
PUBLISHED_KEY = bytes.fromhex("5b0c1f7e9a43d2886ee1b5f0c7293a14d85f60ab37c49e127d0b8ef3a651c92d")


def _make_presence_mask() -> NDArray[np.bool_]:
    """[PERIOD, BANDS]: half of the 12 cells of each column, others in the next column."""
    column, band = np.ogrid[:PERIOD, :BANDS]
    mask: NDArray[np.bool_] = (5 * band + 7 * (column % PAYLOAD_PERIOD)) % BANDS < BANDS // 2
    return mask


PRESENCE_MASK = _make_presence_mask()


def derive_dither(key: bytes, use: str) -> NDArray[np.float64]:
    """Derive the dither of every cell: pseudorandom, uniform and independent, from SHAKE-256.

    Args:
        key: The key.
        use: "presence" or "payload"; different uses of one key have independent dither.

    Returns:
        [PERIOD, BANDS] dB, from 0 to below `STEP_SIZES`.
    """
    stream = hashlib.shake_256(b"valle watermark\0" + use.encode() + b"\0" + key)
    words = np.frombuffer(stream.digest(4 * PERIOD * BANDS), "<u4")
    return (words.reshape(PERIOD, BANDS) * (STEP_SIZES / 2**32)).astype(np.float64)


def frame_window(hop: int) -> NDArray[np.float64]:
    """Return the sine window of a frame: [2 * hop]."""
    return np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))


def band_powers(spectra: NDArray[np.complexfloating]) -> Floats:
    """Return the powers [frames, BANDS] of the bands in `spectra` [frames, bins of 50 Hz]."""
    inside = spectra[:, EDGES[0] : EDGES[-1]]
    return np.add.reduceat(inside.real**2 + inside.imag**2, EDGES[:-1] - EDGES[0], axis=1)
