"""Speech made again from its mel spectrum alone: a generator that no network is part of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from valle.audio.mel import mel_filters
from valle.corpora.augmentation import SAMPLE_RATE

_WINDOW, _HOP, _MELS = 512, 128, 80
_ROUNDS = 24
_MOMENTUM = 0.99  # of the fast form (Perraudin et al. 2013)


def griffin_lim(samples: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """`samples` [N] at 16 kHz through 80 mel bands and back, phases found by Griffin-Lim; [N]."""
    filters = mel_filters(_WINDOW // 2 + 1, _MELS, SAMPLE_RATE).T
    wanted = np.abs(_spectrum(samples))
    # Back from mel bands: the least amplitudes that fit, none of them negative.
    amplitude = np.maximum(np.linalg.pinv(filters) @ (filters @ wanted), 1e-6)
    guess = amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape))
    before = np.zeros_like(guess)
    for _ in range(_ROUNDS):
        heard = _spectrum(_samples(guess, len(samples)))
        moved = heard + _MOMENTUM * (heard - before)
        before = heard
        guess = amplitude * moved / (np.abs(moved) + 1e-9)
    return _samples(guess, len(samples))


def _spectrum(samples: NDArray[np.float32]) -> NDArray[np.complex128]:
    overlap = _WINDOW - _HOP
    return np.asarray(signal.stft(samples, nperseg=_WINDOW, noverlap=overlap)[2])


def _samples(spectrum: NDArray[np.complex128], length: int) -> NDArray[np.float32]:
    made = signal.istft(spectrum, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[1]
    return np.resize(np.asarray(made, np.float32), length)
