"""Random segments for training the codec, with speed perturbation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora.store import Store, StoreWriter, UtteranceInfo
from valle.errors import UsageError

pytest.importorskip("scipy", reason="needs the extra [train]")

from valle.training.data.segments import SegmentSampler

PITCHES = {"low": 150.0, "high": 260.0}


def write_tones(folder: Path, seconds: float = 3.0) -> Store:
    """Two speakers, each with two recordings of one tone, and one from a lossy codec."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    writer = StoreWriter(folder)
    for speaker, pitch in PITCHES.items():
        for number in range(2):
            tone = (0.1 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
            name = f"{speaker}/{number}"
            writer.add(UtteranceInfo(name, "test", speaker, None, waveform_is_clean=True), tone)
    writer.add(UtteranceInfo("coded", "test", "coded", None, waveform_is_clean=False), tone)
    writer.close()
    return Store(folder)


def pitch_of(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


def test_segments_have_recorded_and_perturbed_voices(tmp_path: Path) -> None:
    sampler = SegmentSampler([write_tones(tmp_path)], np.random.default_rng(0), 1.0)
    assert len(sampler.groups) == len(PITCHES)  # lossy recordings are left out
    pitches = []
    for _ in range(80):
        segment = sampler.sample()
        assert segment.shape == (SAMPLE_RATE,)
        assert segment.dtype == np.float32
        assert 0.05 < np.abs(segment).max() <= 1.01
        pitches.append(pitch_of(segment))
    for pitch in PITCHES.values():
        assert sum(abs(p - pitch) < 2 for p in pitches) > 10
    assert sum(all(abs(p - pitch) > 5 for pitch in PITCHES.values()) for p in pitches) > 10


def test_short_recording_is_repeated(tmp_path: Path) -> None:
    sampler = SegmentSampler([write_tones(tmp_path, 1.02)], np.random.default_rng(1), 1.0)
    for _ in range(20):  # at a higher speed it is shorter than a segment
        assert np.abs(sampler.sample()[-HOP:]).max() > 0.01


def test_corpus_without_long_recordings_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="clean recordings of 4 s"):
        SegmentSampler([write_tones(tmp_path)], np.random.default_rng(0), 4.0)
