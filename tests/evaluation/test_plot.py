"""The plot of speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from valle.arrays import Samples
from valle.errors import UsageError

pytest.importorskip("matplotlib", reason="needs the extra plot")

from valle.evaluation.plot import save_plot, spectrogram


def test_the_spectrogram_of_a_tone_peaks_at_its_frequency() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000)
    levels = spectrogram(tone, 16_000)
    assert levels.shape == (513, 200)
    assert levels.max() == 0.0
    assert levels.min() >= -70.0
    assert levels[:, 100].argmax() == 64  # 1000 Hz of 8000 in 512 steps


def test_speech_is_plotted_in_several_formats(tmp_path: Path, recorded: Samples) -> None:
    words = [("Good", 0.1, 0.4), ("incomprehensibilities", 0.4, 0.5), ("morning", 0.5, 0.8)]
    save_plot(tmp_path / "p.png", recorded[:16_000], 16_000, words, "A title")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    save_plot(tmp_path / "p.svg", recorded[:16_000], 16_000, words)
    svg = (tmp_path / "p.svg").read_text()
    assert "<!-- morning -->" in svg
    assert "<!-- A title -->" not in svg


def test_other_formats_and_empty_speech_are_refused(tmp_path: Path, recorded: Samples) -> None:
    with pytest.raises(UsageError, match=r"\.png"):
        save_plot(tmp_path / "p.wav", recorded, 16_000)
    with pytest.raises(UsageError, match="no samples"):
        save_plot(tmp_path / "p.png", recorded[:0], 16_000)
