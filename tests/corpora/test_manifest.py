"""From folders as people have them to a manifest: who speaks what, and why files are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import expect_success
from valle.corpora.layouts import find_recordings
from valle.corpora.manifest import ManifestOptions, ManifestTally, write_manifest
from valle.corpora.recordings import prepare_recordings, read_manifest
from valle.corpora.screening import screen_recording
from valle.corpora.store import Store
from valle.errors import OutputError, UsageError

RATE = 16_000
SENTENCE = "The old man walked slowly along the river."


def speech(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise that comes and goes like syllables, with a pause each two seconds."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    swell = np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) * (time % 2.0 < 1.7)
    return (0.3 * swell * rng.uniform(-1, 1, len(time)) + 1e-4).astype(np.float32)


def record(path: Path, seconds: float = 2.5, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, speech(seconds, seed), RATE)
    return path


def make_common_voice(folder: Path) -> None:
    record(folder / "clips" / "one.mp3", seed=1)
    record(folder / "clips" / "two.mp3", seed=2)
    rows = [
        "client_id\tpath\tsentence\tage",
        f'A\tone.mp3\t"{SENTENCE}\t',
        f"B\ttwo.mp3\t{SENTENCE}\t",
    ]
    (folder / "validated.tsv").write_text("\n".join(rows))
    (folder / "other.tsv").write_text("client_id\tpath\tsentence\nC\tthree.mp3\tNo.")


def make_librispeech(folder: Path) -> None:
    record(folder / "84" / "12" / "84-12-0000.flac", seed=1)
    record(folder / "85" / "12" / "85-12-0000.flac", seed=2)
    for speaker in (84, 85):
        text = f"{speaker}-12-0000 {SENTENCE.upper()}\n"
        (folder / str(speaker) / "12" / f"{speaker}-12.trans.txt").write_text(text)


def make_libritts(folder: Path) -> None:
    for speaker in (84, 85):
        audio = record(folder / str(speaker) / "1" / f"{speaker}_1_0_0.wav", seed=speaker)
        audio.with_suffix(".normalized.txt").write_text(SENTENCE)
        audio.with_suffix(".original.txt").write_text("Another.")


def make_vctk(folder: Path) -> None:
    for speaker in ("p225", "p226"):
        for microphone in ("mic1", "mic2"):
            name = f"{speaker}_001_{microphone}.flac"
            record(folder / "wav48_silence_trimmed" / speaker / name, seed=int(speaker[1:]))
        (folder / "txt" / speaker).mkdir(parents=True)
        (folder / "txt" / speaker / f"{speaker}_001.txt").write_text(SENTENCE)


def make_ljspeech(folder: Path) -> None:
    record(folder / "wavs" / "LJ001-0001.wav", seed=1)
    record(folder / "wavs" / "LJ001-0002.wav", seed=2)
    rows = [f"LJ001-000{n}|Old text|{SENTENCE}" for n in (1, 2)]
    (folder / "metadata.csv").write_text("\n".join(rows))


def make_f5(folder: Path) -> None:
    record(folder / "wavs" / "one.wav", seed=1)
    record(folder / "two.wav", seed=2)
    rows = ["audio_file|text", f"wavs/one.wav|{SENTENCE}", f"two.wav|{SENTENCE}"]
    (folder / "metadata.csv").write_text("\n".join(rows))


def make_beside(folder: Path) -> None:
    record(folder / "ada" / "zoë\n1.wav", seed=1).with_suffix(".lab").write_text(SENTENCE)
    record(folder / "ben" / "2.WAV.flac", seed=2)
    (folder / "ben" / "2.WAV.txt").write_text(SENTENCE)


def make_jsonl(folder: Path) -> None:
    record(folder / "one.wav", seed=1)
    record(folder / "two.wav", seed=2)
    rows: list[dict[str, Any]] = [
        {"audio": "one.wav", "text": SENTENCE, "speaker": "A"},
        {"audio_filepath": "two.wav", "text": SENTENCE, "duration": 2},
    ]
    (folder / "train.jsonl").write_text("\n".join(map(json.dumps, rows)))


@pytest.mark.parametrize(
    ("make", "layout", "license_", "speakers"),
    [
        (make_common_voice, "common-voice", "CC0-1.0", {"common-voice/A", "common-voice/B"}),
        (make_librispeech, "librispeech", "CC-BY-4.0", {"librispeech/84", "librispeech/85"}),
        (make_libritts, "libritts", "CC-BY-4.0", {"libritts/84", "libritts/85"}),
        (make_vctk, "vctk", "CC-BY-4.0", {"vctk/p225", "vctk/p226"}),
        (make_ljspeech, "metadata.csv", None, {"data"}),
        (make_f5, "metadata.csv", None, {"data"}),
        (make_jsonl, "jsonl", None, {"A", "data"}),
        (make_beside, "folder", None, {"ada", "ben"}),
    ],
)
def test_layouts(
    tmp_path: Path,
    make: Callable[[Path], None],
    layout: str,
    license_: str | None,
    speakers: set[str],
) -> None:
    folder, manifest = tmp_path / "data", tmp_path / "m.jsonl"
    folder.mkdir()
    make(folder)
    tally = write_manifest(folder, manifest, ManifestOptions(quiet=True))
    assert (tally.layout, tally.license, tally.rows) == (layout, license_, 2)
    rows = read_manifest(manifest)
    assert {row["speaker"] for row in rows} == speakers
    assert {row["text"].strip('"').lower() for row in rows} == {SENTENCE.lower()}
    assert {row["license"] for row in rows} == {license_}
    prepared = prepare_recordings(manifest, tmp_path / "store", None, 1, quiet=True)
    assert prepared.kept == 2
    assert {u.license for u in Store(tmp_path / "store").utterances} == {license_}


def write(folder: Path, name: str, samples: np.ndarray, rate: int = RATE) -> None:
    soundfile.write(folder / name, samples.astype(np.float32), rate, subtype="FLOAT")


def screen_folder(folder: Path) -> tuple[ManifestTally, dict[str, str]]:
    manifest = folder.parent / "m.jsonl"
    tally = write_manifest(folder, manifest, ManifestOptions(speaker="me", quiet=True))
    lines = manifest.with_suffix(".refused.jsonl").read_text().splitlines()
    refused = map(json.loads, lines)
    return tally, {Path(row["audio"]).name: row["reason"] for row in refused}


def test_each_refused_file_has_its_reason(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    good = speech(3)
    write(folder, "good.wav", good)
    write(folder, "same.wav", good)
    write(folder, "short.wav", good[:2000])
    write(folder, "empty.wav", good[:0])
    write(folder, "silent.wav", 0 * good)
    write(folder, "nan.wav", np.where(np.arange(len(good)) == 5, np.nan, good))
    write(folder, "clipped.wav", np.clip(30 * good, -1, 1))
    write(folder, "noise.wav", np.random.default_rng(0).uniform(-0.3, 0.3, 3 * RATE))
    (folder / "corrupt.wav").write_bytes(b"RIFF" + b"\0" * 100)
    (folder / "text.flac").write_text("no sound")
    for name, text in (("unspoken", "!!!"), ("unfit", SENTENCE * 20)):
        write(folder, f"{name}.wav", speech(3, seed=len(text)))
        (folder / f"{name}.txt").write_text(text)
    write(folder, "talk.wav", speech(50, seed=9))
    (folder / "talk.txt").write_text(SENTENCE * 10)
    tally, reasons = screen_folder(folder)
    expected = {
        "same.wav": "a copy",
        "short.wav": "shorter than",
        "empty.wav": "shorter than",
        "silent.wav": "silent",
        "nan.wav": "not numbers",
        "clipped.wav": "clipped",
        "noise.wav": "no pauses",
        "corrupt.wav": "cannot be read",
        "text.flac": "cannot be read",
        "unspoken.wav": "no words",
        "unfit.wav": "does not fit",
        "talk.wav": "longer than 40 s",
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert reason in reasons[name], name
    assert tally.rows == 1
    assert tally.seconds == pytest.approx(tally.used + tally.refused)


def test_a_missing_recording_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    make_ljspeech(folder)
    (folder / "wavs" / "LJ001-0002.wav").unlink()
    record(folder / "wavs" / "extra.wav", seed=5)
    _, reasons = screen_folder(folder)
    assert reasons == {
        "LJ001-0002": "the file is missing",
        "extra.wav": "not in the tables: layout metadata.csv",
    }


def test_long_recordings_are_cut_at_pauses(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    record(folder / "talk.flac", 130.0)
    tally, reasons = screen_folder(folder)
    assert not reasons
    rows = read_manifest(tmp_path / "m.jsonl")
    assert len(rows) >= 6
    assert sum(row["seconds"] for row in rows) == pytest.approx(130.0, abs=1e-4)
    assert all(2.99 < row["seconds"] < 20.01 for row in rows)
    for before, after in pairwise(rows):
        assert before["start"] + before["seconds"] == pytest.approx(after["start"])
        assert after["start"] % 2.0 > 1.6  # in a pause
    prepare_recordings(tmp_path / "m.jsonl", tmp_path / "store", None, 1, quiet=True)
    store = Store(tmp_path / "store")
    joined = np.concatenate(
        [
            store.waveform(utterance)[: round(row["seconds"] * RATE)]
            for utterance, row in zip(store.utterances, rows, strict=True)
        ]
    )
    original, _ = soundfile.read(folder / "talk.flac")
    np.testing.assert_allclose(joined, original[: len(joined)], atol=2 / 32768)
    assert tally.used == pytest.approx(130.0, abs=1e-4)


@settings(max_examples=20)
@given(seconds=st.floats(0.6, 70.0), rate=st.sampled_from([8000, 22_050, 44_100]))
def test_seconds_add_up(
    tmp_path_factory: pytest.TempPathFactory, seconds: float, rate: int
) -> None:
    path = tmp_path_factory.mktemp("one") / "a.wav"
    soundfile.write(path, speech(seconds), rate)
    result = screen_recording(path, None)
    used = sum(excerpt.seconds for excerpt in result.excerpts)
    assert used + sum(lost for lost, _ in result.refused) == pytest.approx(result.seconds)


def test_broken_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder"):
        find_recordings(tmp_path / "absent")
    with pytest.raises(UsageError, match="no recordings"):
        find_recordings(tmp_path)
    (tmp_path / "metadata.csv").write_text("one|text\nno bar\n")
    with pytest.raises(UsageError, match="line 2"):
        find_recordings(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    (tmp_path / "t.jsonl").write_text("[1]\n")
    for row in ("[1]", '{"audio": "a", "text": 3}', '{"audio": "a", "start": 2}', "[" * 10_000):
        (tmp_path / "t.jsonl").write_text(row + "\n")
        with pytest.raises(UsageError, match="line 1"):
            find_recordings(tmp_path)
    (tmp_path / "t.jsonl").unlink()
    (tmp_path / "validated.tsv").write_text(f"client_id\tpath\tsentence\nA\ta\t{'a' * 200_000}")
    with pytest.raises(UsageError, match="table"):
        find_recordings(tmp_path)


def test_names_in_a_transcript_are_no_patterns(tmp_path: Path) -> None:
    record(tmp_path / "1" / "2" / "1-2-0000.flac")
    text = f"/etc {SENTENCE}\n** {SENTENCE}\n1-2-0000 {SENTENCE}\n"
    (tmp_path / "1" / "2" / "1-2.trans.txt").write_text(text)
    (tmp_path / "1" / "2" / "1-2-0000.normalized.txt").write_text(text)
    layout, found = find_recordings(tmp_path)
    assert layout.name == "librispeech"
    assert [one.audio.name for one in found if one.audio.is_file()] == ["1-2-0000.flac"]


def test_a_manifest_in_the_folder_is_not_read_again(tmp_path: Path) -> None:
    record(tmp_path / "ada" / "long.wav", 130.0)
    record(tmp_path / "ada" / "short.wav", 0.1)
    tallies = [write_manifest(tmp_path, tmp_path / "m.jsonl", ManifestOptions()) for _ in range(2)]
    assert tallies[0] == tallies[1]
    assert tallies[0].layout == "folder"


def test_a_manifest_that_cannot_be_written_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(tmp_path / "a.wav")
    monkeypatch.setattr("valle.corpora.manifest.screen_recording", None)
    with pytest.raises(OutputError, match="does not exist"):
        write_manifest(tmp_path, tmp_path / "absent" / "m.jsonl", ManifestOptions())


def test_command_says_what_became_of_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    make_vctk(folder)
    shutil.copy(
        next(folder.rglob("*mic1.flac")), folder / "wav48_silence_trimmed" / "p225" / "x.flac"
    )
    manifest = tmp_path / "m.jsonl"
    expect_success("prepare", "manifest", folder, manifest, "--workers", 2, "-q")
    printed = capsys.readouterr().out
    assert "2 of 3 recordings" in printed
    assert "license CC-BY-4.0" in printed
    assert "refused: 1 a copy" in printed
    assert "refused: 2 not in the tables" in printed  # the second microphone
