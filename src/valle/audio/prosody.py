"""How something is said, in five numbers: pitch level, pitch range, energy, rate, spectral tilt.

They are measured from speech itself, so that every training example has them, and quantised into
classes by borders that a bundle carries: these are the style tokens that the AR and the NAR read.
Class 0 is "unset": as the prompt says it.

Pitch level and range are learnt beside what is usual for the speaker. How high a voice is the
prompt says already; as a class of all voices, a man's would never be heard with one above the
fourth, and nothing would be learnt of how he raises it.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats
from valle.audio import pitch

STYLES = ("pitch", "pitch_range", "energy", "rate", "tilt")
CLASSES = 8  # of each; 1 is the lowest, 8 the highest
UNSET = 0
FEATURES = 3  # semitones, level, tilt of each frame
FRAMES_PER_SECOND = 50

_SEMITONE_ZERO = 55.0  # Hz
_SILENT = 30.0  # dB under a recording's loud frames that are no speech any more
_FEWEST = 10  # voiced frames that pitch, range and tilt are measured from; sounds, for the rate
_LEAST_RANGE = 1.0  # semitones: a speaker's usual range is no smaller
_OCTAVES = 125.0 * 2.0 ** np.arange(6)  # Hz: borders of the bands that the tilt goes through


def frame_features(samples: NDArray[np.floating], sample_rate: int, hop: int) -> Floats:
    """What the styles are made of, [frames, 3] float32, of samples [N] in [-1, 1].

    A frame's pitch in semitones above 55 Hz (NaN: unvoiced), its level in dBFS of a full-scale
    square wave, and the tilt of its spectrum in dB an octave from 125 Hz to 4 kHz. Frames are
    `hop` samples apart, the last one may be short.
    """
    frames = pitch.windows(samples, sample_rate, hop)
    width = frames.shape[1]
    size = pitch.transform_size(width)
    heard = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(width).astype(np.float32)
    spectrum = np.fft.rfft(heard, size, axis=1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    hertz = pitch.track(frames, power, sample_rate, hop)
    level = 10.0 * np.log10(frames.var(axis=1) + 1e-10)
    edges = np.round(_OCTAVES * size / sample_rate).astype(int)
    # The mean of a band, so that white noise has a tilt of 0.
    bands = np.stack([power[:, a:b].mean(axis=1) for a, b in pairwise(edges)])
    decibels = 10.0 * np.log10(bands + 1e-10)
    octave = np.arange(len(bands)) - (len(bands) - 1) / 2
    tilt = octave @ decibels / float(octave @ octave)
    semitones = 12.0 * np.log2(hertz / _SEMITONE_ZERO)
    return np.stack([semitones, level, tilt], axis=1).astype(np.float32)


def beside_usual(features: NDArray[np.floating]) -> Floats:
    """Features [frames, 3] of all that a speaker was heard to say, with the pitch beside what is
    usual for them: 0 is their median, and 1 is as far as from their tenth to their ninetieth
    hundredth.
    """
    semitones = np.asarray(features[:, 0], np.float64)
    own = np.array(features, np.float32)
    voiced = np.isfinite(semitones)
    if voiced.any():
        low, middle, high = np.percentile(semitones[voiced], [10, 50, 90])
        own[:, 0] = (semitones - middle) / max(high - low, _LEAST_RANGE)
    return own


def measure(features: NDArray[np.floating], phonemes: int) -> Floats:
    """The five styles [5] of some speech: features [frames, 3] (50 frames a second), of which
    `phonemes` are said.

    In the order of `STYLES`: median pitch (semitones above 55 Hz, or what `beside_usual` makes of
    them); from the tenth to the ninetieth hundredth of pitch (the same); mean level of what is not
    silence (dBFS); phonemes a second of what is not silence; mean tilt of voiced frames (dB an
    octave). NaN where there is too little to measure.
    """
    found = np.full(len(STYLES), np.nan, np.float32)
    semitones, level, tilt = np.asarray(features, np.float64).T
    if not len(level):
        return found
    sounding = level > np.percentile(level, 95) - _SILENT
    found[2] = 10.0 * np.log10(np.mean(10.0 ** (level[sounding] / 10.0)))
    if phonemes >= _FEWEST:
        found[3] = phonemes / (sounding.sum() / FRAMES_PER_SECOND)
    voiced = np.isfinite(semitones)
    if voiced.sum() >= _FEWEST:
        low, middle, high = np.percentile(semitones[voiced], [10, 50, 90])
        found[0], found[1] = middle, high - low
        found[4] = tilt[voiced].mean()
    return found


def borders_of(measured: NDArray[np.floating]) -> NDArray[np.float64]:
    """Borders [5, 7] between classes that are equally frequent in what was measured [items, 5].

    Raises:
        ValueError: a style was measured in no item.
    """
    if not np.isfinite(measured).any(axis=0).all():
        raise ValueError("a style was measured in no utterance")
    shares = np.arange(1, CLASSES) / CLASSES
    return np.nanquantile(np.asarray(measured, np.float64), shares, axis=0).T


def classes_of(
    measured: NDArray[np.floating], borders: Sequence[Sequence[float]] | NDArray[np.floating]
) -> NDArray[np.int64]:
    """Classes [5], 1 to 8, of what was measured [5]; 0 (unset) for NaN. borders: [5, 7]."""
    above = np.asarray(measured, np.float64)[:, None] >= np.asarray(borders, np.float64)
    return np.where(np.isfinite(measured), 1 + above.sum(axis=1), UNSET).astype(np.int64)
