"""Everything that can go wrong has an exit code and one line that says what to do."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from command_line import RunCommand, expect_failure
from conftest import ATTEST, RATE
from valle.cli.main import COMMANDS, Command
from valle.voices import registry


def write_bad_recordings(folder: Path, good: NDArray[np.float32]) -> dict[str, Path]:
    def write(name: str, samples: NDArray[np.float32]) -> Path:
        soundfile.write(folder / name, samples, RATE, subtype="FLOAT")
        return folder / name

    with_nan = good.copy()
    with_nan[1000] = np.nan
    cut = write("whole.wav", good).read_bytes()[: 44 + 1000]
    (folder / "cut.wav").write_bytes(cut)
    (folder / "text.wav").write_text("this is not audio")
    (folder / "nothing.wav").write_bytes(b"")
    return {
        "missing": folder / "missing.wav",
        "a folder": folder,
        "no bytes": folder / "nothing.wav",
        "no samples": write("empty.wav", good[:0]),
        "one sample": write("one.wav", good[:1]),
        "too short": write("short.wav", good[:RATE]),
        "silent": write("silent.wav", np.zeros(3 * RATE, np.float32)),
        "not a number": write("nan.wav", with_nan),
        "cut off": folder / "cut.wav",
        "no audio": folder / "text.wav",
    }


KINDS = (
    "missing|a folder|no bytes|no samples|one sample|too short|silent|not a number|cut off|no audio"
)


@pytest.mark.parametrize("kind", KINDS.split("|"))
def test_unusable_recording_is_expect_failure(
    speak: RunCommand, babble: NDArray[np.float32], tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    expect_failure(speak("So be it.", "--ref-audio", write_bad_recordings(folder, babble)[kind]), 3)


@pytest.mark.parametrize("text", ["", " ", "... !?", "\U0001f980\U0001f600"])
def test_text_without_words_is_expect_failure(speak: RunCommand, text: str) -> None:
    expect_failure(speak(text), 4)


def test_unreadable_text_is_expect_failure(speak: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("caf\u00e9".encode("latin-1"))
    expect_failure(speak("-i", tmp_path / "latin.txt"), 4, "UTF-8")
    expect_failure(speak("-i", tmp_path / "none.txt"), 4, "none.txt")


@pytest.mark.parametrize("kind", ["missing", "no folder", "altered", "graph gone", "later"])
def test_unusable_bundle_is_expect_failure(
    speak: RunCommand, debug_bundle: Path, tmp_path: Path, kind: str
) -> None:
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for file in debug_bundle.iterdir():
        (bundle / file.name).write_bytes(file.read_bytes())
    if kind == "missing":
        (bundle / "config.json").unlink()
    elif kind == "no folder":
        bundle = tmp_path / "none"
    elif kind == "altered":
        data = bytearray((bundle / "ar.onnx").read_bytes())
        data[len(data) // 2] ^= 1
        (bundle / "ar.onnx").write_bytes(data)
    elif kind == "graph gone":
        (bundle / "nar.onnx").unlink()
    else:
        config = json.loads((bundle / "config.json").read_text())
        (bundle / "config.json").write_text(json.dumps(config | {"format": 99}))
    parts = {"altered": "ar.onnx", "graph gone": "nar.onnx", "later": "99"}
    expect_failure(speak("So be it.", "--bundle", bundle), 5, parts.get(kind, "bundle"))


def test_unwritable_output_is_expect_failure(speak: RunCommand, tmp_path: Path) -> None:
    expect_failure(speak("So be it.", "-o", tmp_path), 7, "folder")
    expect_failure(speak("So be it.", "-o", tmp_path / "none" / "a.wav"), 7, "none")
    expect_failure(speak("So be it.", "-o", "x" * 300 + ".wav"), 7)
    expect_failure(speak("So be it.", "-o", "speech.xyz"), 2, ".flac")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full does not exist")
def test_full_disk_is_reported(speak: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "full.wav").symlink_to("/dev/full")
    code, _, err = speak("So be it.", "-q", "-o", tmp_path / "full.wav")
    assert code == 7
    assert err.count("\n") == 1


EDIT = ("a.wav", "--text", "t.txt", "--delete", "x")
DUB = ("f.mkv", "--subtitles", "s.srt", "-o", "o.mkv")
SYNC = ("f.wav", "--script", "s.txt", "-o", "o.wav")


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        ([], "COMMAND"),
        (["sing"], "sing"),
        (["speak"], "TEXT"),
        (["speak", "Hi.", "-i", "x.txt"], "TEXT"),
        (["speak", "Hi."], "--voice"),
        (["speak", "Hi.", "--voice", "A", "--ref-audio", "a.wav"], "--voice"),
        (["speak", "Hi.", "--voice", "A", "--attest", ATTEST], "--attest"),
        (["speak", "Hi.", "--voice", "A", "--ref_text", "x"], "--ref-text"),
        (["speak", "Hi.", "--voice", "A", "--speed", "9"], "--speed"),
        (["speak", "Hi.", "--voice", "A", "--speed", "x"], "--speed"),
        (["speak", "Hi.", "--voice", "A", "--top-p", "0"], "--top-p"),
        (["speak", "Hi.", "--voice", "A", "--seed", "1.5"], "--seed"),
        (["speak", "Hi.", "--voice", "A", "--speed", "2", "--duration", "3"], "--duration"),
        (["speak", "Hi.", "--voice", "A", "--sped", "2"], "--sped"),
        (["speak", "Hi.", "--voice", "A", "-o", "-", "--json"], "--json"),
        (["speak", "Hi.", "--voice", "nobody"], "nobody"),
        (["speak", "Hi.", "--voice", "A", "--threads", "0"], "--threads"),
        (["enroll", "a.wav", "--attest", ATTEST], "--name"),
        (["enroll", "a.wav", "--attest", ATTEST, "--name", "../up"], "../up"),
        (["enroll", "a.wav", "--attest", ATTEST, "--name", ""], "--name"),
        (["enroll", "", "--attest", ATTEST, "--name", "A"], "FILE"),
        (["speak", "Hi.", "--ref-audio", "", "--attest", ATTEST], "--ref-audio"),
        (["speak", "Hi.", "--voice", ""], "--voice"),
        (["speak", "Hi.", "--voice", "A", "-o", ""], "--output"),
        (["speak", "-i", "", "--voice", "A"], "--input"),
        (["speak", "Hi.", "--voice", "A", "--bundle", ""], "--bundle"),
        (["detect", ""], "FILE"),
        (["detect", "a.wav", "--picture", ""], "--picture"),
        (["verify", ""], "FILE"),
        (["verify", "a.wav", "--key", "xyz"], "--key"),
        (["voices", "show", ""], "NAME"),
        (["consent", "key", "--owner-key", ""], "--owner-key"),
        (["voices", "show", "nobody"], "nobody"),
        (["voices", "show", "../../etc/passwd"], "passwd"),
        (["voices", "remove", "nobody"], "nobody"),
        (["voices", "rename", "nobody", "somebody"], "nobody"),
        (["voices", "dance"], "dance"),
        (["speak", "Hi.", "--voice", "A", "--challenge", "x"], "--challenge"),
        (["enroll", "a.wav", "--name", "A", "--attest", ATTEST, "--challenge", "x"], "--consent"),
        (["consent"], "ACTION"),
        (["consent", "new"], "--speaker"),
        (["consent", "new", "--name", "x" * 100], "--speaker"),
        (["consent", "new", "--speaker", "A", "--languages", "tlh"], "tlh"),
        (["consent", "new", "--speaker", "A", "--expires", "2020-01-01"], "past"),
        (["consent", "new", "--speaker", "A", "--expires", "soon"], "soon"),
        (["consent", "new", "--speaker", "A", "--purpose", "[[x]]"], "--purpose"),
        (["consent", "new", "--speaker", "A", "--user", "\n"], "--user"),
        (["consent", "revoke", "nobody"], "nobody"),
        (["ledger", "burn"], "burn"),
        (
            ["edit", "a.wav", "--text", "t", "--delete", "x", "--voice", "A", "--ref-text", "x"],
            "--ref-text",
        ),
        (["restyle", "a.wav", "--emotion", "sad", "--voice", "A", "--speaker", "x"], "--speaker"),
        (
            ["dub", "f.mkv", "--subtitles", "s", "-o", "o.mkv", "--voice", "A", "--attest", "x"],
            "--attest",
        ),
        (
            ["sync", "f.wav", "--script", "s", "-o", "o.wav", "--voice", "A", "--challenge", "x"],
            "--challenge",
        ),
        (["book", "make", "b.txt", "-o", "b.m4b", "--voice", "A", "--consent", "x"], "--consent"),
    ],
)
def test_usage_error_names_the_option(run: RunCommand, argv: list[str], part: str) -> None:
    expect_failure(run(*argv), 2, part)


def test_missing_voice_file_is_reported(run: RunCommand) -> None:
    expect_failure(run("speak", "Hi.", "--voice", "./none.voice"), 3, "none.voice")


@pytest.mark.parametrize("command", ["speak", "enroll"])
def test_new_recording_needs_consent(run: RunCommand, recording: Path, command: str) -> None:
    words = {
        "speak": ["speak", "So be it.", "--ref-audio", str(recording)],
        "enroll": ["enroll", str(recording), "--name", "Ada"],
    }[command]
    expect_failure(run(*words), 6, "--attest")
    expect_failure(run(*words, "--attest", " "), 6, "--attest")
    expect_failure(run(*words, "--attest", "It is mine"), 6, "I hold the rights to this voice")
    expect_failure(run(*words, "--consent", recording), 6, "valle consent new")
    expect_failure(run(*words, "--consent", recording, "--attest", ATTEST), 2, "--attest")
    assert registry.names() == []


def test_missing_extra_is_named(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "train", Command("valle_needs_torch", "train", "train"))

    def import_module(name: str) -> None:
        raise ModuleNotFoundError(name=f"torch_missing_for_{name}")

    monkeypatch.setattr("importlib.import_module", import_module)
    expect_failure(
        run("train"), 2, "torch_missing_for_valle_needs_torch", "pip install 'valle[train]'"
    )


def test_faults_of_the_machine_are_not_called_internal(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_the_disk() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "voices.db")

    monkeypatch.setattr(registry, "names", fill_the_disk)
    expect_failure(run("voices"), 7, "voices.db", "No space left")


def test_internal_error_is_one_line(run: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "names", lambda: 1 / 0)
    expect_failure(run("voices"), 1, "ZeroDivisionError", "VALLE_DEBUG")
