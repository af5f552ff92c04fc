"""Subtitles: the text's own punctuation, exact times, and the usual rules for cues."""

from __future__ import annotations

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import valle
from synthesis_helpers import TEXT
from valle.runtime.check import Check
from valle.synthesis import subtitles
from valle.synthesis.source_text import SourceText
from valle.synthesis.speech import Speech, SpokenPhoneme, SpokenSentence, SpokenWord
from valle.text.segmentation import split_sentences

CHECK = Check(0.0, (), (), "", 1.0, 1)


def fake_speech(text: str, seconds: float = 0.3, pause: float = 0.6) -> Speech:
    """Speech of a text in which every word takes `seconds`, and `pause` is between sentences."""
    source = SourceText(text)
    phonemes, words, sentences = [], [], []
    now, previous_end = 0.5, None
    known = split_sentences(text)[0]
    for number, sentence in enumerate(known, 1):
        written = source.locate(sentence, previous_end)
        previous_end = written.end
        begin = now
        for word in sentence.words:
            words.append(SpokenWord(word.text, now, now + seconds))
            phonemes.append(SpokenPhoneme("ə", 0, now, now + seconds, word.start, word.end))
            now += seconds
        sentences.append(
            SpokenSentence(
                number,
                len(known),
                written.text,
                written.start,
                written.begins_paragraph,
                begin,
                now,
                CHECK,
            )
        )
        now += pause
    audio = np.zeros(round(now * 16000), np.float32)
    none = np.zeros((0, 1), np.int64)
    return Speech(audio, 16000, none, phonemes, words, None, [], {}, sentences)


def test_cues_are_written_as_srt_and_vtt() -> None:
    speech = fake_speech("Hi there. You & I?")
    assert speech.to_srt() == (
        "1\n00:00:00,500 --> 00:00:01,333\nHi there.\n\n"
        "2\n00:00:01,700 --> 00:00:02,600\nYou & I?\n"
    )
    assert speech.to_vtt() == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.333\nHi there.\n\n"
        "00:00:01.700 --> 00:00:02.600\nYou &amp; I?\n"
    )


def test_words_have_their_punctuation_and_exact_times() -> None:
    speech = fake_speech('He asked (me): "Is it, or *not*?"')
    words = json.loads(speech.to_words())
    spelled = ["He", "asked", "(me):", '"Is', "it,", "or", 'not?"']
    assert [word["word"] for word in words] == spelled
    assert words[0] == {"word": "He", "start": 0.5, "end": 0.8}
    assert words[-1]["end"] == pytest.approx(speech.words[-1].end)
    assert '"Well-known, or not?"' in fake_speech('He asked: "Well-known, or not?"').to_srt()


def test_clock_has_hours() -> None:
    assert subtitles._clock(3661.0456, ",") == "01:01:01,046"
    assert subtitles._clock(59.9996, ".") == "00:01:00.000"


def test_long_sentence_breaks_at_its_clauses() -> None:
    text = (
        "When the rain had stopped, the men went out into the fields, and nobody who saw them "
        "that morning, as they walked, would have guessed what they had found the night before."
    )
    cues = subtitles.make_cues(fake_speech(text))
    assert len(cues) > 1
    assert all(cue.lines[-1][-1] in ",." for cue in cues)
    assert " ".join(line for cue in cues for line in cue.lines) == text


def test_sentences_of_two_paragraphs_share_no_cue() -> None:
    cues = subtitles.make_cues(fake_speech("Yes.\n\nNo.", pause=0.1))
    assert [cue.text for cue in cues] == ["Yes.", "No."]
    merged = subtitles.make_cues(fake_speech("Yes. No. Go.", pause=0.1))
    assert [cue.text for cue in merged] == ["Yes. No. Go."]


WORDS = st.sampled_from(
    'a of the house green Saturday, however; $3.50 co-operation I know. Why? Yes! "Go," '
    "incomprehensibilities (maybe) it's — Then".split()
)


@given(st.lists(WORDS, min_size=1, max_size=60), st.floats(0.08, 0.8), st.floats(0.0, 1.0))
def test_cues_follow_the_rules(words: list[str], seconds: float, pause: float) -> None:
    text = "So " + " ".join(words)
    speech = fake_speech(text, seconds, pause)
    cues = subtitles.make_cues(speech)
    starts = {word.start for word in speech.words}
    shown = " ".join(line for cue in cues for line in cue.lines)
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", text).removesuffix("—") or "—" in text
    spoken = re.findall(r"\w+", " ".join(word.word for word in speech.words))
    assert re.findall(r"\w+", shown) == spoken
    for cue in cues:
        assert cue.start in starts
        assert cue.end > cue.start
        assert len(cue.lines) <= subtitles.MAX_LINES
        assert all(len(line) <= subtitles.MAX_LINE for line in cue.lines)
        assert cue.end - cue.start <= subtitles.MAX_SECONDS + 1e-9
    for before, after in itertools.pairwise(cues):
        assert before.end <= after.start + 1e-9


def test_real_speech_has_sentences_and_subtitles(model: valle.Model, voice: valle.Voice) -> None:
    speech = model.speak(TEXT, voice, retries=0)
    assert [sentence.text for sentence in speech.sentences] == [
        "The house is green.",
        "It costs $123, or does it?",
    ]
    assert [(s.number, s.count) for s in speech.sentences] == [(1, 2), (2, 2)]
    assert speech.sentences[1].start == speech.words[4].start
    assert speech.sentences[1].end == speech.words[-1].end
    assert "It costs $123, or does it?" in speech.to_srt()
    parts = valle.Speech.join(model.stream(iter(["The house is gr", f"een.{TEXT[19:]}"]), voice))
    assert parts.to_srt() == speech.to_srt()
    assert parts.sentences[0].count is None
