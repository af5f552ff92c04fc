"""Changes of words: found by spelling or by comparison, and applied to the text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.editing.changes import (
    Change,
    apply_changes,
    compare_transcripts,
    delete_words,
    insert_words,
    replace_words,
)
from valle.errors import TextError
from valle.runtime.transcript import TimedSentence, TimedTranscript
from valle.text.segmentation import split_sentences

TEXT = "The cat sat. Well, the cat didn't run; it sat."
WORDS = st.lists(st.sampled_from("red green blue house tree river".split()), min_size=1, max_size=8)


def time_text(text: str) -> TimedTranscript:
    """Return a transcript in which each phoneme takes 4 frames, and no border has one."""
    position, sentences = 50, []
    for sentence in split_sentences(text)[0]:
        starts, counts = [], []
        for phoneme in sentence.phonemes:
            starts.append(position)
            counts.append(4 if phoneme.word >= 0 else 0)
            position += counts[-1]
        scores = np.ones(len(starts), np.float32)
        sentences.append(TimedSentence(sentence, np.array(starts), np.array(counts), scores))
    return TimedTranscript(text, sentences, 50.0, position / 50 + 1)


def test_words_are_found_whatever_their_case_and_punctuation() -> None:
    transcript = time_text(TEXT)
    assert replace_words(transcript, "well THE", "so a") == Change(3, 5, "so a")
    assert delete_words(transcript, "didn\u2019t run") == Change(6, 8, "")
    assert insert_words(transcript, "black", after="Well, the") == Change(5, 5, "black")


def test_words_that_occur_twice_are_listed_with_their_times() -> None:
    transcript = time_text(TEXT)
    with pytest.raises(TextError) as error:
        replace_words(transcript, "cat", "dog")
    first, second = (w.start for w in transcript.words if w.text == "cat")
    assert f"2 times: 1 at {first:.2f} s (The cat sat Well), 2 at {second:.2f} s" in str(
        error.value
    )
    assert "--occurrence" in str(error.value)
    assert replace_words(transcript, "cat", "dog", occurrence=2) == Change(5, 6, "dog")
    with pytest.raises(TextError, match="--occurrence 3: 'cat' occurs 2 times"):
        delete_words(transcript, "cat", occurrence=3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("dog", "cow", "'dog' is not in the text"),
        ("dident run", "walk", 'did you mean "didn\'t"'),
        ("sat cat", "x", "do not follow each other"),
        ("...", "x", "no words to look for"),
        ("run", " ", "replacement is empty; to remove words, give them to --delete"),
        ("run", "Run!", "same words"),
    ],
)
def test_what_cannot_be_replaced_is_explained(old: str, new: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        replace_words(time_text(TEXT), old, new)


def test_text_after_changes_keeps_all_else() -> None:
    transcript = time_text(TEXT)
    changes = [Change(0, 0, "So"), Change(1, 2, "dog"), Change(6, 8, ""), Change(10, 10, "down")]
    text, places = apply_changes(transcript, changes)
    assert text == "So The dog sat. Well, the cat ; it sat down."
    assert [text[start:end] for start, end in places] == ["So", "dog", "", "down"]


@given(WORDS, WORDS)
def test_differences_lead_to_the_new_words(old: list[str], new: list[str]) -> None:
    transcript = time_text(" ".join(old))
    if old == new:
        with pytest.raises(TextError, match="same words"):
            compare_transcripts(transcript, " ".join(new))
        return
    text, _ = apply_changes(transcript, compare_transcripts(transcript, " ".join(new)))
    assert text.split() == new
