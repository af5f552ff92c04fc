"""`valle evaluate editing`: counting within a span, joins, and an edit from files to figures."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from evaluation_samples import TRANSCRIPT, VOICE
from oracle import DeafTranscriber, replace_evaluators
from valle.cli.main import main
from valle.evaluation.protocols import editing

pytest.importorskip("jiwer", reason="needs the extra eval")
RATE = 16_000


@pytest.mark.parametrize(
    ("heard", "errors"),
    [
        ("We saw a green boat, today", 0),
        ("we saw a red boat today", 1),
        ("we saw boat today", 2),
        ("we saw a very green boat today", 1),
        ("she has a green boat tomorrow", 0),  # outside the span
        ("", 3),
    ],
)
def test_errors_within_a_span_are_counted(heard: str, errors: int) -> None:
    text = "We saw a green boat today."
    start = text.index("a green")
    assert editing.count_errors(text, (start, start + len("a green boat")), heard) == (errors, 3)


def test_a_jump_in_level_is_found() -> None:
    noise = np.random.default_rng(0).standard_normal((RATE, 1)).astype(np.float32)
    loud = noise.copy()
    loud[RATE // 2 :] *= 30.0
    span = SimpleNamespace(now=(0.25, 0.5))
    original = SimpleNamespace(samples=noise)
    edited = SimpleNamespace(original=original, samples=loud, sample_rate=RATE, spans=[span])
    assert editing.measure_jumps(edited) == [False, True]  # type: ignore[arg-type]


def test_recordings_are_taken_speaker_by_speaker() -> None:
    long = " ".join(["word"] * 12)
    rows = [
        {"audio": name, "speaker": speaker, "text": text, "seconds": seconds}
        for name, speaker, text, seconds in (
            ("a1", "a", long, 6.0),
            ("a2", "a", long, 6.0),
            ("b1", "b", long, 6.0),
            ("b2", "b", long, 12.0),
            ("b3", "b", "too short", 6.0),
            ("b4", "b", None, 6.0),
            ("c1", "c", long, 6.0),
        )
    ]
    selected = editing.select_recordings(rows, frozenset("ab"))
    assert [row["audio"] for row in selected] == ["a1", "b1", "a2"]


def test_figures_of_known_trials() -> None:
    trials = [
        editing.Trial("a", "x", "y", {"edited": (1, 2)}, {"edited": 0.5}, (True, False), True),
        editing.Trial("a", "x", "y", {"edited": (0, 2)}, {"edited": 0.7}, (False, False), True),
        editing.Trial("b", "", "y", {}, {}, refusal="not heard"),
    ]
    summary = editing.summarize(trials)
    row = summary["rows"]["edited"]
    assert row["word_error_rate"]["value"] == pytest.approx(0.25)
    assert row["similarity"]["value"] == pytest.approx(0.6)
    assert summary["joins_beyond_95th_percentile"] == 0.25
    assert (summary["edits"], summary["bit_exact"], summary["refused"]) == (2, 2, ["not heard"])
    assert "0.250 [0.250, 0.250]" in editing.table(summary)


def test_a_recording_is_edited_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace_evaluators(monkeypatch, DeafTranscriber())
    other = "The old clock on the kitchen wall was never right in all those years."
    rows = [
        {"audio": str(VOICE), "corpus": "c", "speaker": speaker, "text": text, "seconds": 6.2}
        for speaker, text in (("a", TRANSCRIPT), ("b", other))
    ]
    manifest, heldout = tmp_path / "manifest.jsonl", tmp_path / "heldout.txt"
    manifest.write_text("\n".join(map(json.dumps, rows)))
    command = ["evaluate", "editing", "--manifest", str(manifest), "--heldout", str(heldout)]
    command += ["--edits", "1", "--threads", "1", "-q", "-o", str(tmp_path / "report.json")]
    heldout.write_text("b\n")
    assert main(command) == 2
    assert "two recordings" in capsys.readouterr().err
    heldout.write_text("a\nb\n")
    assert main(command) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    (trial,) = report["trials"]
    assert trial["added"] == "clock on"
    assert len(trial["removed"].split()) == 2
    assert report["bit_exact"] == report["edits"] == 1
    for row in ("ground truth", "whole text spoken", "edited"):
        assert report["rows"][row]["word_error_rate"]["value"] == 1.0
    assert report["rows"]["codec resynthesis"]["word_error_rate"] is None
    assert 0.0 < report["rows"]["edited"]["similarity"]["value"] <= 1.0
    assert report["settings"]["evaluators"]["whisper"]["model"] == "deaf"
