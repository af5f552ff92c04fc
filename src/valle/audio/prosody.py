"""Prosody in five numbers: pitch level, pitch range, energy, speaking rate, spectral tilt.

They are measured from speech itself, so that every training example has them, and quantized into
classes by bin edges that a bundle carries: these are the style tokens that the AR and the NAR read.
Class 0 is "unspecified": as in the prompt.

Pitch level and range are normalized by speaker. How high a voice is, the prompt says already; with
classes over all voices, a man's voice would never be in a class above the fourth, and the models
would not learn how he raises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from valle.arrays import AnyFloats, Floats, Ints
from valle.audio import pitch
from valle.audio_format import FRAME_RATE

STYLES = ("pitch", "pitch_range", "energy", "rate", "tilt")
CLASSES = 8  # of each style; 1 is the lowest, 8 the highest
UNSPECIFIED = 0
FEATURES = 3  # per frame: pitch in semitones, level, tilt

SEMITONE_ZERO = 55.0  # Hz
_SILENCE_RANGE = 30.0  # dB below a recording's loud frames, where there is no speech
_MIN_COUNT = 10  # voiced frames that pitch and tilt are measured from; phonemes, for the rate
_MIN_PITCH_RANGE = 1.0  # semitones: a speaker's usual range is not smaller
_OCTAVE_EDGES = 125.0 * 2.0 ** np.arange(6)  # Hz: edges of the bands that the tilt is fitted to


def compute_frame_features(samples: AnyFloats, sample_rate: int, hop: int) -> Floats:
    """Compute what prosody is measured from.

    Args:
        samples: [N] in [-1, 1].
        sample_rate: In Hz.
        hop: Samples from frame to frame; the last frame may be short.

    Returns:
        [frames, 3] of each frame: its pitch in semitones above 55 Hz (NaN if unvoiced), its level
        in dB relative to a full-scale square wave, and the tilt of its spectrum in dB per octave
        from 125 Hz to 4 kHz.
    """
    windows = pitch.extract_windows(samples, sample_rate, hop)
    width = windows.shape[1]
    size = pitch.fft_size(width)
    centered = windows - windows.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centered * np.hanning(width).astype(np.float32), size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    hertz = pitch.track_pitch(windows, power, sample_rate, hop)
    level = 10.0 * np.log10(windows.var(axis=1) + 1e-10)
    edges = np.round(_OCTAVE_EDGES * size / sample_rate).astype(int)
    # The mean of a band, so that white noise has a tilt of 0.
    bands = np.stack([power[:, a:b].mean(axis=1) for a, b in pairwise(edges)])
    decibels = 10.0 * np.log10(bands + 1e-10)
    octave = np.arange(len(bands)) - (len(bands) - 1) / 2
    tilt = octave @ decibels / float(octave @ octave)
    semitones = 12.0 * np.log2(hertz / SEMITONE_ZERO)
    return np.stack([semitones, level, tilt], axis=1).astype(np.float32)


def normalize_by_speaker(features: AnyFloats) -> Floats:
    """Return features with the pitch relative to the speaker's usual pitch.

    Args:
        features: [frames, 3] from `compute_frame_features`, of all speech of one speaker.

    Returns:
        [frames, 3], where a pitch of 0 is the speaker's median, and 1 is the distance from their
        10th to their 90th percentile.
    """
    semitones = np.asarray(features[:, 0], np.float64)
    normalized = np.array(features, np.float32)
    voiced = np.isfinite(semitones)
    if voiced.any():
        low, median, high = np.percentile(semitones[voiced], [10, 50, 90])
        normalized[:, 0] = (semitones - median) / max(high - low, _MIN_PITCH_RANGE)
    return normalized


def measure_styles(features: AnyFloats, phonemes: int) -> Floats:
    """Measure the prosody of some speech.

    Args:
        features: [frames, 3] from `compute_frame_features`, 50 frames per second; the pitch may be
            normalized by speaker.
        phonemes: How many phonemes are spoken in these frames.

    Returns:
        [5] in the order of `STYLES`: median pitch; its range from the 10th to the 90th percentile
        (both in the unit of the features); mean level of the frames that are not silence (dB);
        phonemes per second in those frames; mean tilt of voiced frames (dB per octave). NaN where
        there is too little to measure.
    """
    styles = np.full(len(STYLES), np.nan, np.float32)
    semitones, level, tilt = np.asarray(features, np.float64).T
    if not len(level):
        return styles
    audible = level > np.percentile(level, 95) - _SILENCE_RANGE
    styles[2] = 10.0 * np.log10(np.mean(10.0 ** (level[audible] / 10.0)))
    if phonemes >= _MIN_COUNT:
        styles[3] = phonemes / (audible.sum() / FRAME_RATE)
    voiced = np.isfinite(semitones)
    if voiced.sum() >= _MIN_COUNT:
        low, median, high = np.percentile(semitones[voiced], [10, 50, 90])
        styles[0], styles[1] = median, high - low
        styles[4] = tilt[voiced].mean()
    return styles


def compute_bin_edges(measured: AnyFloats) -> NDArray[np.float64]:
    """Compute edges between classes that are equally frequent.

    Args:
        measured: [utterances, 5] from `measure_styles`.

    Returns:
        [5, 7] edges of each style.

    Raises:
        ValueError: A style was measured in no utterance.
    """
    if not np.isfinite(measured).any(axis=0).all():
        raise ValueError("a style was measured in no utterance")
    quantiles = np.arange(1, CLASSES) / CLASSES
    return np.nanquantile(np.asarray(measured, np.float64), quantiles, axis=0).T


def quantize_styles(measured: AnyFloats, edges: Sequence[Sequence[float]] | AnyFloats) -> Ints:
    """Quantize measured styles.

    Args:
        measured: [5] from `measure_styles`.
        edges: [5, 7] from `compute_bin_edges`.

    Returns:
        [5] classes from 1 to 8; 0 (unspecified) for NaN.
    """
    above = np.asarray(measured, np.float64)[:, None] >= np.asarray(edges, np.float64)
    return np.where(np.isfinite(measured), 1 + above.sum(axis=1), UNSPECIFIED).astype(np.int64)
