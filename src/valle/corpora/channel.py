"""Random recording channels for the detector: rooms, noise, band limits, resampling and codecs.

Every class of speech goes through the same distribution of channels, so that the detector cannot
recognize a class by its channel.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr

from valle.arrays import Samples
from valle.audio_format import SAMPLE_RATE
from valle.corpora import augmentation, distortions

# Codec: container and the range of libsndfile's compression levels, about 60 to 8 kbit/s.
_CODECS = {
    "OPUS": ("OGG", 0.75, 0.98),
    "VORBIS": ("OGG", 0.1, 1.0),
    "MPEG_LAYER_III": ("MP3", 0.0, 1.0),
}
_REVERB_PROB, _NOISE_PROB, _BAND_LIMIT_PROB, _RESAMPLE_PROB, _CODEC_PROB = 0.15, 0.35, 0.3, 0.2, 0.6
_LOUDSPEAKER_PROB, _MUSIC_PROB, _GATE_PROB, _RAW_BOOST_PROB = 0.12, 0.1, 0.08, 0.3
_UPPER_EDGES = (3400.0, 4000.0, 5500.0, 7000.0)  # Hz
_SAMPLE_RATES = (8000, 11025, 22050, 44100, 48000)


def simulate_recording(samples: Samples, rng: np.random.Generator) -> Samples:
    """Compress as collected recordings are: once with Opus at 25 to 50 kbit/s; [N] -> [N]."""
    return transcode(samples, "OPUS", float(rng.uniform(0.82, 0.93)))


def random_channel(samples: Samples, rng: np.random.Generator) -> Samples:
    """Pass `samples` [N] at 16 kHz through a random channel, to a random level; [N]."""
    if rng.random() < _RAW_BOOST_PROB:
        samples = distortions.raw_boost(samples, rng)
    if rng.random() < _LOUDSPEAKER_PROB:
        samples = distortions.loudspeaker(samples, rng)
    elif rng.random() < _REVERB_PROB:
        samples = augmentation.random_reverb(samples, rng)
    if rng.random() < _MUSIC_PROB:
        samples = distortions.add_music(samples, float(rng.uniform(3.0, 20.0)), rng)
    elif rng.random() < _NOISE_PROB:
        noise = augmentation.make_noise(augmentation.NOISES[rng.integers(3)], samples, rng)
        samples = augmentation.add_noise(samples, noise, float(rng.uniform(10.0, 40.0)))
    if rng.random() < _BAND_LIMIT_PROB:
        low = float(rng.choice((0.0, 80.0, 300.0)))
        samples = augmentation.band_limit(samples, low, float(rng.choice(_UPPER_EDGES)))
    if rng.random() < _RESAMPLE_PROB:
        rate = int(rng.choice(_SAMPLE_RATES))
        resampled = soxr.resample(samples, SAMPLE_RATE, rate)
        samples = _fit_length(soxr.resample(resampled, rate, SAMPLE_RATE), len(samples))
    if rng.random() < _GATE_PROB:
        samples = distortions.spectral_gate(samples, float(rng.uniform(10.0, 40.0)))
    samples = augmentation.normalize_level(samples, float(rng.uniform(-35.0, -15.0)))
    if rng.random() < _CODEC_PROB:
        codec = tuple(_CODECS)[rng.integers(len(_CODECS))]
        samples = transcode(samples, codec, float(rng.uniform(*_CODECS[codec][1:])))
    return samples


def transcode(samples: Samples, codec: str, compression: float) -> Samples:
    """Encode and decode `samples` [N] at 16 kHz with an audio codec of libsndfile; [N].

    Args:
        samples: in [-1, 1]; clipped to it.
        codec: "OPUS", "VORBIS" or "MPEG_LAYER_III".
        compression: libsndfile's compression level, 0 (highest bit rate) to 1.
    """
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(samples, -1.0, 1.0),
        SAMPLE_RATE,
        format=_CODECS[codec][0],
        subtype=codec,
        compression_level=compression,
    )
    file.seek(0)
    return _fit_length(soundfile.read(file, dtype="float32")[0], len(samples))


def _fit_length(samples: Samples, length: int) -> Samples:
    cut = samples[:length]
    return np.pad(cut, (0, length - len(cut))).astype(np.float32)
