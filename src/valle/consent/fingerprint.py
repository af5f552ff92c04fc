"""Audio fingerprints: whether a recording was heard before, however it was coded since.

After J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): each
frame gives 32 bits, the signs of how the energy differences between neighbouring bands change from
the frame before. Gain does not change them at all, coding and noise only a few. Two recordings of
one person saying the same words agree in about half of the bits, as any two recordings do.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import resample

RATE = 8_000  # Hz, which every coder keeps
BITS = 32
FRAMES_PER_SECOND = 62.5
SHORTEST = 2.0  # seconds that are compared at once

# A recording 2 % faster than the other is still known, so these reach from 10 % slower to as much
# faster. Who changes the tempo without the pitch, or by more, gets past.
SPEEDS = (0.92, 0.96, 1.0, 1.04, 1.08)

_STEP = 128  # samples from frame to frame
_WINDOW = 2048  # samples: long beside the step, so that bits hold where frames do not fall in step
_LOWEST, _HIGHEST = 300.0, 3400.0  # Hz, a telephone's band
_CANDIDATES = 8  # shifts at which two fingerprints are compared closely

Fingerprint = NDArray[np.bool_]  # [frames, 32]


def fingerprint(samples: NDArray[np.float32], sample_rate: int) -> Fingerprint:
    """The bits of a recording: [frames, 32], 62.5 frames a second.

    Args:
        samples: [N] mono.
        sample_rate: Hz.
    """
    audio = resample(samples, sample_rate, RATE)
    audio = np.pad(audio, (0, max(0, _WINDOW + _STEP - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(audio, _WINDOW)[::_STEP]
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_WINDOW).astype(np.float32))))
    edges = np.geomspace(_LOWEST, _HIGHEST, BITS + 2) * _WINDOW / RATE
    energy = np.add.reduceat(power, np.round(edges).astype(np.int64), axis=1)[:, :-1]
    change = np.diff(energy, axis=1)
    return np.asarray(np.diff(change, axis=0) > 0)


def likeness(one: Fingerprint, other: Fingerprint) -> float:
    """The largest share of equal bits over any 2 s of two recordings: 0.5 by chance, 1 the same.

    0 where one of them is shorter than that.
    """
    width = int(SHORTEST * FRAMES_PER_SECOND)
    if min(len(one), len(other)) < width:
        return 0.0
    signs = [np.where(bits, np.float32(1), np.float32(-1)) for bits in (one, other)]
    size = 1 << (len(one) + len(other)).bit_length()
    spectra = [np.fft.rfft(sign, size, axis=0) for sign in signs]
    # At shift d, frame t + d of the one is compared with frame t of the other.
    agreement = np.fft.irfft((spectra[0] * spectra[1].conj()).sum(axis=1), size)
    shifts = np.concatenate([np.arange(len(one) - width + 1), np.arange(width - len(other), 0)])
    best = shifts[np.argsort(agreement[shifts])[-_CANDIDATES:]]
    return max(_closest(one, other, int(shift), width) for shift in best)


def _closest(one: Fingerprint, other: Fingerprint, shift: int, width: int) -> float:
    start, end = max(0, shift), min(len(one), len(other) + shift)
    equal = (one[start:end] == other[start - shift : end - shift]).mean(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(equal)])
    return float((sums[width:] - sums[:-width]).max() / width)


def at_speeds(samples: NDArray[np.float32], sample_rate: int) -> list[Fingerprint]:
    """The fingerprints of a recording played at each of `SPEEDS`."""
    return [fingerprint(samples, round(sample_rate * speed)) for speed in SPEEDS]


def heard_before(played: Iterable[Fingerprint], earlier: Iterable[Fingerprint]) -> float:
    """The greatest likeness of a recording, from `at_speeds`, to earlier ones; 0 if there are none.

    Played faster and slower, since two recordings are alike at the same speed only.
    """
    earlier = list(earlier)
    return max((likeness(one, other) for one in played for other in earlier), default=0.0)
