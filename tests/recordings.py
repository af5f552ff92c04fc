"""Synthetic recordings for the tests of `valle.audio`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from valle.audio.recording import load_recording
from valle.errors import RecordingError

RATE = 16_000  # Hz


def syllables(
    seconds: float = 3.0, rate: int = RATE, seed: int = 0, level: float = 0.1
) -> NDArray[np.float32]:
    """A gliding buzz in syllables like speech: three per second, and a pause after every sixth."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * at + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    buzz = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 25))
    shape = np.clip(np.sin(2 * np.pi * 3 * at), 0, None) ** 0.5 * (at % 2.0 < 1.7)
    loudness = np.interp(
        at,
        np.arange(0, seconds + 1, 0.3),
        rng.uniform(0.4, 1, 1000)[: len(np.arange(0, seconds + 1, 0.3))],
    )
    sound = buzz * shape * loudness
    sound *= level / np.sqrt((sound[shape > 0.1] ** 2).mean())
    return (sound + 1e-4 * rng.standard_normal(len(at))).astype(np.float32)


def write_audio_file(
    path: Path,
    samples: NDArray[np.floating],
    rate: int = RATE,
    subtype: str | None = "PCM_16",
    **options: object,
) -> Path:
    soundfile.write(path, samples, rate, subtype=subtype, **options)
    return path


def assert_refused(source: Any, match: str, excerpt: float | None = None) -> str:
    """Assert that a source raises RecordingError with one line; returns the message."""
    with pytest.raises(RecordingError, match=match) as caught:
        load_recording(source, excerpt)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def environment() -> dict[str, str]:
    """The environment of a child process that imports valle."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
        "OMP_NUM_THREADS": "1",
    }
