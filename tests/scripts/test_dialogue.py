"""Dialogues from script to speech: voices, overlaps, captions, and the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

import valle
from command_line import expect_success
from conftest import ATTEST, RATE
from valle.cli.main import main
from valle.errors import UsageError
from valle.scripts.dialogue import Dialogue, make_dialogue
from valle.scripts.script import find_cast, parse_script
from valle.voices import registry

TEXT = "ADA: So be it, and amen.\nBOB: {}The house is green.\nIt is old.\nADA: Go on, go on."


@pytest.fixture(scope="module")
def cast(model: valle.Model, voice: valle.Voice, babble: np.ndarray) -> dict[str, valle.Voice]:
    higher = np.interp(np.arange(0, len(babble), 1.3), np.arange(len(babble)), babble)
    other = model.enroll((higher.astype(np.float32), RATE), name="Other", attest=ATTEST)
    return {"Ada": voice, "Bob": other}


def speak(model: valle.Model, cast: dict[str, valle.Voice], text: str) -> Dialogue:
    script = parse_script(text)
    voices = find_cast(script, cast)
    whole = model.speak(script.text, voices[script.speakers[0]], voices, retries=0)
    return make_dialogue(whole, script, model.codec.codebook_size)


def test_turns_follow_each_other(model: valle.Model, cast: dict[str, valle.Voice]) -> None:
    dialogue = speak(model, cast, TEXT.format(""))
    assert [turn.speaker for turn in dialogue.turns] == ["ADA", "BOB", "ADA"]
    assert [s.voice for s in dialogue.speech.sentences] == ["Babble", "Other", "Other", "Babble"]
    joined = np.concatenate([turn.speech.audio for turn in dialogue.turns])
    np.testing.assert_array_equal(joined, dialogue.speech.audio)
    words = [[word.word for word in turn.speech.words] for turn in dialogue.turns]
    assert words == [
        "So be it and amen".split(),
        "The house is green It is old".split(),
        "Go on go on".split(),
    ]
    ends = np.cumsum([turn.speech.seconds for turn in dialogue.turns])
    np.testing.assert_allclose([t.start for t in dialogue.turns[1:]], ends[:-1])


def test_turns_overlap_as_asked(model: valle.Model, cast: dict[str, valle.Voice]) -> None:
    apart = speak(model, cast, TEXT.format(""))
    dialogue = speak(model, cast, TEXT.format("[overlap:0.3s] "))
    first, second, _, last = dialogue.speech.sentences
    assert first.end - second.start == pytest.approx(0.3, abs=1e-6)
    gap = apart.speech.sentences[3].start - apart.speech.sentences[2].end
    assert last.start - dialogue.speech.sentences[2].end == pytest.approx(gap, abs=1e-6)
    no_code = model.codec.codebook_size
    both = round((second.start + 0.02) * model.frame_rate)
    assert (dialogue.speech.codes[both] == no_code).all()
    start = round(second.start * model.sample_rate)
    span = slice(start, start + 3000)
    parts = np.zeros(len(dialogue.speech.audio), np.float32)
    for turn in dialogue.turns:
        begin = round(turn.start * model.frame_rate) * model.codec.hop
        parts[begin : begin + len(turn.speech.audio)] += turn.speech.audio
    np.testing.assert_allclose(
        dialogue.speech.audio[span], (parts / max(1.0, np.abs(parts).max()))[span], atol=1e-6
    )
    captions = json.loads(dialogue.to_words())
    assert [word["start"] for word in captions] == sorted(word["start"] for word in captions)
    assert {word["speaker"] for word in captions} == {"ADA", "BOB"}
    assert "<v BOB>" in dialogue.to_vtt()
    assert dialogue.to_srt().count("-->") >= 3


def test_overlap_is_at_most_the_turn_before(
    model: valle.Model, cast: dict[str, valle.Voice]
) -> None:
    dialogue = speak(model, cast, TEXT.format("[overlap:9s]"))
    first, second = dialogue.speech.sentences[:2]
    assert second.start == pytest.approx(first.start, abs=1e-6)


def test_cast_is_found_or_refused(voice: valle.Voice) -> None:
    script = parse_script("Babble: So.\nEve: Amen.")
    registry.add(voice)
    with pytest.raises(UsageError, match=r"line 2: there is no voice named 'Eve'.*--cast Eve="):
        find_cast(script)
    assert find_cast(script, {"eve": voice}).keys() == {"Babble", "Eve"}
    with pytest.raises(UsageError, match="nobody in this script is called 'Adam'; it has Babble"):
        find_cast(script, {"Adam": voice})


def test_command_writes_the_dialogue(
    voice: valle.Voice,
    debug_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    registry.add(voice)
    Path("play.md").write_text("# A play\n[S1] So be it.\n[S2] Amen. [S1] Go on.\n")
    arguments = ["script", "play.md", "--cast", "S1=Babble", "--bundle", debug_bundle]
    expect_success(*arguments, "--cast", "S2=babble", "-o", "play.wav", "--vtt", "--json")
    described = json.loads(capsys.readouterr().out)
    assert [turn["speaker"] for turn in described["turns"]] == ["S1", "S2", "S1"]
    assert soundfile.info("play.wav").duration == pytest.approx(described["seconds"], abs=0.01)
    assert "<v S2>Amen." in Path("play.vtt").read_text()
    # An unknown voice, text that nobody says, an existing file: one line, and nothing written.
    before = sorted(tmp_path.iterdir())
    assert main([str(word) for word in [*arguments, "-o", "other.wav"]]) == 2
    assert "line 3: there is no voice named 'S2'" in capsys.readouterr().err
    Path("bad.md").write_text("Once upon a time.\n")
    assert main(["script", "bad.md", "-o", "other.wav"]) == 4
    assert "line 1: nobody says" in capsys.readouterr().err
    assert main(["script", "play.md", "--cast", "S1", "-o", "other.wav"]) == 2
    assert main(["script", "play.md", "-o", "play.wav"]) == 7
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "bad.md"])
