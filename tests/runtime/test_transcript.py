"""When words are said: against speech whose times are known, with what is not in its script."""

from __future__ import annotations

import difflib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import valle
from valle.errors import TextError
from valle.runtime.transcript import TimedTranscript

ATTEST = "I hold the rights to this voice"
SAMPLE = Path(__file__).parents[2] / "examples" / "voice.wav"
SENTENCES = [
    "The lighthouse stood alone above the harbor.",
    "Every evening a small boat brought bread and letters.",
    "Nobody remembered who had painted the old door green.",
]


@pytest.fixture(scope="module")
def real_model() -> valle.Model:
    return valle.load(threads=1)


@pytest.fixture(scope="module")
def speech(real_model: valle.Model) -> valle.Speech:
    voice = real_model.enroll(SAMPLE, name="Sample", attest=ATTEST)
    return real_model.speak(" ".join(SENTENCES), voice, retries=0)


def make_music(seconds: float, rate: int) -> NDArray[np.float32]:
    """Chords and beats."""
    rng = np.random.default_rng(0)
    samples = np.zeros(round(seconds * rate), np.float32)
    time = np.arange(rate) / rate
    for beat in range(round(seconds * 4)):
        begin = beat * rate // 4
        for pitch in rng.choice([110.0, 164.8, 220.0, 277.2, 329.6, 440.0], 3, replace=False):
            note = sum(0.03 / h * np.sin(2 * np.pi * pitch * h * time) for h in range(1, 7))
            part = (note * np.exp(-4 * time)).astype(np.float32)[: len(samples) - begin]
            samples[begin : begin + len(part)] += part
    return samples


def measure_errors(timed: TimedTranscript, speech: valle.Speech, shift: float = 0.0) -> np.ndarray:
    """Seconds between the starts that were found and those that are known.

    A few words may not be found: the listener does not understand every word that is spoken.
    """
    found = [word for word in timed.words if word.start is not None]
    spoken = [word.word for word in speech.words]
    matcher = difflib.SequenceMatcher(None, [word.text for word in found], spoken, autojunk=False)
    starts = [
        (found[block.a + place].start or 0.0) - speech.words[block.b + place].start
        for block in matcher.get_matching_blocks()
        for place in range(block.size)
    ]
    assert len(starts) == len(found)
    assert len(starts) >= 0.75 * len(spoken)
    return np.abs(np.array(starts) - shift)


def test_words_begin_where_they_were_spoken(real_model: valle.Model, speech: valle.Speech) -> None:
    timed = real_model.align(speech.audio, " ".join(SENTENCES))
    errors = measure_errors(timed, speech)
    assert np.median(errors) <= 0.04
    assert np.percentile(errors, 75) <= 0.15
    assert timed.seconds == pytest.approx(speech.seconds)


def test_music_and_sentences_that_are_not_said(
    real_model: valle.Model, speech: valle.Speech
) -> None:
    rate = speech.sample_rate
    music = make_music(8.0, rate)
    samples = np.concatenate([music, speech.audio, music])
    extra = "Seven purple elephants argue about mathematics and yesterday's newspaper."
    timed = real_model.align((samples, rate), " ".join([SENTENCES[0], extra, *SENTENCES[1:]]))
    errors = measure_errors(timed, speech, shift=len(music) / rate)
    assert np.median(errors) <= 0.04
    assert np.percentile(errors, 75) <= 0.15
    left_out = [word.text for word in timed.words if word.start is None]
    assert set(extra.rstrip(".").split()) <= set(left_out)


def test_speech_that_is_not_in_the_script(real_model: valle.Model, speech: valle.Speech) -> None:
    timed = real_model.align(speech.audio, f"{SENTENCES[0]} {SENTENCES[2]}")
    known = {word.start: word.word for word in speech.words}
    for word in timed.words:
        assert word.start is not None
        nearest = min(known, key=lambda start: abs(start - (word.start or 0.0)))
        assert known[nearest] == word.text


def test_words_lead_back_to_the_text(real_model: valle.Model, speech: valle.Speech) -> None:
    text = "  " + " ".join(SENTENCES)
    for word in real_model.align(speech.audio, text).words:
        assert text[word.text_start : word.text_end] == word.text
        assert 0.0 <= word.score <= 1.0


def test_silence_is_aligned_with_nothing_or_something_but_never_fails(
    model: valle.Model,
) -> None:
    timed = model.align(np.zeros(16_000, np.float32), "Hello there.")
    assert len(timed.words) == 2
    assert model.align(np.zeros(100, np.float32), SENTENCES[0]).seconds == pytest.approx(100 / 16e3)


def test_text_without_words_is_refused(model: valle.Model) -> None:
    with pytest.raises(TextError, match="nothing in this text"):
        model.align(np.zeros(16_000, np.float32), "...")
