"""What happens to speech between a mouth, or a model, and a file: rooms, noise, bands, coders.

Every kind of speech that a detector learns to tell apart goes through the same chances, so that
none of them is known by what happened to it on its way.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr

from valle.arrays import Samples
from valle.corpora import augmentation
from valle.corpora.augmentation import SAMPLE_RATE

# Coder: container and the range of libsndfile's compression levels, about 60 to 15 kbit/s.
_CODERS = {
    "OPUS": ("OGG", 0.75, 0.97),
    "VORBIS": ("OGG", 0.1, 1.0),
    "MPEG_LAYER_III": ("MP3", 0.0, 0.95),
}
_IN_ROOM, _WITH_NOISE, _IN_BAND, _RESAMPLED, _CODED = 0.15, 0.35, 0.3, 0.2, 0.6  # shares
_EDGES = (3400.0, 4000.0, 5500.0, 7000.0)  # Hz
_RATES = (8000, 11025, 22050, 44100, 48000)


def recorded(samples: Samples, rng: np.random.Generator) -> Samples:
    """As recordings are kept: once through Opus at 25 to 50 kbit/s; [N] -> [N]."""
    return coded(samples, "OPUS", float(rng.uniform(0.82, 0.93)))


def channel(samples: Samples, rng: np.random.Generator) -> Samples:
    """`samples` [N] at 16 kHz after what the chances bring: [N], at another level."""
    if rng.random() < _IN_ROOM:
        samples = augmentation.some_room(samples, rng)
    if rng.random() < _WITH_NOISE:
        noise = augmentation.noise(augmentation.NOISES[rng.integers(3)], samples, rng)
        samples = augmentation.add_noise(samples, noise, float(rng.uniform(10.0, 40.0)))
    if rng.random() < _IN_BAND:
        low = float(rng.choice((0.0, 80.0, 300.0)))
        samples = augmentation.band_limit(samples, low, float(rng.choice(_EDGES)))
    if rng.random() < _RESAMPLED:
        rate = int(rng.choice(_RATES))
        there = soxr.resample(samples, SAMPLE_RATE, rate)
        samples = _fitted(soxr.resample(there, rate, SAMPLE_RATE), len(samples))
    samples = augmentation.level(samples, float(rng.uniform(-35.0, -15.0)))
    if rng.random() < _CODED:
        coder = tuple(_CODERS)[rng.integers(len(_CODERS))]
        samples = coded(samples, coder, float(rng.uniform(*_CODERS[coder][1:])))
    return samples


def coded(samples: Samples, coder: str, compression: float) -> Samples:
    """`samples` [N] at 16 kHz through a coder of `soundfile` and back; [N].

    Args:
        coder: "OPUS", "VORBIS" or "MPEG_LAYER_III".
        compression: 0 (most bits) to 1, as libsndfile counts.
    """
    file = io.BytesIO()
    soundfile.write(
        file,
        np.clip(samples, -1.0, 1.0),
        SAMPLE_RATE,
        format=_CODERS[coder][0],
        subtype=coder,
        compression_level=compression,
    )
    file.seek(0)
    return _fitted(soundfile.read(file, dtype="float32")[0], len(samples))


def _fitted(samples: Samples, length: int) -> Samples:
    kept = samples[:length]
    return np.pad(kept, (0, length - len(kept))).astype(np.float32)
