"""`valle evaluate dubbing`: known figures, known levels, and the whole command."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evaluation_samples import TRANSCRIPT, VOICE
from oracle import DeafTranscriber, replace_evaluators
from valle.cli.main import main
from valle.evaluation.films import lay_out, write_lines
from valle.evaluation.protocols import dubbing

pytest.importorskip("jiwer", reason="needs the extra eval")
pytest.importorskip("av", reason="needs the extra media")


def test_cues_can_be_said_in_time() -> None:
    lengths = np.linspace(0.5, 9.0, 40).tolist()
    times = lay_out(lengths)
    slots = [end - start for start, end in times]
    assert min(slots) >= 0.8
    rates = [length / slot for length, slot in zip(lengths, slots, strict=True)]
    assert 1.2 < max(rates) <= 1.35 + 1e-9
    assert all(after[0] >= before[1] for before, after in itertools.pairwise(times))
    assert write_lines(3) == write_lines(12)[:3]


def test_sound_begins_and_ends_where_it_is_loud() -> None:
    samples = np.full(16_000, 1e-4, np.float32)
    samples[4_000:12_000] = 0.1
    assert dubbing.find_level(samples, 16_000) == (0.25, 0.75)


def test_figures_of_known_trials() -> None:
    def trial(speaker: str, pace: float, start: float = 0.0) -> dubbing.Trial:
        errors = {dubbing.FREE: (1.0, 10), dubbing.DUBBED: (2.0, 10)}
        return dubbing.Trial(speaker, "Yes.", start, -0.1, True, pace, 1.0, errors, {})

    # The last of one voice and the first of the next are no neighbors.
    trials = [trial("a", 1.0), trial("a", 1.09), trial("a", 1.3, start=0.03), trial("b", 2.0)]
    summary = dubbing.summarize(trials)
    assert (summary["voices"], summary["cues"]) == (2, 4)
    assert summary["shares"]["neighbors' paces within 10 %"]["value"] == 0.5
    assert summary["shares"]["begin within 20 ms"]["value"] == 0.75
    assert summary["shares"]["all of these"]["value"] == 0.75
    assert summary["phoneme_error_rate"]["dubbed"]["value"] == pytest.approx(0.2)
    assert summary["word_error_rate"]["dubbed"] is None
    assert "phoneme errors, own pace" in dubbing.table(summary)


def test_a_voice_dubs_and_is_measured(
    tmp_path: Path, debug_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_evaluators(monkeypatch, DeafTranscriber())
    recorded, rate = soundfile.read(VOICE, dtype="float32")
    soundfile.write(tmp_path / "ada.wav", recorded[: 2 * rate], rate)
    (tmp_path / "ada.txt").write_text(TRANSCRIPT)
    command = ["evaluate", "dubbing", str(tmp_path), "--cues", "2", "-q"]
    command += ["--bundle", str(debug_bundle), "--threads", "1", "-o", str(tmp_path / "r.json")]
    assert main(command) == 0
    report = json.loads((tmp_path / "r.json").read_text())
    assert [trial["text"] for trial in report["trials"]] == write_lines(2)
    assert report["word_error_rate"]["dubbed"]["value"] == 1.0
    for trial in report["trials"]:
        assert abs(trial["start_error"]) < 0.1
        assert 0.5 < trial["pace"] < 2.0
    assert report["settings"]["cues"] == 2
