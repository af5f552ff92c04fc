"""Loudness after ITU-R BS.1770-5, and a gain that reaches a target without clipping.

The K-weighting is a shelf for the head and a high-pass filter; blocks of 400 ms that are too quiet
are left out (gating). Its filters are given for 48 kHz only; for other rates they are designed from
the same analog prototypes (De Man, "Evaluation of implementations of the EBU R128 loudness
measurement", AES 2018).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples

DEFAULT_LOUDNESS = -16.0  # LUFS: what podcasts and videos have (AES TD1008)
PEAK = 10 ** (-1.0 / 20)  # -1 dBFS, which leaves room for what lossy formats add

_BLOCK, _STEP = 0.4, 0.1  # seconds
_ABSOLUTE_GATE, _RELATIVE_GATE = -70.0, -10.0  # LUFS; LU below the mean of what passes the first
_OFFSET = -0.691  # so that a sine of 997 Hz at 0 dBFS has -3.01 LUFS
_SETTLING = 1.0  # seconds after which the filters' response has vanished
_CHUNK = 1 << 19  # samples that are filtered at once
_LIMITER = 0.005  # seconds around a peak in which the gain is reduced

Floats = NDArray[np.float64]


def measure_loudness(samples: Samples, sample_rate: int) -> float:
    """Return the integrated loudness in LUFS.

    Args:
        samples: [N] mono in [-1, 1].
        sample_rate: In Hz.

    Returns:
        Minus infinity for silence. What is shorter than a block of 400 ms is one block.
    """
    block, step = round(_BLOCK * sample_rate), round(_STEP * sample_rate)
    padded = np.pad(samples.astype(np.float64), (0, max(0, block - len(samples))))
    energy = np.concatenate(([0.0], np.cumsum(_weight(padded, sample_rate) ** 2)))
    starts = np.arange(0, len(padded) - block + 1, step)
    length = min(block, max(1, len(samples)))
    power = np.maximum(0.0, energy[starts + block] - energy[starts]) / length
    for gate in (_ABSOLUTE_GATE, None):
        level = _to_lufs(float(power.mean())) + _RELATIVE_GATE if gate is None else gate
        power = power[power > 10 ** ((level - _OFFSET) / 10)]
        if not len(power):
            return -math.inf
    return _to_lufs(float(power.mean()))


def normalize_loudness(samples: Samples, sample_rate: int, target: float) -> Samples:
    """Return samples [N] amplified to a loudness in LUFS; silence stays as it is.

    The gain is the same everywhere, except that it is reduced around peaks that would exceed
    -1 dBFS.
    """
    loudness = measure_loudness(samples, sample_rate)
    if not math.isfinite(loudness):
        return samples
    gain = target - loudness
    louder = _limit(_amplify(samples, gain), sample_rate)
    lost = target - measure_loudness(louder, sample_rate)
    if lost < 0.02:  # LU; nothing to speak of was limited
        return louder
    return _limit(_amplify(samples, gain + lost), sample_rate)


def normalize_rms(samples: Samples, sample_rate: int, target: float, peak: float) -> Samples:
    """Return samples [N] amplified to a level; silence stays as it is.

    Args:
        samples: [N] mono in [-1, 1].
        sample_rate: In Hz.
        target: Root mean square in dBFS, of all samples.
        peak: In dBFS; the gain is reduced around what would exceed it.
    """
    highest = 10 ** (peak / 20)
    louder = samples
    for _ in range(3):  # what is limited away is added again
        power = float(np.mean(np.square(louder, dtype=np.float64))) if len(louder) else 0.0
        if not power:
            return samples
        gain = target - 10 * math.log10(power)
        if abs(gain) < 0.05:
            break
        louder = _limit(_amplify(louder, gain), sample_rate, highest)
    return louder


def _amplify(samples: Samples, decibels: float) -> Samples:
    return samples * np.float32(10 ** (decibels / 20))


def _to_lufs(power: float) -> float:
    return _OFFSET + 10 * math.log10(power) if power > 0 else -math.inf


def _weight(samples: Floats, sample_rate: int) -> Floats:
    """Apply the K-weighting: the response of both filters, by FFT over overlapping chunks."""
    overlap = round(_SETTLING * sample_rate)
    size = 1 << (_CHUNK + overlap - 1).bit_length()
    size = min(size, 1 << (len(samples) + overlap - 1).bit_length())
    hop = size - overlap
    response = _compute_response(size, sample_rate)
    padded = np.pad(samples, (overlap, 0))
    chunks = [
        np.fft.irfft(np.fft.rfft(padded[start : start + size], size) * response, size)[overlap:]
        for start in range(0, len(samples), hop)
    ]
    return np.concatenate(chunks)[: len(samples)]


@lru_cache(maxsize=4)
def _compute_response(size: int, sample_rate: int) -> NDArray[np.complex128]:
    """Return the response of both filters at the frequencies of an FFT of `size` samples."""
    frequencies = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones(size // 2 + 1, complex)
    for numerator, denominator in (_design_shelf(sample_rate), _design_high_pass(sample_rate)):
        response *= np.polyval(numerator[::-1], frequencies)
        response /= np.polyval(denominator[::-1], frequencies)
    return response


def _design_shelf(sample_rate: int) -> tuple[Floats, Floats]:
    """Return numerator and denominator of the first filter, a shelf of +4 dB."""
    frequency, gain, quality = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k = math.tan(math.pi * frequency / sample_rate)
    high = 10 ** (gain / 20)
    band = high**0.4996667741545416
    numerator = [
        high + band * k / quality + k * k,
        2 * (k * k - high),
        high - band * k / quality + k * k,
    ]
    denominator = [1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k]
    return np.array(numerator), np.array(denominator)


def _design_high_pass(sample_rate: int) -> tuple[Floats, Floats]:
    """Return numerator and denominator of the second filter, a high-pass."""
    frequency, quality = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * frequency / sample_rate)
    first = 1 + k / quality + k * k
    denominator = np.array([1.0, 2 * (k * k - 1) / first, (1 - k / quality + k * k) / first])
    return np.array([1.0, -2.0, 1.0]), denominator


def _limit(samples: Samples, sample_rate: int, highest: float = PEAK) -> Samples:
    """Reduce the gain smoothly around peaks above `highest`, 0 to 1."""
    peaks = np.abs(samples)
    if not len(peaks) or peaks.max() <= highest:
        return samples
    gain = np.minimum(1.0, highest / np.maximum(peaks, highest))
    reach = max(1, round(_LIMITER * sample_rate))
    # The least gain within reach, then its mean: smooth, and nowhere above what a peak needs.
    padded = np.pad(gain, 2 * reach, constant_values=1.0)
    least = _sliding_minimum(padded, 2 * reach + 1)
    window = np.hanning(2 * reach + 3)[1:-1]
    smooth = np.convolve(least, window / window.sum(), "valid")
    return (samples * smooth).astype(np.float32)


def _sliding_minimum(values: Floats, width: int) -> Floats:
    """Return the minimum of every window of `width` values, by doubling."""
    minimum, span = values, 1
    while span < width:
        shift = min(span, width - span)
        minimum = np.minimum(minimum[:-shift], minimum[shift:])
        span += shift
    return minimum
