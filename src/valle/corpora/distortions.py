"""What happens to recordings on their way: loudspeakers, music, noise gates, bad converters.

Every function takes and returns mono float32 samples [N] at 16 kHz and changes nothing in place.
Randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from valle.arrays import Samples
from valle.audio_format import SAMPLE_RATE
from valle.corpora import augmentation

_WINDOW, _HOP = 512, 128  # of the spectral gate
_GATE_PERCENTILE = 15.0  # of a bin's levels: its noise
_CHORDS = ((0, 4, 7), (0, 3, 7), (0, 5, 9), (0, 2, 7))  # semitones above a root


def raw_boost(samples: Samples, rng: np.random.Generator) -> Samples:
    """Distort as unknown converters and lines do.

    Source: Tak et al. 2022, "RawBoost: a raw data boosting and augmentation method applied to
    automatic speaker verification anti-spoofing": nonlinear filters, impulses that depend on the
    signal, and stationary noise of a random color, each with probability 0.5.
    """
    boosted = samples.astype(np.float64)
    if rng.random() < 0.5:
        orders = range(1, int(rng.integers(2, 5)))
        boosted = np.sum(
            [
                signal.lfilter(_random_notches(rng), [1.0], np.sign(boosted) * np.abs(boosted) ** n)
                * 10 ** (-rng.uniform(5.0, 20.0) * (n - 1) / 20)
                for n in orders
            ],
            axis=0,
        )
    if rng.random() < 0.5:
        hit = rng.random(len(boosted)) < rng.uniform(0.0, 0.02)
        boosted = boosted + hit * boosted * rng.uniform(-1.0, 1.0, len(boosted))
    if rng.random() < 0.5:
        noise = signal.lfilter(_random_notches(rng), [1.0], rng.standard_normal(len(boosted)))
        distorted = boosted.astype(np.float32)
        snr = float(rng.uniform(10.0, 40.0))
        return augmentation.add_noise(distorted, noise.astype(np.float32), snr)
    return boosted.astype(np.float32)


def loudspeaker(samples: Samples, rng: np.random.Generator) -> Samples:
    """Play from a small loudspeaker into a microphone in a room with noise."""
    low, high = float(rng.uniform(120.0, 400.0)), float(rng.uniform(5000.0, 7600.0))
    played = augmentation.band_limit(samples, low, high)
    played = _resonate(played, rng)
    drive = float(rng.uniform(0.5, 3.0)) / max(float(np.abs(played).max()), 1e-6)
    played = (np.tanh(played * drive) / drive).astype(np.float32)
    impulse = augmentation.room_impulse(
        rng, float(rng.uniform(0.15, 0.5)), float(rng.uniform(0.0, 10.0))
    )
    played = augmentation.reverberate(played, impulse)
    noise = augmentation.make_noise("pink", played, rng)
    return augmentation.add_noise(played, noise, float(rng.uniform(20.0, 38.0)))


def add_music(samples: Samples, snr_db: float, rng: np.random.Generator) -> Samples:
    """Lay a bed of music under speech: chords of plucked harmonics, a bass and a beat."""
    return augmentation.add_noise(samples, _make_music(len(samples), rng), snr_db)


def spectral_gate(samples: Samples, depth_db: float) -> Samples:
    """Attenuate what is near each bin's noise floor by `depth_db`, as conference programs do."""
    spectrum = signal.stft(samples, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[2]
    magnitude = np.abs(spectrum)
    floor = np.percentile(magnitude, _GATE_PERCENTILE, axis=1, keepdims=True)
    is_open = signal.medfilt2d((magnitude > 2.5 * floor).astype(np.float64), (3, 5))
    gain = np.maximum(is_open, 10 ** (-depth_db / 20))
    gated = signal.istft(spectrum * gain, nperseg=_WINDOW, noverlap=_WINDOW - _HOP)[1]
    return np.pad(gated[: len(samples)], (0, max(0, len(samples) - len(gated)))).astype(np.float32)


def _random_notches(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the coefficients of a filter with one to five random stop bands, of unit gain."""
    taps = int(rng.integers(10, 100)) | 1
    response = np.array([1.0])
    for _ in range(int(rng.integers(1, 6))):
        center = rng.uniform(20.0, 7900.0)
        width = rng.uniform(100.0, 1000.0)
        low, high = max(10.0, center - width / 2), min(7990.0, center + width / 2)
        notch = signal.firwin(taps, [low, high], fs=SAMPLE_RATE)
        response = np.convolve(response, notch)
    return np.asarray(response / np.abs(np.fft.rfft(response, 4096)).max())


def _resonate(samples: Samples, rng: np.random.Generator) -> Samples:
    """Add three resonances of up to 8 dB, as small enclosures have them."""
    for _ in range(3):
        frequency = float(rng.uniform(300.0, 5000.0))
        b, a = signal.iirpeak(frequency, float(rng.uniform(1.0, 4.0)), fs=SAMPLE_RATE)
        samples = (samples + rng.uniform(-0.5, 1.5) * signal.lfilter(b, a, samples)).astype(
            np.float32
        )
    return samples


def _make_music(length: int, rng: np.random.Generator) -> Samples:
    """Generate music [length]: a chord every half second or so, a bass note, a beat of noise."""
    beat = int(rng.uniform(0.35, 0.7) * SAMPLE_RATE)
    times = np.arange(2 * beat) / SAMPLE_RATE
    root = float(rng.uniform(90.0, 220.0))
    music = np.zeros(length + 2 * beat)
    for start in range(0, length, beat):
        chord = _CHORDS[rng.integers(len(_CHORDS))]
        for step in (-12, *chord):
            hertz = root * 2 ** (step / 12)
            for harmonic in range(1, int(rng.integers(4, 12))):
                decay = np.exp(-times * (1.5 + harmonic * rng.uniform(0.3, 1.2)))
                tone = np.sin(2 * np.pi * hertz * harmonic * times + rng.uniform(0, 6.3))
                music[start : start + 2 * beat] += tone * decay / harmonic
        hit = rng.standard_normal(2 * beat) * np.exp(-times * rng.uniform(15, 60))
        music[start : start + 2 * beat] += rng.uniform(0.0, 0.8) * hit
    music = music[:length]
    return (music * (0.1 / max(float(np.sqrt(np.mean(music**2))), 1e-9))).astype(np.float32)
