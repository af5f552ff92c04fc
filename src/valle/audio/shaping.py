"""Applying a style to speech: its pitch, pitch range, energy, rate, spectral tilt and breath."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats
from valle.audio.prosody import SEMITONE_ZERO, compute_frame_features
from valle.audio.psola import MAX_OUTPUT, MIN_OUTPUT, find_marks, lay_periods
from valle.styles import StyleShift

_HOPS_PER_SECOND = 100  # of the pitch
_MAX_BEND = 7.0  # semitones by which a change of the range moves the pitch
_TILT_EDGES, _TILT_CENTER = (125.0, 8000.0), 1000.0  # Hz
_PAD = 2048  # samples of silence around what is filtered, in which the filter rings out
_BREATH_FRAME = 0.032  # seconds
_ENVELOPE = 0.0016  # seconds of the cepstrum that are the spectrum's envelope
_BREATH_FROM = 300.0  # Hz: there is less breath below

Doubles = NDArray[np.float64]


def track_semitones(mono: Floats, sample_rate: int) -> Doubles:
    """Return the pitch [frames] in semitones, 100 frames per second; NaN without voice."""
    features = compute_frame_features(mono, sample_rate, sample_rate // _HOPS_PER_SECOND)
    return np.asarray(features[:, 0], np.float64)


def shape_speech(
    samples: Floats,
    sample_rate: int,
    shift: StyleShift,
    length: int | None = None,
    median: float | None = None,
) -> Floats:
    """Return speech in another style.

    Args:
        samples: [N, channels] in [-1, 1].
        sample_rate: In Hz.
        shift: What changes.
        length: Samples of the result; None for N / rate.
        median: The pitch that stays where only the range changes, in semitones above 55 Hz; None
            for the median of these samples.

    Returns:
        [length, channels].
    """
    wanted = round(len(samples) / shift.rate) if length is None else length
    if not samples.any():
        return np.zeros((wanted, samples.shape[1]), np.float32)
    shaped = samples
    if shift.pitch or shift.range != 1.0 or wanted != len(samples):
        shaped = _change_pitch(samples, sample_rate, shift, wanted, median)
    if shift.breath:
        shaped = np.stack([_whisper(c, sample_rate, shift.breath) for c in shaped.T], axis=1)
    if shift.tilt:
        shaped = np.stack([_tilt(channel, sample_rate, shift.tilt) for channel in shaped.T], axis=1)
    gain = _level(samples) / max(_level(shaped), 1e-9) * 10 ** (shift.energy / 20)
    louder: Floats = np.clip(shaped * gain, -1.0, 1.0).astype(np.float32)
    return louder


def _change_pitch(
    samples: Floats, sample_rate: int, shift: StyleShift, length: int, median: float | None
) -> Floats:
    mono = samples.mean(axis=1)
    hop = sample_rate // _HOPS_PER_SECOND
    semitones = track_semitones(mono, sample_rate)
    voiced = np.isfinite(semitones)
    if median is None:
        median = float(np.median(semitones[voiced])) if voiced.any() else 0.0
    marks = find_marks(mono, SEMITONE_ZERO * 2 ** (semitones / 12), hop, sample_rate)
    bend = np.clip((semitones - median) * (shift.range - 1.0), -_MAX_BEND, _MAX_BEND)
    moved = SEMITONE_ZERO * 2 ** ((semitones + bend + shift.pitch) / 12)
    factors = np.clip(moved, MIN_OUTPUT, MAX_OUTPUT) / (SEMITONE_ZERO * 2 ** (semitones / 12))
    frames, known = np.arange(len(factors)), np.isfinite(factors)
    if not known.any():
        factors, known = np.ones(len(frames)), np.ones(len(frames), bool)

    def change(places: NDArray[np.int64]) -> Doubles:
        return np.interp(places / hop, frames[known] + 0.5, factors[known])

    return lay_periods(samples, marks, change, length)


def _tilt(samples: Floats, sample_rate: int, slope: float) -> Floats:
    """Add `slope` dB per octave to the spectrum of [N] samples, without a delay."""
    size = 1 << (len(samples) + 2 * _PAD - 1).bit_length()
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    octaves = np.log2(np.clip(hertz, *_TILT_EDGES) / _TILT_CENTER)
    spectrum = np.fft.rfft(np.pad(samples, _PAD), size) * 10 ** (slope * octaves / 20)
    return np.asarray(np.fft.irfft(spectrum, size)[_PAD : _PAD + len(samples)], np.float32)


def _whisper(samples: Floats, sample_rate: int, breath: float) -> Floats:
    """Make a share of the power of [N] samples breath with the same spectral envelope."""
    size = 2 * round(_BREATH_FRAME * sample_rate / 2)
    hop, window = size // 4, np.sqrt(np.hanning(size + 1)[:-1])
    padded = np.pad(samples, (size, 2 * size))
    noise = np.random.default_rng(0).standard_normal(len(padded))
    voiced, breathed = (
        np.fft.rfft(np.lib.stride_tricks.sliding_window_view(signal, size)[::hop] * window)
        for signal in (padded, noise)
    )
    power = np.abs(voiced) ** 2
    cepstrum = np.fft.irfft(0.5 * np.log(power + 1e-10))
    kept = max(2, round(_ENVELOPE * sample_rate))
    cepstrum[:, kept : size - kept + 1] = 0.0
    hertz = np.fft.rfftfreq(size, 1.0 / sample_rate)
    high_pass = (hertz / _BREATH_FROM) ** 2 / (1.0 + (hertz / _BREATH_FROM) ** 2)
    breathed *= np.exp(np.fft.rfft(cepstrum).real) * high_pass
    breathed *= np.sqrt(power.sum(axis=1) / np.maximum((np.abs(breathed) ** 2).sum(axis=1), 1e-20))[
        :, None
    ]
    mixed = np.sqrt(1.0 - breath) * voiced + np.sqrt(breath) * breathed
    frames = np.fft.irfft(mixed, size) * window / 2.0
    output = np.zeros(len(padded))
    for index, frame in enumerate(frames):
        output[index * hop : index * hop + size] += frame
    return np.asarray(output[size : size + len(samples)], np.float32)


def _level(samples: Floats) -> float:
    """Return the root mean square of samples [N, channels]; it depends little on pauses."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
