"""The intelligibility protocol with a fake transcriber, and its command without Whisper."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import valle
from conftest import RATE
from valle.arrays import Samples
from valle.cli.main import main
from valle.errors import UsageError
from valle.evaluation.evaluator import Metrics
from valle.evaluation.material import rows_by_speaker
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.evaluation.protocols import intelligibility
from valle.evaluation.protocols.intelligibility import ROWS, Settings
from valle.evaluation.report import WORD_METRICS, group_by_row, summarize
from valle.runtime.alignment import Alignment
from valle.runtime.recognizer import PhonemeRecognizer

pytest.importorskip("jiwer", reason="needs the extra eval")

SENTENCES = ["The old man walked along the river.", "Nobody saw the green boat again."]


class FakeTranscriber:
    """Recognizes the same words in every clip."""

    def __init__(self, transcript: str) -> None:
        self.transcript = transcript

    def transcribe(self, samples: Samples) -> str:
        return self.transcript

    def describe(self) -> dict[str, Any]:
        return {"model": "fake"}


@pytest.fixture
def material(tmp_path: Path, babble: Samples) -> tuple[Path, Path]:
    """A manifest of two usable speakers, a copy of one, and two who cannot take part."""
    rows: list[dict[str, Any]] = []

    def add(speaker: str, text: str | None, seconds: float = 3.0, shift: int = 0) -> None:
        audio = f"{len(rows)}.wav"
        samples = np.roll(babble, shift)[: round(seconds * RATE)]
        soundfile.write(tmp_path / audio, samples, RATE)
        row = {"audio": audio, "corpus": speaker[0], "speaker": speaker, "text": text}
        rows.append(row | {"seconds": seconds})

    for number, speaker in enumerate(("a/1", "b/1")):
        add(speaker, f"The prompt of speaker {number} is here.", 3.0, 4000 * number)
        for index, text in enumerate(SENTENCES):
            add(speaker, text, 2.5 + number / 4, 900 * index + 3000 * number)
    for text in ("The prompt of speaker 1 is here.", *SENTENCES):
        add("c/1", text, 3.0 if "prompt" in text else 2.75)
    add("a/short", "Too short.", 1.0)
    add("b/silent", None)
    manifest, heldout = tmp_path / "manifest.jsonl", tmp_path / "heldout.txt"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    heldout.write_text("a/1\nb/1\nc/1\na/short\nb/silent\na/absent\n")
    return manifest, heldout


def read_group(manifest: Path, heldout: Path, per_speaker: int = 8) -> intelligibility.Group:
    names = heldout.read_text().split()
    return intelligibility.read_group("all", rows_by_speaker([manifest], names), per_speaker)


def test_speakers_who_cannot_take_part_are_named(material: tuple[Path, Path]) -> None:
    group = read_group(*material)
    assert [speaker.name for speaker in group.speakers] == ["a/1", "b/1"]
    assert all(len(speaker.prompt) == 3 * RATE for speaker in group.speakers)
    assert [u.text for u in group.speakers[0].utterances] == SENTENCES
    assert group.skipped == {
        "a/absent": "no recording in any manifest",
        "a/short": "no recording of 3.0 s",
        "b/silent": "no other recording with a transcript",
        "c/1": "the same recordings as b/1",
    }
    assert len(read_group(*material, per_speaker=1).speakers[0].utterances) == 1


def test_a_group_without_usable_speakers_is_refused() -> None:
    with pytest.raises(UsageError, match="no speaker of the group 'native'"):
        intelligibility.read_group("native", {"a": []})


def test_four_rows_are_transcribed(
    material: tuple[Path, Path],
    model: valle.Model,
    encoder: ResemblyzerEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def align_evenly(
        recognizer: PhonemeRecognizer, samples: Samples, symbols: list[str]
    ) -> Alignment:
        """A recognizer of random weights cannot align."""
        frames = len(samples) // 320
        path = np.arange(frames) * len(symbols) // frames
        return Alignment(path, np.zeros(len(symbols), np.float32))

    monkeypatch.setattr(PhonemeRecognizer, "align", align_evenly)
    group = read_group(*material)
    settings = Settings(speakers=1, per_speaker=2, seeds=(0, 1))
    metrics = Metrics(transcriber=FakeTranscriber("the old man walked along a river"))
    clips = intelligibility.run(model, group, SENTENCES, metrics, settings)
    by_row = group_by_row(clips)
    assert list(by_row) == list(ROWS.values())
    assert [len(in_row) for in_row in by_row.values()] == [2, 2, 2, 4]
    for in_row in by_row.values():
        first, second = in_row[:2]
        assert first.words is not None
        assert (first.words.substitutions, first.words.word_edits) == (1, 1)
        assert second.words is not None
        assert second.words.word_edits > 3
    figure = summarize(by_row["ground truth"])["word_error_rate"]
    assert figure is not None
    words = [clip.words for clip in by_row["ground truth"] if clip.words]
    assert figure.value == sum(w.word_edits for w in words) / sum(w.words for w in words)
    report = intelligibility.as_json([group], {"all": clips}, measured=True)
    assert report["not_measured"] == {}
    assert report["groups"]["all"]["closed_set"] == ["a/1", "b/1"]


def test_a_clip_that_cannot_be_aligned_is_left_out(
    material: tuple[Path, Path],
    model: valle.Model,
    encoder: ResemblyzerEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intelligibility, "align_transcript", lambda *_: None)
    settings = Settings(rows=("nar", "ground-truth"), speakers=1, per_speaker=1)
    clips = intelligibility.run(model, read_group(*material), SENTENCES, Metrics(), settings)
    assert {clip.row for clip in clips} == {"ground truth"}


@pytest.fixture
def command(material: tuple[Path, Path], debug_bundle: Path, tmp_path: Path) -> list[str]:
    manifest, heldout = material
    sentences = tmp_path / "sentences.tsv"
    sentences.write_text(
        "".join(f"source\tThe number of boats is {n} times as high.\n" for n in _NUMBERS)
    )
    command = ["evaluate", "intelligibility", "--bundle", str(debug_bundle), "--threads", "1", "-q"]
    command += ["--manifest", str(manifest), "--heldout", f"native={heldout}"]
    return [*command, "--text", str(sentences), "-o", str(tmp_path / "runs" / "i.json")]


_NUMBERS = [f"{a}ty-{b}" for a in ("twen", "thir", "for", "fif", "six") for b in "abcdefghijklmnop"]


def test_without_whisper_the_reason_is_given(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for package in ("resemblyzer", "speechmos"):
        pytest.importorskip(package, reason="needs the extra eval")
    rows = ["--rows", "ground-truth", "synthesized", "--sentences", "1", "--speakers", "1"]
    assert main([*command, *rows]) == 0, capsys.readouterr().err
    report = json.loads((tmp_path / "runs" / "i.json").read_text())
    assert report["settings"]["whisper"] is None
    assert set(report["not_measured"]) == set(WORD_METRICS)
    native = report["groups"]["native"]["rows"]
    assert list(native) == ["ground truth", "synthesized"]
    assert native["synthesized"]["word_error_rate"] is None
    assert native["synthesized"]["speaker_similarity"]["value"] > 0
    printed = capsys.readouterr().out
    assert "left out: c/1, the same recordings as b/1" in printed
    assert "words are not measured: no --whisper FOLDER was given" in printed


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--rows", "vocoder"], "vocoder"),
        (["--seeds", "0"], "--seeds"),
        (["--heldout", "=x"], "NAME=FILE"),
        (["--heldout", "native=other.txt"], "two groups are called"),
        (["--whisper", "no-such-folder"], "not a faster-whisper model"),
    ],
)
def test_wrong_options_are_refused(
    command: list[str], wrong: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, *wrong]) == 2
    assert message in capsys.readouterr().err
