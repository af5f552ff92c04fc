"""Signals and measurements shared by the tests of augmentation and synthetic speech."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def hum(hertz: float, seconds: float = 1.0) -> NDArray[np.float32]:
    """A pulse train through two formants: a steady vowel of known pitch."""
    time = np.arange(int(RATE * seconds))
    pulses = (np.diff(np.floor(time * hertz / RATE), prepend=0.0) > 0).astype(float)
    for center in (700.0, 1800.0):
        radius, angle = 0.97, 2 * np.pi * center / RATE
        out = np.zeros_like(pulses)
        for i, value in enumerate(pulses):
            before = out[i - 1] if i else 0.0
            out[i] = value + 2 * radius * np.cos(angle) * before - radius**2 * out[i - 2] * (i > 1)
        pulses = out
    return (0.3 * pulses / np.abs(pulses).max()).astype(np.float32)


def pitch_of(samples: NDArray[np.float32]) -> float:
    """Hertz of the middle 0.4 s, by autocorrelation with parabolic refinement."""
    middle = len(samples) // 2
    segment = samples[middle - RATE // 5 : middle + RATE // 5].astype(float)
    power = np.abs(np.fft.rfft(segment - segment.mean(), 2 * len(segment))) ** 2
    correlation = np.fft.irfft(power)[: RATE // 60]
    lag = RATE // 500 + int(np.argmax(correlation[RATE // 500 :]))
    before, peak, after = (
        correlation[lag - 1 : lag + 2] if lag + 2 <= len(correlation) else (0, 1, 0)
    )
    return float(RATE / (lag + 0.5 * (before - after) / (before - 2 * peak + after)))


def centroid(samples: NDArray[np.float32]) -> float:
    """Mean frequency of the power spectrum, hertz."""
    power = np.abs(np.fft.rfft(samples)) ** 2
    return float(np.sum(power * np.fft.rfftfreq(len(samples), 1 / RATE)) / np.sum(power))
