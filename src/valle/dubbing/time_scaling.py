"""Playing speech a little faster at the same pitch: WSOLA (Verhelst and Roelands, ICASSP 1993).

FFmpeg's filter for it drops the first 30 ms, and its result is not as long as it should be; here
the first sample stays the first, and the length is exact.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples

_WINDOW = 0.030  # seconds
_STRIDE = 4  # samples that are skipped in the first search
_SEARCH = 0.008  # seconds: how far a window may move to continue the waveform before it

Doubles = NDArray[np.float64]


def compress_time(samples: Samples, sample_rate: int, factor: float) -> Samples:
    """Return samples [N] played `factor` times as fast, [round(N / factor)].

    Args:
        samples: Mono.
        sample_rate: In Hz.
        factor: 0.5 to 2; 1 returns the samples as they are.
    """
    if factor == 1.0 or not len(samples):
        return samples
    hop = round(_WINDOW * sample_rate / 2)
    window, search = 2 * hop, round(_SEARCH * sample_rate)
    length = round(len(samples) / factor)
    source = np.pad(samples.astype(np.float64), (hop + search, window + 2 * search + hop))
    weights = np.hanning(window + 1)[:-1]
    steps = length // hop + 2
    output = np.zeros((steps + 1) * hop)
    at = search  # where the window of the first step begins in `source`
    for step in range(steps):
        output[step * hop : step * hop + window] += weights * source[at : at + window]
        # What would follow without a change, and where it is found near the place to go on from.
        following = source[at + hop : at + hop + window]
        wanted = search + round((step + 1) * hop * factor)
        wanted = min(wanted, len(source) - window - search)
        nearby = source[wanted - search : wanted + search + window]
        at = wanted - search + _find_match(nearby, following)
        if len(source) - at - hop < window:
            break
    return output[hop : hop + length].astype(np.float32)


def _find_match(nearby: Doubles, wanted: Doubles) -> int:
    """Return where in `nearby` the waveform is most like `wanted`: roughly first, then exactly."""
    rough = _correlate(nearby[::_STRIDE], wanted[::_STRIDE]) * _STRIDE
    first = max(0, rough - _STRIDE)
    last = min(len(nearby), rough + _STRIDE + len(wanted))
    return first + _correlate(nearby[first:last], wanted)


def _correlate(signal: Doubles, wanted: Doubles) -> int:
    """Return the offset with the highest normalized cross-correlation."""
    sums = np.concatenate(([0.0], np.cumsum(np.square(signal))))
    energy = sums[len(wanted) :] - sums[: len(sums) - len(wanted)]
    match = np.correlate(signal, wanted, "valid") / np.sqrt(np.maximum(energy, 0.0) + 1e-9)
    return int(np.argmax(match))
