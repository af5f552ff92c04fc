"""What is shown while a text is spoken, after an interrupt, and of what was not understood."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from command_line import RunCommand
from valle.cli.progress import describe_progress, show_progress
from valle.runtime.check import Check
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.speech import Speech, SpokenSentence

TEXT = "The house is green. It rains. Then it stops."
PASSED = Check(0.0, (), (), "", 1.0, 5)


def sentence(number: int, count: int | None) -> SpokenSentence:
    return SpokenSentence(number, count, "It rains.", 0, False, 0.0, 1.0, PASSED)


def test_progress_tells_sentences_and_time_left() -> None:
    line = describe_progress(sentence(3, 12), elapsed=30.0, seconds=45.25)
    assert line == "sentence 3 of 12, 45.2 s of speech, 01:30 left"
    assert describe_progress(sentence(3, None), 30.0, 45.25) == "sentence 3, 45.2 s of speech"


def test_interrupt_keeps_what_was_spoken_and_the_same_command_goes_on(
    speak: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(pieces, quiet) -> Iterator[Speech]:
        for piece in show_progress(pieces, quiet):
            yield piece
            if piece.sentences and piece.sentences[-1].number == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("valle.cli.progress.show_progress", interrupt)
        code, out, err = speak(TEXT, "--retries", "0", "--loudness", "off")
    assert (code, out) == (130, "")
    assert "after sentence 2 of 3; what was spoken is in speech.partial.wav" in err
    assert "goes on" in err
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == ["speech.partial.wav", "speech.partial.wav.json"]
    partial, rate = soundfile.read("speech.partial.wav", dtype="int16")
    started = []
    start = AcousticModel.start

    def record(self, utterance, prompt):
        started.append(utterance.index)
        return start(self, utterance, prompt)

    monkeypatch.setattr(AcousticModel, "start", record)
    assert speak(TEXT, "--retries", "0", "--loudness", "off", "-q")[0] == 0
    assert 0 not in started
    assert 1 not in started
    whole, _ = soundfile.read("speech.wav", dtype="int16")
    assert len(partial) > rate // 10
    assert (whole[: len(partial)] == partial).all()
    assert (
        speak(TEXT, "--retries", "0", "--loudness", "off", "-o", "again.wav", "--no-cache")[0] == 0
    )
    assert Path("again.wav").read_bytes() == Path("speech.wav").read_bytes()


def test_sentences_that_were_not_understood_are_named(
    speak: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check(self, samples, symbols, words) -> Check:
        lost = tuple(word for word in ("rains",) if word in words)
        return Check(0.1, lost, ("Then",) if "Then" in words else (), "", 0.5, 5)

    monkeypatch.setattr(PhonemeRecognizer, "check", check)
    code, _, err = speak(TEXT, "-o", "a.wav", "--retries", "0", "--redo", "3")
    assert code == 0
    lines = err.splitlines()[-4:]
    assert lines[0].startswith("sentence 2 at 0:0")
    assert lines[0].endswith("was not understood (missing: 'rains'): It rains.")
    assert lines[1].endswith("was not understood (repeated: 'Then'): Then it stops.")
    assert "add --redo 2 --redo 3 --redo 3 --force to the command" in lines[2]
    assert lines[3].startswith("a.wav: ")
