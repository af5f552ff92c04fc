"""Levels of files whose levels are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from valle.books.acx import AcxLevels, measure_levels
from valle.errors import RecordingError

pytest.importorskip("av", reason="needs the extra [media]")

RATE = 44_100


def write(path: Path, tone: float, noise: float) -> Path:
    """Write 3 s of a tone, and 1.2 s of noise with a root mean square of `noise` after it."""
    rng = np.random.default_rng(0)
    sine = tone * np.sin(2 * np.pi * 441 * np.arange(3 * RATE) / RATE)
    quiet = rng.normal(0, noise, round(1.2 * RATE))
    soundfile.write(path, np.concatenate([sine, quiet]), RATE, "PCM_24")
    return path


def test_levels_are_those_of_the_signal(tmp_path: Path) -> None:
    levels = measure_levels(write(tmp_path / "a.flac", 0.2, 10 ** (-70 / 20)))
    assert levels.rms == pytest.approx(10 * np.log10(0.2**2 / 2 * 3 / 4.2), abs=0.01)
    assert levels.peak == pytest.approx(20 * np.log10(0.2), abs=0.01)
    assert levels.noise_floor == pytest.approx(-70, abs=0.2)
    assert levels.seconds == pytest.approx(4.2, abs=1e-3)
    assert levels.problems == []


def test_what_acx_refuses_is_named(tmp_path: Path) -> None:
    loud = measure_levels(write(tmp_path / "a.flac", 0.9, 10 ** (-50 / 20))).problems
    assert [problem.split()[1] for problem in loud] == ["level", "peaks", "noise"]
    assert AcxLevels(-20, -4, -70, 7_300).problems == ["it lasts 122 minutes, more than 120"]


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_text("no sound")
    with pytest.raises(RecordingError, match=r"a\.mp3"):
        measure_levels(tmp_path / "a.mp3")
    soundfile.write(tmp_path / "b.flac", np.zeros(100), RATE)
    with pytest.raises(RecordingError, match="half a second"):
        measure_levels(tmp_path / "b.flac")
