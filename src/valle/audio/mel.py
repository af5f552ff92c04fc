"""The mel scale."""

from __future__ import annotations

import math

import numpy as np

from valle.arrays import Floats


def mel_filters(bins: int, mels: int, sample_rate: int) -> Floats:
    """Return triangular filters on the mel scale (HTK formula), each of unit height.

    Args:
        bins: Frequencies of the spectrum, from 0 to half the sample rate.
        mels: Filters.
        sample_rate: In Hz.

    Returns:
        [bins, mels] weights.
    """

    def to_mel(hertz: float) -> float:
        return 2595.0 * math.log10(1.0 + hertz / 700.0)

    points = np.linspace(to_mel(0.0), to_mel(sample_rate / 2), mels + 2)
    edges = 700.0 * (10.0 ** (points / 2595.0) - 1.0)
    frequencies = np.linspace(0, sample_rate / 2, bins)[:, None]
    rising = (frequencies - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - frequencies) / (edges[2:] - edges[1:-1])
    return np.minimum(rising, falling).clip(min=0).astype(np.float32)
