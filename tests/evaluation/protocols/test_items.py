"""`valle evaluate list` and `valle samples` with a tiny model, from files to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from evaluation_samples import TRANSCRIPT, VOICE
from oracle import FixedQuality, OracleEncoder
from valle.arrays import Samples
from valle.cli import evaluate_lists, samples
from valle.cli.main import main
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.items import Item
from valle.evaluation.protocols.items import find_rest

pytest.importorskip("jiwer", reason="needs the extra eval")
RATE = 16_000
TIMES = ("work_seconds", "first_seconds")
ATTEST = "I hold the rights to this voice"


class LoudTranscriber:
    """Hears the first recording's text in whatever is loud enough."""

    def __init__(self, text: str) -> None:
        self._text = text

    def transcribe(self, samples: Samples) -> str:
        return self._text if np.abs(samples).max(initial=0.0) > 0.01 else ""

    def describe(self) -> dict[str, Any]:
        return {"model": "loud"}


def without_times(clips: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in clip.items() if k not in TIMES} for clip in clips]


@pytest.fixture
def voices(tmp_path: Path) -> Path:
    """Two voices; the second is the first, faster."""
    recorded, rate = soundfile.read(VOICE, dtype="float32")
    for name, speed in (("ada", 1.0), ("ben", 1.2)):
        folder = tmp_path / "voices" / name
        folder.mkdir(parents=True)
        soundfile.write(folder.with_suffix(".wav"), recorded[: 3 * rate], round(rate * speed))
        soundfile.write(folder / "1.wav", recorded[-2 * rate :], round(rate * speed))
        (folder / "1.txt").write_text("Shall we walk down to the river?")
    return tmp_path / "voices"


@pytest.fixture
def run(voices: Path, debug_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for module in (evaluate_lists, samples):
        monkeypatch.setattr(module, "ResemblyzerEncoder", OracleEncoder)
        transcriber = LoudTranscriber("Shall we walk down to the river?")
        monkeypatch.setattr(module, "load_whisper", lambda _arguments, t=transcriber: t)
    monkeypatch.setattr(evaluate_lists, "DNSMOS", FixedQuality)

    def evaluate(*more: str) -> tuple[int, dict[str, Any]]:
        output = tmp_path / "report.json"
        command = ["evaluate", "list", str(voices), "--bundle", str(debug_bundle), "-q"]
        code = main([*command, "--threads", "1", "--seeds", "1", "-o", str(output), *more])
        return code, json.loads(output.read_text())

    return evaluate


def test_a_list_is_evaluated_checked_and_resumed(
    run: Any, tmp_path: Path, voices: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    soundfile.write(theirs / "ada-1.wav", np.zeros(RATE), RATE)  # silent: all words are missing
    code, report = run("--clips", str(tmp_path / "clips"), "--system", f"theirs={theirs}")
    assert code == 0
    rows = report["rows"]
    assert list(rows) == ["ground truth", "codec resynthesis", "synthesized", "theirs"]
    assert rows["ground truth"]["word_error_rate"]["value"] == 0.0
    assert rows["theirs"]["word_error_rate"]["value"] == 1.0
    assert rows["theirs"]["failure_rate"]["value"] == 1.0
    assert rows["theirs"]["clips"] == 1
    assert rows["synthesized"]["rtf"]["value"] > 0.0
    assert rows["ground truth"]["pauses_per_minute"]["value"] >= 0.0
    assert report["truth_gate"]["valid"] is None
    assert rows["ground truth"]["model_similarity"] is None
    assert report["not_measured"]["model_similarity"] == "no --speaker-model FILE was given"
    assert "empty columns: no --speaker-model" in capsys.readouterr().out
    assert (tmp_path / "clips" / "synthesized" / "ben-1.wav").is_file()
    lines = (tmp_path / "clips" / "pred.scp").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["ada-1", "ben-1"]
    assert (tmp_path / "clips" / "text").read_text().startswith("ada-1 Shall we")
    assert not list(tmp_path.glob("*.clips.jsonl"))

    # The same again: ground truth scores as before, and all but times is the same.
    expected = tmp_path / "before.json"
    expected.write_text(json.dumps(report))
    code, again = run("--expect", str(expected))
    assert code == 0
    assert again["truth_gate"]["valid"] is True
    clips = [clip for clip in report["clips"] if clip["row"] != "theirs"]
    assert without_times(again["clips"]) == without_times(clips)

    # Another recording as ground truth: the table is invalid, and says so.
    (voices / "ben" / "1.txt").write_text("Shall we stay at home?")
    code, invalid = run("--expect", str(expected))
    assert code == 1
    assert invalid["truth_gate"]["valid"] is False
    assert "INVALID: ground truth does not score as before" in capsys.readouterr().out
    problems = " ".join(invalid["truth_gate"]["problems"])
    assert "the test list is another one" in problems
    assert "WER of ground truth is" in problems


def test_a_broken_off_evaluation_goes_on(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    speak, calls = ItemSpeaker.speak, list[str]()

    def break_off(self: ItemSpeaker, item: Item, seed: int) -> Any:
        calls.append(item.key)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return speak(self, item, seed)

    monkeypatch.setattr(ItemSpeaker, "speak", break_off)
    assert main_code(run) == 130
    kept = tmp_path / "report.clips.jsonl"
    assert len(kept.read_text().splitlines()) == 1 + 3 + 2  # a header, ada's rows, ben's recordings
    with kept.open("a") as file:
        file.write('{"row": "synth')  # half a line, as a kill leaves it
    code, report = run()
    assert code == 0
    assert calls == ["ada-1", "ben-1", "ben-1"]
    assert len(report["clips"]) == 6
    assert not kept.exists()


def main_code(run: Any) -> int:
    try:
        return int(run()[0])
    except FileNotFoundError:  # there is no report yet
        return 130


def test_bands_and_contamination(run: Any, tmp_path: Path) -> None:
    bands = tmp_path / "bands.json"
    bands.write_text(json.dumps({"ground truth": {"word_error_rate": [0.5, 1.0], "rtf": [0, 9]}}))
    manifest = tmp_path / "train.jsonl"
    row = {"audio": "x.wav", "corpus": "c", "speaker": "c/ada", "seconds": 1.0}
    manifest.write_text(json.dumps(row | {"text": "Well, shall we walk down to the river?"}) + "\n")
    code, report = run("--bands", str(bands), "--training", str(manifest))
    assert code == 1
    assert report["outside_bands"] == [
        "ground truth: WER is 0.000, outside 0.5 to 1",
        "ground truth: RTF was not measured",
    ]
    assert report["contamination"]["speakers"] == ["ada"]
    assert report["contamination"]["texts"] == ["Shall we walk down to the river?"]


def test_scores_of_versa_are_read(run: Any, tmp_path: Path) -> None:
    scores = tmp_path / "versa.jsonl"
    lines = [{"key": "ada-1", "utmos": 3.0, "ref_text": "x"}, {"key": "ben-1", "utmos": 4.0}]
    scores.write_text("\n".join(map(json.dumps, lines)))
    assert run("--versa", str(scores))[1]["versa"]["means"] == {"utmos": 3.5}
    scores.write_text('{"key": "other", "utmos": 3.0}\n')
    command = ["evaluate", "list", str(tmp_path / "voices"), "--versa", str(scores)]
    assert main([*command, "-o", str(tmp_path / "r.json")]) == 2


def test_the_rest_of_a_continuation() -> None:
    class Speaker:
        def align(self, samples: Samples, text: str) -> tuple[tuple[str, float, float], ...]:
            return (("one", 0.1, 1.0), ("two", 2.7, 3.1), ("three", 2.8, 3.4), ("four", 3.5, 4.0))

    item = Item("k", "s", TRANSCRIPT, VOICE, None, VOICE, 3.0, is_continuation=True)
    assert find_rest(Speaker(), item) == "three four"  # type: ignore[arg-type]


def test_a_page_of_samples(
    run: Any, voices: Path, tmp_path: Path, debug_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("PIL", reason="needs the extra plot")
    page = tmp_path / "page"
    command = ["samples", str(voices), "-o", str(page), "--bundle", str(debug_bundle)]
    assert main([*command, "--seeds", "1"]) == 6  # nobody's rights were stated
    command += ["--attest", ATTEST, "--threads", "1", "-q", "--title", "<i>&"]
    assert main([*command, "--style", "sadd"]) == 2
    assert "did you mean 'sad'?" in capsys.readouterr().err
    assert main([*command, "--seeds", "2", "--style", "low, soft"]) == 0
    html = (page / "index.html").read_text()
    assert "<h1>&lt;i&gt;&amp;</h1>" in html
    assert html.count("<figure") == html.count("<audio") == 2 * 6
    clips = json.loads((page / "clips.json").read_text())
    assert [clip["clip"] for clip in clips[0]] == [
        "prompt",
        "ground truth",
        "codec resynthesis",
        "synthesized",
        "synthesized",
        "synthesized, low, soft",
    ]
    for name in {clip.split('"')[0] for clip in html.split('src="')[1:]}:
        assert (page / name).stat().st_size < 60_000
    assert main([*command, "--seeds", "1"]) == 7  # the page is not replaced
    assert main([*command, "--seeds", "1", "--worst", "1", "--force"]) == 0
    assert (page / "index.html").read_text().count("<article") == 1
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    command[3] = str(tmp_path / "other")
    assert main([*command, "--force"]) == 7
    assert (tmp_path / "other" / "thesis.txt").exists()
