"""No file is lost: what exists is replaced only with `--force`, and what is read never."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import soundfile

from command_line import RunCommand
from valle.cli.output import check_output, choose_free_name
from valle.cli.progress import show_progress
from valle.errors import OutputError


def test_default_name_counts_up(speak: RunCommand) -> None:
    for _ in range(3):
        assert speak("So be it.", "-q")[0] == 0
    assert {name for name in os.listdir() if name.endswith(".wav")} == {
        "speech.wav",
        "speech-2.wav",
        "speech-3.wav",
    }
    assert Path("speech-2.wav.json").is_file()
    code, out, _ = speak("So be it.", "-q", "--json")
    assert (code, json.loads(out)["file"]) == (0, "speech-4.wav")


def test_record_without_its_audio_is_not_replaced_either(tmp_path: Path) -> None:
    (tmp_path / "a.wav.json").touch()
    (tmp_path / "a-2.wav").touch()
    assert choose_free_name(str(tmp_path / "a.wav")) == str(tmp_path / "a-3.wav")


@pytest.mark.parametrize("existing", ["a.flac", "a.flac.json"])
def test_existing_file_is_replaced_only_with_force(speak: RunCommand, existing: str) -> None:
    Path(existing).write_bytes(b"old")
    code, out, err = speak("So be it.", "-o", "a.flac")
    assert (code, out) == (7, "")
    assert existing in err
    assert "--force" in err
    assert Path(existing).read_bytes() == b"old"
    assert speak("So be it.", "-q", "-o", "a.flac", "--force")[0] == 0
    assert soundfile.info("a.flac").frames > 0


def test_file_that_appears_while_speaking_is_not_replaced(
    speak: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_meanwhile(*arguments):
        yield from show_progress(*arguments)
        for name in ("speech.wav", "b.wav"):
            Path(name).write_bytes(b"another")

    monkeypatch.setattr("valle.cli.progress.show_progress", write_meanwhile)
    assert speak("So be it.", "-q")[0] == 0
    assert soundfile.info("speech-2.wav").frames > 0
    Path("b.wav").unlink()
    assert speak("So be it.", "-q", "-o", "b.wav")[0] == 7
    assert Path("speech.wav").read_bytes() == Path("b.wav").read_bytes() == b"another"
    assert not Path("b.wav.json").exists()


def test_recording_that_is_read_is_never_replaced(speak: RunCommand, recording: Path) -> None:
    before = recording.read_bytes()
    os.symlink(recording, "link.wav")
    os.link(recording, "same.wav")
    for name in (recording, "link.wav", "same.wav"):
        code, _, err = speak("So be it.", "-o", name, "--force", "--ref-audio", recording)
        assert code == 7
        assert "reads" in err
    assert recording.read_bytes() == before


def test_text_file_that_is_read_is_never_replaced(speak: RunCommand) -> None:
    Path("a.wav.json").write_text("So be it.")
    assert speak("-i", "a.wav.json", "-o", "a.wav", "--force")[0] == 7
    assert Path("a.wav.json").read_text() == "So be it."


def test_text_that_names_a_file_is_refused_with_a_hint(speak: RunCommand) -> None:
    Path("my article.md").write_text("So be it.")
    code, _, err = speak("my article.md")
    assert code == 2
    assert "-i 'my article.md'" in err
    assert os.listdir() == ["my article.md"]


def test_special_file_needs_no_force() -> None:
    check_output("/dev/null", force=False)
    with pytest.raises(OutputError, match="folder"):
        check_output("/tmp", force=True)


def test_subtitles_are_written_next_to_the_audio(speak: RunCommand) -> None:
    captions = ["--srt", "--vtt", "--words"]
    code, _, err = speak("So be it, Amen.", "-o", "a.mp3", *captions)
    assert code == 0
    assert "a.mp3, a.srt, a.vtt, a.words.json" in err
    assert "So be it, Amen." in Path("a.srt").read_text("utf-8")
    assert Path("a.vtt").read_text("utf-8").startswith("WEBVTT\n")
    assert [word["word"] for word in json.loads(Path("a.words.json").read_text("utf-8"))] == [
        "So",
        "be",
        "it,",
        "Amen.",
    ]
    Path("a.mp3").unlink()
    Path("a.mp3.json").unlink()
    code, _, err = speak("So be it.", "-o", "a.mp3", "--srt")
    assert code == 7
    assert "a.srt exists" in err
    assert speak("So be it.", "-o", "-", "--srt")[0] == 2
    Path("speech.vtt").touch()
    assert speak("So be it.", "-q", "--vtt")[0] == 0
    assert Path("speech-2.vtt").stat().st_size > 0


def test_file_has_the_rate_and_loudness_asked_for(speak: RunCommand) -> None:
    rms = {}
    for name, options in {
        "usual": [],
        "film": ["--rate", "48000"],
        "quiet": ["--loudness", "-30"],
        "own": ["--loudness=off"],
    }.items():
        assert speak("So be it.", "-q", "-o", f"{name}.wav", *options)[0] == 0
        samples, rate = soundfile.read(f"{name}.wav")
        assert rate == (48000 if name == "film" else 16000)
        rms[name] = float((samples**2).mean() ** 0.5)
    assert rms["usual"] > 3 * rms["quiet"]
    assert rms["own"] != pytest.approx(rms["usual"], rel=0.01)
    code, _, err = speak("So be it.", "-o", "a.wav", "--rate", "12345")
    assert code == 2
    assert "--rate must be one of" in err
