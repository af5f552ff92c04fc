"""Pauses, and the figures of known clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import valle
from conftest import RATE
from valle.evaluation.metrics.pauses import measure_pauses
from valle.evaluation.protocols import naturalness


def test_only_silences_within_speech_are_pauses() -> None:
    tone = np.sin(np.arange(RATE // 2) * 0.1).astype(np.float32) * 0.3
    gaps = [np.zeros(round(seconds * RATE), np.float32) for seconds in (0.5, 0.3, 0.06, 0.7)]
    samples = np.concatenate([gaps[0], tone, gaps[1], tone, gaps[2], tone, gaps[3]])
    assert measure_pauses(samples, RATE) == pytest.approx((0.3,), abs=0.021)
    assert measure_pauses(np.zeros(RATE, np.float32), RATE) == ()


def test_figures_and_plot_of_known_clips(tmp_path: Path) -> None:
    clips = [
        naturalness.Clip(naturalness.GROUND_TRUTH, "s", "t", 30.0, 4.0, (0.2, 0.4)),
        naturalness.Clip(naturalness.GROUND_TRUTH, "s", "t", 30.0, 8.0, (0.3,)),
        naturalness.Clip(naturalness.SYNTHESIZED, "s", "t", 60.0, None, ()),
    ]
    rows = naturalness.summarize(clips)
    assert rows["ground truth"]["pitch_range_semitones"] == [5.0, 6.0, 7.0]
    assert rows["ground truth"]["pause_seconds"][1] == pytest.approx(0.3)
    assert rows["ground truth"]["pauses_per_minute"] == 3.0
    assert rows["synthesized"]["pitch_range_semitones"] is None
    assert len(naturalness.table(rows).splitlines()) == 3
    pytest.importorskip("matplotlib")
    naturalness.save_plot(tmp_path / "plot.png", clips)
    assert (tmp_path / "plot.png").stat().st_size > 5000
    with pytest.raises(valle.UsageError, match="end its name"):
        naturalness.save_plot(tmp_path / "plot.wav", clips)
