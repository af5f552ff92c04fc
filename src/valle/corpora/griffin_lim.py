"""Griffin-Lim resynthesis from a mel spectrogram: a vocoder without a neural network."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from valle.audio.mel import mel_filters
from valle.audio_format import SAMPLE_RATE

_WINDOW, _HOP, _MELS = 512, 128, 80
_ITERATIONS = 24
_MOMENTUM = 0.99  # of fast Griffin-Lim (Perraudin et al. 2013, "A fast Griffin-Lim algorithm")


def griffin_lim(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Resynthesize `samples` [N] at 16 kHz from 80 mel bands with estimated phases; [N]."""
    filters = mel_filters(_WINDOW // 2 + 1, _MELS, SAMPLE_RATE).T
    target = np.abs(_spectrum(samples))
    # Invert the mel filters: the least-squares amplitudes, clipped to be positive.
    amplitude = np.maximum(np.linalg.pinv(filters) @ (filters @ target), 1e-6)
    estimate = amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape))
    before = np.zeros_like(estimate)
    for _ in range(_ITERATIONS):
        consistent = _spectrum(_samples(estimate, len(samples)))
        accelerated = consistent + _MOMENTUM * (consistent - before)
        before = consistent
        estimate = amplitude * accelerated / (np.abs(accelerated) + 1e-9)
    return _samples(estimate, len(samples))


def _spectrum(samples: NDArray[np.float32]) -> NDArray[np.complex128]:
    overlap = _WINDOW - _HOP
    return np.asarray(signal.stft(samples, nperseg=_WINDOW, noverlap=overlap)[2])


def _samples(spectrum: NDArray[np.complex128], length: int) -> NDArray[np.float32]:
    samples = signal.istft(spectrum, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[1]
    return np.resize(np.asarray(samples, np.float32), length)
