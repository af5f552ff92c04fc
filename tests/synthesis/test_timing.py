"""Speech at the times of another recording: phrases, their times, and words that are left out."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

import valle
from valle.errors import TextError, UsageError
from valle.runtime.transcript import TimedSentence, TimedTranscript
from valle.synthesis.timing import split_phrases
from valle.text.segmentation import split_sentences

ATTEST = "I hold the rights to this voice"
SAMPLE = Path(__file__).parents[2] / "examples" / "voice.wav"
TEXT = "The boat came in at noon. Nobody was there to see it."
RATE = 50.0


def time_words(text: str, frames: int = 5, pauses: dict[int, int] | None = None) -> TimedTranscript:
    """A transcript whose phonemes take `frames` each, with pauses in frames after some words."""
    position, word_number, sentences = 20, -1, []
    for sentence in split_sentences(text)[0]:
        starts, counts = [], []
        previous = -1
        for phoneme in sentence.phonemes:
            if phoneme.word != previous and previous >= 0:
                word_number += 1
                position += (pauses or {}).get(word_number, 0)
            previous = phoneme.word
            starts.append(position)
            counts.append(frames if phoneme.word >= 0 else 0)
            position += counts[-1]
        scores = np.ones(len(starts), np.float32)
        sentences.append(TimedSentence(sentence, np.array(starts), np.array(counts), scores))
    return TimedTranscript(text, sentences, RATE, position / RATE + 1)


def test_phrases_end_at_pauses() -> None:
    transcript = time_words(TEXT, pauses={1: 30, 3: 5})
    phrases = split_phrases(transcript)
    assert [phrase.sentence.text for phrase in phrases] == [
        "The boat",
        "came in at noon.",
        "Nobody was there to see it.",
    ]
    words = transcript.words
    first = [words[0], words[2], words[6]]
    for phrase, word in zip(phrases, first, strict=True):
        assert (phrase.start + phrase.frames[0]) / RATE == pytest.approx(word.start)
        assert [p.word for p in phrase.sentence.phonemes][1] == 0
        assert phrase.frames.min() >= 0
    for before, after in itertools.pairwise(phrases):
        assert before.start + before.frames.sum() <= after.start + 1


def test_words_that_are_not_said_are_left_out() -> None:
    transcript = time_words(TEXT)
    timed = transcript.sentences[0]
    for index, phoneme in enumerate(timed.sentence.phonemes):
        if phoneme.word in (2, 3):
            timed.frames[index] = 0
    phrases = split_phrases(transcript)
    assert [[word.text for word in phrase.sentence.words] for phrase in phrases] == [
        ["The", "boat"],
        ["at", "noon"],
        ["Nobody", "was", "there", "to", "see", "it"],
    ]


def test_word_starts_of_a_random_model_stay_near_the_recording(
    model: valle.Model, voice: valle.Voice
) -> None:
    transcript = time_words(TEXT, pauses={1: 40, 5: 100})
    speech = valle.Speech.join(model.stream_timed(transcript, voice, retries=0))
    wanted = np.array([word.start for word in transcript.words], float)
    spoken = np.array([word.start for word in speech.words])
    assert [word.word for word in speech.words] == [word.text for word in transcript.words]
    assert np.abs(spoken - wanted).max() < 0.5  # random weights want to leave at random
    for first in (0, 2, 6):  # the beginning of each phrase, so that no error adds up
        assert abs(spoken[first] - wanted[first]) <= 0.1


def test_new_voice_keeps_the_times_of_the_old_one() -> None:
    model = valle.load(threads=1)
    voice = model.enroll(SAMPLE, name="Sample", attest=ATTEST)
    transcript = time_words("The lighthouse stood alone above the harbor.", 5, {1: 30})
    speech = valle.Speech.join(model.stream_timed(transcript, voice, retries=0))
    wanted = np.array([word.start for word in transcript.words], float)
    errors = np.abs(np.array([word.start for word in speech.words]) - wanted)
    assert np.median(errors) <= 0.06
    assert errors.max() <= 0.2


def test_unsuitable_options_and_recordings_are_refused(
    model: valle.Model, voice: valle.Voice
) -> None:
    transcript = time_words(TEXT)
    with pytest.raises(UsageError, match="--speed"):
        model.stream_timed(transcript, voice, speed=1.2)
    for timed in transcript.sentences:
        timed.frames[:] = 0
    with pytest.raises(TextError, match="no word of the text was heard"):
        model.stream_timed(transcript, voice)
