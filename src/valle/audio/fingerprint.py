"""Audio fingerprints: whether a recording is a copy of another, whatever codec it went through.

J. Haitsma and T. Kalker, "A Highly Robust Audio Fingerprinting System" (ISMIR 2002): each frame
gives 32 bits, the signs of the change over time of energy differences between neighboring bands.
Gain does not change them at all, codecs and noise only a few. Two recordings of one person saying
the same words agree in about half of the bits, as any two recordings do.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import resample

RATE = 8_000  # Hz, a bandwidth that every codec keeps
BITS = 32
FRAMES_PER_SECOND = 62.5
MIN_SECONDS = 2.0  # of a match

# A recording 2 % faster than another still matches it, so these cover 10 % slower to 10 % faster. A
# larger change, or one of the tempo without the pitch, is not recognized.
SPEEDS = (0.92, 0.96, 1.0, 1.04, 1.08)

_HOP = 128  # samples
_WINDOW = 2048  # samples: many hops, so that bits change little where frames are not in step
_LOW_HZ, _HIGH_HZ = 300.0, 3400.0  # the telephone band
_FRAMES_AT_ONCE = 32
_STREAM_SECONDS = 20.0  # of audio that a stream keeps at most
_CANDIDATES = 8  # alignments of two fingerprints that are compared exactly

Fingerprint = NDArray[np.bool_]  # [frames, 32]


def compute_fingerprint(samples: NDArray[np.float32], sample_rate: int) -> Fingerprint:
    """Compute the fingerprint of a recording.

    Args:
        samples: [N] mono.
        sample_rate: Hz.

    Returns:
        [frames, 32] bits, 62.5 frames per second.
    """
    audio = resample(samples, sample_rate, RATE)
    audio = np.pad(audio, (0, max(0, _WINDOW + _HOP - len(audio))))
    frames = np.lib.stride_tricks.sliding_window_view(audio, _WINDOW)[::_HOP]
    # A few frames at a time: spectra of a whole recording would go through main memory.
    parts = range(0, len(frames), _FRAMES_AT_ONCE)
    energy = np.concatenate(
        [_compute_band_energy(frames[start : start + _FRAMES_AT_ONCE]) for start in parts]
    )
    band_difference = np.diff(energy, axis=1)
    return np.asarray(np.diff(band_difference, axis=0) > 0)


def _compute_band_energy(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the energy in each band, [frames, BITS + 1], of frames [frames, _WINDOW]."""
    window, edges = _prepare_bands()
    power = np.square(np.abs(np.fft.rfft(frames * window)))
    energy: NDArray[np.float32] = np.add.reduceat(power, edges, axis=1)[:, :-1]
    return energy


@lru_cache(maxsize=1)
def _prepare_bands() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the window [_WINDOW], and where the bands begin and the last one ends."""
    edges = np.geomspace(_LOW_HZ, _HIGH_HZ, BITS + 2) * _WINDOW / RATE
    return np.hanning(_WINDOW).astype(np.float32), np.round(edges).astype(np.int64)


class FingerprintStream:
    """Computes the fingerprint of audio that comes in pieces, without keeping the audio."""

    def __init__(self, sample_rate: int) -> None:
        """Begin a recording at `sample_rate` Hz."""
        self._rate = sample_rate
        self._pieces: list[NDArray[np.float32]] = []
        self._pending = 0  # samples
        self._bits: list[Fingerprint] = []

    def feed(self, samples: NDArray[np.float32]) -> None:
        """Add samples [N]."""
        self._pieces.append(samples)
        self._pending += len(samples)
        if self._pending >= _STREAM_SECONDS * self._rate:
            self._compute()

    def finish(self) -> Fingerprint:
        """Return the fingerprint [frames, 32]."""
        if self._pending or not self._bits:
            self._compute()
        return np.concatenate(self._bits)

    def _compute(self) -> None:
        """Compute what is pending; the samples of later frames stay."""
        samples = np.concatenate([*self._pieces, np.zeros(0, np.float32)])
        bits = compute_fingerprint(samples, self._rate)
        self._bits.append(bits)
        rest = samples[round(len(bits) * _HOP * self._rate / RATE) :]
        self._pieces, self._pending = [rest], len(rest)


def similarity(first: Fingerprint, second: Fingerprint) -> float:
    """Return the largest share of equal bits over any 2 s of two recordings.

    0.5 is expected by chance, 1 for the same recording; 0 if one of them is shorter than 2 s.
    """
    width = int(MIN_SECONDS * FRAMES_PER_SECOND)
    if min(len(first), len(second)) < width:
        return 0.0
    signs = [np.where(bits, np.float32(1), np.float32(-1)) for bits in (first, second)]
    size = 1 << (len(first) + len(second)).bit_length()
    spectra = [np.fft.rfft(sign, size, axis=0) for sign in signs]
    # Cross-correlation: at shift d, frame t + d of the first meets frame t of the second.
    agreement = np.fft.irfft((spectra[0] * spectra[1].conj()).sum(axis=1), size)
    shifts = np.concatenate([np.arange(len(first) - width + 1), np.arange(width - len(second), 0)])
    best = shifts[np.argsort(agreement[shifts])[-_CANDIDATES:]]
    return max(_similarity_at(first, second, int(shift), width) for shift in best)


def _similarity_at(first: Fingerprint, second: Fingerprint, shift: int, width: int) -> float:
    start, end = max(0, shift), min(len(first), len(second) + shift)
    equal = (first[start:end] == second[start - shift : end - shift]).mean(axis=1)
    sums = np.concatenate([[0.0], np.cumsum(equal)])
    return float((sums[width:] - sums[:-width]).max() / width)


def fingerprint_at_speeds(samples: NDArray[np.float32], sample_rate: int) -> list[Fingerprint]:
    """Compute the fingerprints of a recording played at each of `SPEEDS`."""
    return [compute_fingerprint(samples, round(sample_rate * speed)) for speed in SPEEDS]


def max_similarity(at_speeds: Iterable[Fingerprint], earlier: Iterable[Fingerprint]) -> float:
    """Return the highest similarity of a recording to earlier ones; 0 if there are none.

    Args:
        at_speeds: From `fingerprint_at_speeds`: two recordings match at the same speed only.
        earlier: Fingerprints of the earlier recordings.
    """
    earlier = list(earlier)
    return max((similarity(new, old) for new in at_speeds for old in earlier), default=0.0)
