"""What the codec learns from: pieces of speech, at other speeds too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora.store import Store, StoreWriter
from valle.errors import UsageError

pytest.importorskip("scipy", reason="needs the extra [train]")

from valle.training.data.segments import SegmentSampler

PITCHES = {"low": 150.0, "high": 260.0}


def write_tones(folder: Path, seconds: float = 3.0) -> Store:
    """Two speakers, each with two recordings of one tone, and one that a coder has shaped."""
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    writer = StoreWriter(folder)
    for speaker, pitch in PITCHES.items():
        for number in range(2):
            tone = (0.1 * np.sin(2 * np.pi * pitch * time)).astype(np.float32)
            name = f"{speaker}/{number}"
            writer.add(name, "test", speaker, tone, None, waveform_is_clean=True)
    writer.add("coded", "test", "coded", tone, None, waveform_is_clean=False)
    writer.close()
    return Store(folder)


def pitch_of(samples: np.ndarray) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * SAMPLE_RATE / len(samples))


def test_pieces_are_of_recorded_voices_and_of_others(tmp_path: Path) -> None:
    pieces = SegmentSampler([write_tones(tmp_path)], np.random.default_rng(0), 1.0)
    assert len(pieces.groups) == len(PITCHES)  # what a coder has shaped is not there
    found = []
    for _ in range(80):
        piece = pieces.draw()
        assert piece.shape == (SAMPLE_RATE,) and piece.dtype == np.float32
        assert 0.05 < np.abs(piece).max() <= 1.01
        found.append(pitch_of(piece))
    for pitch in PITCHES.values():
        assert sum(abs(one - pitch) < 2 for one in found) > 10
    assert sum(all(abs(one - p) > 5 for p in PITCHES.values()) for one in found) > 10


def test_a_short_recording_is_repeated(tmp_path: Path) -> None:
    pieces = SegmentSampler([write_tones(tmp_path, 1.02)], np.random.default_rng(1), 1.0)
    for _ in range(20):  # faster, it is shorter than a piece
        assert np.abs(pieces.draw()[-HOP:]).max() > 0.01


def test_nothing_long_enough_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="clean speech of 4 s"):
        SegmentSampler([write_tones(tmp_path)], np.random.default_rng(0), 4.0)
