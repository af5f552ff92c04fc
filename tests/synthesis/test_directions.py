"""Directions in a text: voices, pauses, rates and styles, from tags to samples."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import valle
from conftest import ATTEST, RATE
from valle.errors import TextError, UsageError
from valle.synthesis.assembler import StreamAssembler
from valle.trust.provenance import read_sidecar
from valle.voices import registry

FRAME = 0.021  # seconds: a sentence may begin without its silence of one frame


@pytest.fixture(scope="module")
def other(model: valle.Model, babble: np.ndarray) -> valle.Voice:
    higher = np.interp(np.arange(0, len(babble), 1.3), np.arange(len(babble)), babble)
    return model.enroll((higher.astype(np.float32), RATE), name="Other", attest=ATTEST)


def gaps(speech: valle.Speech) -> list[float]:
    """Return the silences between sentences, in seconds, and that after the last one."""
    starts = [sentence.start for sentence in speech.sentences[1:]] + [speech.seconds]
    ends = [sentence.end for sentence in speech.sentences]
    return [round(start - end, 3) for start, end in zip(starts, ends, strict=True)]


def test_pauses_are_as_long_as_asked(model: valle.Model, voice: valle.Voice) -> None:
    plain = model.speak("So be it. Amen. Go on.", voice, retries=0)
    text = "[pause:2s]So be it. [pause:1500ms] Amen. [pause:0.1s] Go on. [pause]"
    directed = model.speak(text, voice, retries=0)
    assert gaps(directed)[:2] == pytest.approx([1.5, 0.1], abs=FRAME)
    assert gaps(directed)[2] == pytest.approx(1.0, abs=0.02)
    assert gaps(plain)[0] == pytest.approx(0.5, abs=FRAME)
    assert directed.sentences[0].start == pytest.approx(plain.sentences[0].start + 2.0)
    assert [word.word for word in directed.words] == ["So", "be", "it", "Amen", "Go", "on"]


def test_text_without_directions_is_spoken_as_before(
    model: valle.Model, voice: valle.Voice
) -> None:
    tagged = model.speak("[rate:1]So be it.[/rate] Amen.", voice, retries=0)
    np.testing.assert_array_equal(
        tagged.codes, model.speak("So be it. Amen.", voice, retries=0).codes
    )


def test_rate_holds_for_its_passage(model: valle.Model, voice: valle.Voice) -> None:
    plain = model.speak("The house is green. The house is green.", voice, retries=0)
    slower = model.speak("The house is green. [rate:0.5]The house is green.", voice, retries=0)
    first, second = slower.sentences
    assert first.end == plain.sentences[0].end
    natural = plain.sentences[1].end - plain.sentences[1].start
    assert (second.end - second.start) / natural == pytest.approx(2.0, rel=0.1)
    assert second.speed == pytest.approx(1.0, abs=0.05)  # as fast as was asked
    # Both directions are multiplied: a passage of half the rate at twice the speed.
    both = model.speak("[rate:0.5]The house is green.", voice, retries=0, speed=2.0)
    once = model.speak("The house is green.", voice, retries=0)
    assert both.seconds == pytest.approx(once.seconds, rel=0.1)
    exact = model.speak("So be it. [rate:0.5]So be it.", voice, retries=0, duration=6.0)
    assert exact.seconds == pytest.approx(6.0)


def test_sentence_goes_on_where_a_tag_stands_in_it(model: valle.Model, voice: valle.Voice) -> None:
    speech = model.speak("It is [rate:0.8]really[/rate] green.", voice, retries=0)
    assert [sentence.text for sentence in speech.sentences] == ["It is", "really", "green."]
    assert max(gaps(speech)[:2]) <= 0.1


def test_voices_take_turns(
    model: valle.Model, voice: valle.Voice, other: valle.Voice, tmp_path: Path
) -> None:
    text = "So be it. [voice:Other]The house is green.[/voice] Amen."
    speech = model.speak(text, voice, {"other": other}, retries=0, seed=4)
    assert [sentence.voice for sentence in speech.sentences] == ["Babble", "Other", "Babble"]
    assert [voice["voice"] for voice in speech.provenance["voices"]] == ["Babble", "Other"]
    assert len(speech.audio) == len(speech.codes) * model.codec.hop
    assert [word.word for word in speech.words] == "So be it The house is green Amen".split()
    assert gaps(speech)[:2] == pytest.approx([0.5, 0.5], abs=FRAME)
    alone = model.speak("So be it. The house is green.", other, retries=0, seed=4)
    ours, theirs = speech.sentences[1], alone.sentences[1]
    frames = round((theirs.end - theirs.start) * model.frame_rate)
    spoken, expected = (
        s.codes[round(begin * model.frame_rate) :][:frames]
        for s, begin in ((speech, ours.start), (alone, theirs.start))
    )
    np.testing.assert_array_equal(spoken, expected)  # what the voice would say by itself
    speech.save(tmp_path / "both.wav")
    record = read_sidecar(tmp_path / "both.wav")
    assert record is not None
    assert [speaker["voice"] for speaker in record.record["voices"]] == ["Babble", "Other"]


def test_stream_of_several_voices_is_the_whole(
    model: valle.Model, voice: valle.Voice, other: valle.Voice
) -> None:
    text = "[voice:Other]So be it. [pause:0.2s][voice:Babble]Amen. [rate:1.5]Go on, go on."
    voices = {"Other": other, "Babble": voice}
    pieces = list(model.stream(text, voice, voices))
    whole = model.speak(text, voice, voices, retries=0)
    np.testing.assert_array_equal(valle.Speech.join(pieces).audio, whole.audio)
    assert pieces[0].provenance["voice"] == "Other"
    assert "voices" not in pieces[0].provenance


def test_names_are_voices_of_the_registry_and_never_files(
    model: valle.Model, voice: valle.Voice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice.save(tmp_path / "file.voice")
    monkeypatch.chdir(tmp_path)
    for name in ("file.voice", "./file.voice", str(tmp_path / "file.voice")):
        with pytest.raises(UsageError):
            model.stream(f"[voice:{name}]So be it.", voice)
    registry.add(voice)
    speech = model.speak("[voice:babble]So be it.", voice, retries=0)
    assert speech.sentences[0].voice == "Babble"


def test_unknown_voices_and_tags_are_refused_before_any_sound(
    model: valle.Model, voice: valle.Voice, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something was synthesized")

    monkeypatch.setattr(StreamAssembler, "begin", refuse)
    with pytest.raises(UsageError, match="line 2: there is no voice named 'Eve'"):
        model.stream("So be it.\n[voice:Eve]Amen.", voice)
    with pytest.raises(TextError, match=r"line 2: there is no tag \[foo:1\]"):
        model.stream("So be it.\n[foo:1]Amen.", voice)
    with pytest.raises(TextError, match="give some English words"):
        model.stream("[pause:1s] [rate:2] [pause:1s]", voice)


def test_style_holds_for_its_sentences_alone(model: valle.Model, voice: valle.Voice) -> None:
    plain = model.speak("So be it. Go on.", voice, retries=0)
    tagged = model.speak("So be it. [style:loud]Go on.", voice, retries=0)
    np.testing.assert_array_equal(tagged.codes, plain.codes)
    begins = round(plain.sentences[1].start * plain.sample_rate) - plain.sample_rate // 5
    np.testing.assert_array_equal(tagged.audio[:begins], plain.audio[:begins])
    assert np.abs(tagged.audio[begins:] - plain.audio[begins:]).max() > 0


def test_plain_text_has_no_tags(model: valle.Model, voice: valle.Voice) -> None:
    speech = model.speak("Say [foo:1] now.", voice, retries=0, plain=True)
    assert [word.word for word in speech.words] == ["Say", "foo", "1", "now"]


def test_ssml_is_spoken_as_tags_are(model: valle.Model, voice: valle.Voice) -> None:
    tagged = model.speak("So be it. [rate:0.5]Go on.[/rate] [pause:1s] Amen.", voice, retries=0)
    document = (
        '<speak>So be it. <prosody rate="50%">Go on.</prosody>'
        '<mark name="pause"/><break time="1s"/> <mark name="next"/>Amen.<mark name="end"/></speak>'
    )
    speech = model.speak(document, voice, retries=0, ssml=True)
    np.testing.assert_array_equal(speech.codes, tagged.codes)
    assert tagged.marks == []
    second, third = speech.sentences[1:]
    assert [mark.name for mark in speech.marks] == ["pause", "next", "end"]
    assert [mark.start for mark in speech.marks] == [second.end, third.start, speech.seconds]
    rows = json.loads(speech.to_words())
    assert [row.get("word", row.get("mark")) for row in rows] == (
        "So be it. Go on. pause next Amen. end".split()
    )
    assert speech.describe()["marks"][0] == {"name": "pause", "start": second.end}
    pieces = list(model.stream(document, voice, ssml=True))
    assert [mark.name for piece in pieces for mark in piece.marks] == ["pause", "next", "end"]
    assert all(mark.start <= valle.Speech.join(pieces).seconds for p in pieces for mark in p.marks)


def test_ssml_needs_a_whole_document(model: valle.Model, voice: valle.Voice) -> None:
    with pytest.raises(UsageError, match="--ssml needs a whole document"):
        model.stream(["<speak>", "Go.</speak>"], voice, ssml=True)
    with pytest.raises(TextError, match="there is nothing|the text is empty"):
        model.stream("<speak><break/></speak>", voice, ssml=True)
    with pytest.raises(UsageError, match=r"line 2: there is no voice named 'Nobody'"):
        model.stream('<speak>Go.\n<voice name="Nobody">Go.</voice></speak>', voice, ssml=True)
