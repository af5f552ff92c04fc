"""Deleted and repeated words in log-probabilities that are made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from valle.evaluation.metrics.word_alignment import WordCheck, check_words, spoken_words
from valle.text.segmentation import split_sentences

CLASSES = ("<blank>", "<pause>", "a", "b", "c", "d", "e")
WORDS = [("ab", ["a", "b"]), ("cd", ["c", "d"]), ("ea", ["e", "a"]), ("d", ["d"])]


def posteriors(phonemes: str, confidence: float = 0.9, frames: int = 2) -> np.ndarray:
    """Log-probabilities [frames, classes] of each phoneme, with blanks between."""
    rows = []
    for phoneme in phonemes:
        for name in (phoneme, "<blank>"):
            row = np.full(len(CLASSES), (1 - confidence) / (len(CLASSES) - 1))
            row[CLASSES.index(name)] = confidence
            rows += [row] * frames
    return np.log(np.array(rows))


def check(phonemes: str, seconds: float = 1.4) -> WordCheck:
    return check_words(posteriors(phonemes, 0.99), CLASSES, WORDS, seconds)


def test_complete_words_pass() -> None:
    complete = check("abcdead")
    assert (complete.words, complete.deleted, complete.repeated) == (3, (), ())
    assert not complete.flagged


@pytest.mark.parametrize(("phonemes", "word"), [("cdead", "ab"), ("abead", "cd"), ("abcdd", "ea")])
def test_a_deleted_word_is_found(phonemes: str, word: str) -> None:
    assert check(phonemes).deleted == (word,)


@pytest.mark.parametrize(("phonemes", "word"), [("ababcdead", "ab"), ("abcdcdead", "cd")])
def test_a_repeated_word_is_found(phonemes: str, word: str) -> None:
    repeated = check(phonemes)
    assert repeated.repeated == (word,)
    assert repeated.deleted == ()


def test_a_wrong_phoneme_is_not_a_deleted_word() -> None:
    assert check("abcbead").deleted == ()


def test_durations_beyond_speech_are_truncated_or_run_on() -> None:
    assert check("abcdead", seconds=0.3).truncated
    assert not check("abcdead", seconds=0.5).truncated
    assert check("abcdead", seconds=4.1).run_on
    assert not check("abcdead", seconds=3.9).run_on
    short = check_words(posteriors("a", frames=1), CLASSES, WORDS, 0.04)
    assert short.truncated  # fewer frames than phonemes
    assert short.deleted == ("ab", "cd", "ea")


def test_words_are_spelled_as_written() -> None:
    words = spoken_words(split_sentences("Two cats. The 2 cats!")[0])
    assert [word for word, _ in words] == ["Two", "cats", "The", "2", "cats"]
    assert words[0][1] == words[3][1]
