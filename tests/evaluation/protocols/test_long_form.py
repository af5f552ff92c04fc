"""`valle evaluate long` with a tiny model: sentences of a long text, by quarters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluation_samples import VOICE
from oracle import replace_evaluators
from valle.arrays import Samples
from valle.cli.main import main
from valle.evaluation.protocols.long_form import QUARTERS

pytest.importorskip("jiwer", reason="needs the extra eval")
TEXT = "One came. Two went. Three sat down. Four ran. Five slept. Six woke up."


class FixedTranscriber:
    def transcribe(self, samples: Samples) -> str:
        return "three sat down" if np.abs(samples).max(initial=0.0) > 0.001 else ""

    def describe(self) -> dict[str, Any]:
        return {"model": "fixed"}


@pytest.fixture
def evaluate(tmp_path: Path, debug_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    replace_evaluators(monkeypatch, FixedTranscriber())
    recorded, rate = soundfile.read(VOICE, dtype="float32")
    for name in ("ada", "ben"):
        soundfile.write(tmp_path / f"{name}.wav", recorded[: 3 * rate], rate)

    def run(text: str, *more: str) -> tuple[int, Path]:
        source, output = tmp_path / "long.txt", tmp_path / "report.json"
        source.write_text(text, encoding="utf-8")
        command = ["evaluate", "long", str(tmp_path), "--text", str(source), "-q", *more]
        command += ["--bundle", str(debug_bundle), "--threads", "1", "-o", str(output)]
        return main(command), output

    return run


def test_every_sentence_of_every_voice_is_in_its_quarter(evaluate: Any) -> None:
    code, output = evaluate(TEXT)
    assert code == 0
    report = json.loads(output.read_text())
    assert list(report["rows"]) == list(QUARTERS)
    of_ada = [clip for clip in report["clips"] if clip["speaker"] == "ada"]
    assert " ".join(clip["text"] for clip in of_ada) == TEXT
    assert [QUARTERS.index(clip["row"]) for clip in of_ada] == [0, 0, 1, 2, 2, 3]
    assert {clip["speaker"] for clip in report["clips"]} == {"ada", "ben"}
    assert report["rows"]["second quarter"]["word_error_rate"]["value"] == 0.0
    assert report["rows"]["last quarter"]["word_error_rate"]["value"] == 1.0
    assert report["rows"]["first quarter"]["rtf"]["value"] > 0.0


def test_fewer_voices_are_chosen(evaluate: Any) -> None:
    _, output = evaluate(TEXT, "--voices", "1")
    assert {clip["speaker"] for clip in json.loads(output.read_text())["clips"]} == {"ada"}


def test_a_short_text_is_refused(evaluate: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, output = evaluate("One came. Two went.")
    assert code == 2
    assert "2 sentences" in capsys.readouterr().err
    assert not output.exists()
