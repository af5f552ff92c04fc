"""`speak`, `enroll` and `voices`: what they write and print."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from command_line import RunCommand, expect_failure
from conftest import ATTEST, RATE
from media_files import write_media_file
from valle.cli.main import COMMANDS
from valle.trust import ledger
from valle.voices import registry


def test_speak_writes_and_reports_the_file(speak: RunCommand) -> None:
    code, out, err = speak("So be it.")
    assert (code, out) == (0, "")
    assert err.splitlines()[-1].startswith("speech.wav: ")
    assert sorted(os.listdir()) == ["speech.wav", "speech.wav.json"]
    with soundfile.SoundFile("speech.wav") as file:
        assert file.samplerate == 16000
        assert file.channels == 1
        assert file.frames > 1600


def test_speech_can_be_verified_until_it_is_altered(speak: RunCommand, run: RunCommand) -> None:
    speak("So be it.")
    code, out, _ = run("verify", "speech.wav")
    assert code == 0
    assert ledger.get_signing_key().id in out
    samples, rate = soundfile.read("speech.wav", dtype="int16")
    soundfile.write("speech.wav", samples[:-1], rate)
    assert run("verify", "speech.wav")[0] == 8


def test_ssml_has_its_marks_among_the_words(speak: RunCommand) -> None:
    expect_failure(speak("<speak>\n<b>x</b></speak>", "--ssml", "-o", "b.wav"), 4, "line 2: <b>")
    expect_failure(speak("-", "--ssml", "-o", "-"), 2, "--ssml needs the whole text")
    document = '<speak>So <sub alias="be">b</sub> <mark name="it"/>it.</speak>'
    assert speak(document, "--ssml", "--words", "-o", "a.wav")[0] == 0
    rows = json.loads(Path("a.words.json").read_text())
    assert [row.get("word", row.get("mark")) for row in rows] == ["So", "be", "it", "it."]
    assert rows[2]["start"] == rows[3]["start"]


def test_quiet_prints_nothing(speak: RunCommand) -> None:
    assert speak("So be it.", "-q", "-o", "a.flac") == (0, "", "")
    assert soundfile.info("a.flac").format == "FLAC"


def test_one_word_is_spoken_in_the_first_saved_voice(
    run: RunCommand, recording: Path, debug_bundle: Path
) -> None:
    word = ("speak", "--word", "Nguyen", "--bundle", debug_bundle)
    expect_failure(run(*word), 2, "no voice is saved yet", "valle enroll", "--voice")
    for name in ("Eve", "Ada"):
        saving = ("enroll", recording, "--name", name, "--attest", ATTEST, "-q")
        assert run(*saving, "--bundle", debug_bundle)[0] == 0
    code, out, err = run(*word)
    assert (code, out) == (0, "")
    assert "spoken in the voice 'Ada'; --voice NAME takes another" in err
    Path("words.txt").write_text("Nguyen, win\n")
    code, out, err = run(
        *word, "--voice", "Eve", "--lexicon", "words.txt", "--json", "-o", "win.wav"
    )
    assert code == 0
    assert "--voice" not in err
    made = json.loads(out)
    assert made["provenance"]["voice"] == "Eve"
    assert [word["word"] for word in made["words"]] == ["Nguyen"]
    assert [phoneme["symbol"] for phoneme in made["phonemes"]][1:-1] == ["w", "ɪ", "n"]


def test_json_describes_the_speech(speak: RunCommand) -> None:
    code, out, _ = speak("So be it. \U0001f980", "--json", "-q", "--seed", "5")
    made = json.loads(out)
    assert code == 0
    assert made["file"] == "speech.wav"
    assert [word["word"] for word in made["words"]] == ["So", "be", "it"]
    assert made["seconds"] == soundfile.info("speech.wav").duration
    assert made["skipped"][0]["text"] == "\U0001f980"
    assert made["provenance"]["options"]["seed"] == 5
    assert made["check"]["phoneme_error_rate"] >= 0


def test_options_work_in_both_spellings(speak: RunCommand) -> None:
    made = {}
    for name, options in {
        "plain": [],
        "again": ["--seed", "0"],
        "seed": ["--seed=7"],
        "cold": ["--temperature", "0"],
        "narrow": ["--top_p", "0.01"],
        "narrow2": ["--top-p=0.01"],
    }.items():
        assert speak("So be it.", "-q", "-o", f"{name}.wav", *options)[0] == 0
        made[name] = Path(f"{name}.wav").read_bytes()
    assert made["plain"] == made["again"]
    assert made["narrow"] == made["narrow2"]
    assert len(set(made.values())) == 4
    assert speak("So be it.", "-q", "--duration", "3")[0] == 0
    assert soundfile.info("speech.wav").duration == 3.0


def test_text_from_a_file_and_from_standard_input(
    speak: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("text.txt").write_bytes("\ufeffSo be it.".encode())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"So be it.")))
    for name, words in (("a", ["So be it."]), ("b", ["-i", "text.txt"]), ("c", ["-"])):
        assert speak(*words, "-q", "-o", f"{name}.wav")[0] == 0
    assert len({Path(f"{name}.wav").read_bytes() for name in "abc"}) == 1


def test_help_and_version_need_no_model(run: RunCommand) -> None:
    for argv, parts in (
        (["--help"], [*COMMANDS, "valle COMMAND --help"]),
        (["--version"], [valle.__version__]),
        (["speak", "--help"], ["--ref-audio", "--top-p", "0.25 to 4"]),
        (["voices", "rename", "--help"], ["NEW-NAME"]),
    ):
        code, out, err = run(*argv)
        assert (code, err) == (0, "")
        assert all(part in out for part in parts)


def test_enrollment_says_what_it_took_and_how_good_it_is(
    run: RunCommand, debug_bundle: Path, babble: NDArray[np.float32]
) -> None:
    soundfile.write("long.wav", np.tile(babble, 5), RATE)
    soundfile.write("short.wav", np.clip(20 * babble[:30_000], -1, 1), RATE)
    enroll = ("--attest", ATTEST, "--bundle", debug_bundle, "--name")
    code, out, err = run("enroll", "long.wav", *enroll, "Long")
    assert (code, out) == (0, "")
    assert re.search(r"long.wav: the best \d.* s were used, from .* of 15.0 s\n", err)
    assert re.search(
        r"quality \d+ of 100: .* s, level -\d+ dBFS, background \d+ dB below it\n", err
    )
    assert err.endswith("saved as 'Long'; use it with --voice\n")
    code, _, err = run("enroll", "short.wav", *enroll, "Short")
    assert code == 0
    assert "short.wav: all of its 1.9 s of sound were used\n" in err
    assert "it is clipped" in err
    assert "to do better: 6 to 10 s of one person" in err
    assert run("enroll", "short.wav", *enroll, "Quiet", "-q") == (0, "", "")


def test_enrolled_voice_can_be_listed_renamed_and_removed(
    run: RunCommand, speak: RunCommand, debug_bundle: Path, recording: Path
) -> None:
    enroll = ["enroll", recording, "--attest", ATTEST, "--bundle", debug_bundle, "--name"]
    code, out, _ = run(*enroll, "Ada", "--json")
    assert code == 0
    assert json.loads(out)["consent"]["statement"] == ATTEST
    assert 0 <= json.loads(out)["score"] <= 100
    expect_failure(run(*enroll, "ada"), 2, "Ada")
    assert run("voices") == (0, "Ada\n", "")
    assert run("voices", "list", "--json") == (0, '["Ada"]\n', "")
    code, out, _ = run("voices", "show", "Ada", "--json")
    assert code == 0
    assert json.loads(out)["name"] == "Ada"
    assert json.loads(out)["seconds"] > 1.5
    assert "name: Ada" in run("voices", "show", "Ada")[1]
    assert run("voices", "rename", "Ada", "Grace")[:2] == (0, "")
    assert registry.names() == ["Grace"]
    assert speak("So be it.", "--voice", "Grace", "-q")[0] == 0
    assert json.loads(Path("speech.wav.json").read_text())["voice"] == "Grace"
    assert run("voices", "remove", "Grace")[0] == 0
    assert run("voices") == (0, "", "")


def test_sound_of_a_video_is_enrolled_and_checked(
    run: RunCommand, speak: RunCommand, debug_bundle: Path, babble: NDArray[np.float32]
) -> None:
    pytest.importorskip("av", reason="needs the extra [media]")
    write_media_file(Path("phone.m4a"), np.tile(babble, 2), RATE)
    words = ("--attest", ATTEST, "--bundle", debug_bundle)
    assert run("enroll", "phone.m4a", "--name", "Phone", *words)[0] == 0
    assert speak("So be it.", "--voice", "Phone", "-q")[0] == 0
    for ending in ("m4a", "mp4", "mov", "mkv"):
        rate = 48_000 if ending == "mkv" else RATE
        clip = write_media_file(Path(f"clip.{ending}"), babble, rate)
        code, out, err = run("detect", clip, "--bundle", debug_bundle, "--json")
        assert (code, err) == (0, "")
        report = json.loads(out)
        assert report["provenance"]["sidecar"]["found"] is False
        assert report["seconds"] > 0.5
