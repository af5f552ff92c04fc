"""What is done to watermarked speech in `valle evaluate watermark`, by name.

`attacks` are single changes and two at once. `everyday_changes` are what platforms, players and
rooms do to speech; they are measured apart, since they take long to search. All that is random is
derived from the samples alone, so a run can be repeated.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.corpora import augmentation, distortions
from valle.evaluation.metrics import EVALUATION_RATE, coding

if TYPE_CHECKING:
    from valle import Model

UNCHANGED = "nothing"

Attack = Callable[[Samples], Samples]
"""Changes [N] samples at 16 kHz; faster or slower speech has another length."""

_SEMITONE = 2 ** (1 / 12)


def attacks(model: Model) -> dict[str, Attack]:
    """The attacks on watermarked speech, by name: [N] at 16 kHz to about as many samples."""

    def own_codec(samples: Samples) -> Samples:
        return model.codec.decode(model.codec.encode(samples))[: len(samples)]

    return {
        UNCHANGED: lambda samples: samples,
        "MP3 64 kbit/s": _mp3(64_000),
        "Opus 24 kbit/s": _opus(24_000),
        "8 kHz and back": _telephone_rate,
        "noise 20 dB": _noise(20),
        "gain -12 dB": _quieter,
        "300-3400 Hz": _telephone_band,
        "speed 1.05": _resampled(1.05),
        "tempo 1.05": _tempo(1.05),
        "pitch +1 semitone": _pitch(1),
        "own codec": own_codec,
        "Opus, then noise": lambda samples: _noise(20)(_opus(24_000)(samples)),
        "noise, then Opus": lambda samples: _opus(24_000)(_noise(20)(samples)),
        "8 kHz, then MP3": lambda samples: _mp3(64_000)(_telephone_rate(samples)),
        "speed, then MP3": lambda samples: _mp3(64_000)(_resampled(1.05)(samples)),
        "Opus 16 kbit/s": _opus(16_000),
        "Opus 12 kbit/s": _opus(12_000),
        "noise 10 dB": _noise(10),
    }


def everyday_changes() -> dict[str, Attack]:
    """What players, platforms and rooms do, without anybody meaning to remove the watermark."""
    return {
        **{f"tempo {factor}": _tempo(factor) for factor in (0.8, 0.9, 1.1, 1.25, 1.5)},
        "speed 1.25": _resampled(1.25),
        **{f"pitch {semitones:+d} semitones": _pitch(semitones) for semitones in (-2, -1, 1, 2)},
        "music 10 dB": _music(10),
        "music 5 dB": _music(5),
        "loudspeaker and room": _loudspeaker,
        "noise, then gating": lambda samples: _gate(_noise(20)(samples)),
        "telephone": _telephone,
        "Opus 16 kbit/s": _opus(16_000),
        "MP3 16 kbit/s": _mp3(16_000),
    }


def _generator(samples: Samples) -> np.random.Generator:
    """Return a generator of its own for every clip, the same in every run."""
    return np.random.default_rng(zlib.crc32(samples.tobytes()))


def _noise(decibels: float) -> Attack:
    def add(samples: Samples) -> Samples:
        white = _generator(samples).standard_normal(len(samples))
        level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
        return (samples + white * level * 10 ** (-decibels / 20)).astype(np.float32)

    return add


def _opus(bit_rate: int) -> Attack:
    return lambda samples: coding.opus_round_trip(samples, bit_rate)[0]


def _mp3(bit_rate: int) -> Attack:
    return lambda samples: coding.mp3_round_trip(samples, bit_rate)


def _telephone_rate(samples: Samples) -> Samples:
    return resample(resample(samples, EVALUATION_RATE, 8000), 8000, EVALUATION_RATE)


def _telephone_band(samples: Samples) -> Samples:
    return augmentation.band_limit(samples, 300.0, 3400.0)


def _quieter(samples: Samples) -> Samples:
    return (np.rint(samples * (10 ** (-12 / 20) * 32768)) / 32768).astype(np.float32)


def _resampled(factor: float) -> Attack:
    return lambda samples: resample(samples, round(EVALUATION_RATE * factor), EVALUATION_RATE)


def _tempo(factor: float) -> Attack:
    return lambda samples: augmentation.tempo(samples, factor)


def _pitch(semitones: int) -> Attack:
    """Shift everything by semitones, in the same time: resampled, and stretched back (WSOLA)."""
    ratio = _SEMITONE**semitones
    return lambda samples: augmentation.tempo(_resampled(ratio)(samples), 1 / ratio)


def _music(decibels: float) -> Attack:
    return lambda samples: distortions.add_music(samples, decibels, _generator(samples))


def _loudspeaker(samples: Samples) -> Samples:
    return distortions.loudspeaker(samples, _generator(samples))


def _gate(samples: Samples) -> Samples:
    return distortions.spectral_gate(samples, 20.0)


def _telephone(samples: Samples) -> Samples:
    """G.711: 300 to 3400 Hz at 8 kHz, 8 bits per sample by the mu-law."""
    narrow = resample(_telephone_band(samples), EVALUATION_RATE, 8000)
    mu = 255.0
    compressed = np.sign(narrow) * np.log1p(mu * np.abs(narrow)) / np.log1p(mu)
    levels = np.rint(compressed * 127) / 127
    expanded = np.sign(levels) * np.expm1(np.abs(levels) * np.log1p(mu)) / mu
    return resample(expanded.astype(np.float32), 8000, EVALUATION_RATE)
