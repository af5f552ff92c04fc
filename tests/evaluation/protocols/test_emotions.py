"""`valle evaluate emotions`: a vowel in all styles, known figures, and the whole command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluation_samples import TRANSCRIPT, VOICE
from oracle import replace_evaluators
from signals import RATE, hum
from valle.arrays import Samples
from valle.cli.main import main
from valle.evaluation.protocols import emotions
from valle.styles import EMOTIONS, Style

pytest.importorskip("jiwer", reason="needs the extra eval")


def test_what_is_asked_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    vowel = hum(140.0, 1.0)
    for name, tolerance in (("pitch", 0.1), ("energy", 0.1)):
        measured = np.array(emotions.measure_levels(vowel, name))
        assert measured - measured[2] == pytest.approx(emotions.LEVELS[name], abs=tolerance)
    assert emotions.correlate_strengths(vowel, "calm") == pytest.approx(1.0)  # it falls
    monkeypatch.setattr(emotions, "shape", lambda samples, _style: samples)
    assert len(set(emotions.measure_levels(vowel, "pitch"))) == 1  # styles that do nothing


def test_figures_of_known_trials() -> None:
    def trial(speaker: str, value: float) -> emotions.Trial:
        names = dict.fromkeys(EMOTIONS, value)
        return emotions.Trial(
            emotions.RECORDED,
            speaker,
            {},
            dict.fromkeys(emotions.LEVELS, value),
            dict.fromkeys(emotions.INDICATORS, value),
            names,
            dict.fromkeys(("", *names), (int(10 * value), 10)),
        )

    summary = emotions.summarize([trial("a", 0.5), trial("b", 1.0)])
    recorded = summary["rows"]["recording"]
    for figure in (
        recorded["correlation"]["pitch"],
        recorded["strength"]["sad"],
        recorded["similarity"]["whisper"],
        recorded["word_error_rate"][""],
    ):
        assert figure["value"] == pytest.approx(0.75)
    assert summary["rows"]["synthesized"]["voices"] == 0
    assert "0.750 [0.500, 1.000]" in emotions.table(summary)


class LongTranscriber:
    """Hears the text unless the clip is slow, as sad speech is."""

    def transcribe(self, samples: Samples) -> str:
        return TRANSCRIPT if len(samples) < 2.2 * RATE else ""

    def describe(self) -> dict[str, Any]:
        return {"model": "long"}


def test_a_voice_is_measured_from_end_to_end(
    tmp_path: Path, debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_evaluators(monkeypatch, LongTranscriber())
    recorded, rate = soundfile.read(VOICE, dtype="float32")
    soundfile.write(tmp_path / "ada.wav", recorded[: 2 * rate], rate)
    (tmp_path / "ada.txt").write_text(TRANSCRIPT)
    asked: list[dict[str, Any]] = []

    def count(samples: Samples, style: dict[str, Any]) -> Samples:
        asked.append(style)
        return np.resize(samples, 3 * RATE) if style == {"emotion": "sad"} else samples

    monkeypatch.setattr(emotions, "shape", count)
    (tmp_path / "new.txt").write_text("One two.")
    command = ["evaluate", "emotions", str(tmp_path), "--text", str(tmp_path / "new.txt"), "-q"]
    command += ["--bundle", str(debug_bundle), "--threads", "1", "-o", str(tmp_path / "r.json")]
    assert main(command) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    recording, synthesized = report["trials"]
    assert (recording["row"], synthesized["row"]) == emotions.ROWS
    assert recording["word_errors"][""] == [0, 22]
    assert recording["word_errors"]["sad"] == [22, 22]
    assert recording["similarities"]["happy"] == pytest.approx(1.0)
    assert report["rows"]["recording"]["correlation"]["pitch"] is None  # nothing changed
    assert all(Style.model_validate(style) for style in asked)
