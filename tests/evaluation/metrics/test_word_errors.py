"""Word and character errors of known transcripts."""

from __future__ import annotations

import pytest

from valle.evaluation.metrics.word_errors import WordErrorCounter

pytest.importorskip("jiwer", reason="needs the extra eval")
pytest.importorskip("whisper_normalizer", reason="needs the extra eval")


@pytest.fixture(scope="module")
def counter() -> WordErrorCounter:
    return WordErrorCounter()


def test_edits_are_counted_by_kind(counter: WordErrorCounter) -> None:
    text = "The old cat sat on the mat."
    errors = counter.count(text, "the old bat sat on mat")
    assert (errors.substitutions, errors.deletions, errors.insertions) == (1, 1, 0)
    assert errors.word_edits == 2
    assert errors.words == 7
    assert errors.characters == len("the old cat sat on the mat")
    assert errors.character_edits == len("c") + len("the ")
    errors = counter.count(text, "the old cat sat down on the mat")
    assert (errors.substitutions, errors.deletions, errors.insertions) == (0, 0, 1)
    assert errors.character_edits == len("down ")


def test_spelling_case_and_numbers_are_normalized(counter: WordErrorCounter) -> None:
    errors = counter.count(
        "The colour of twenty-one cats, isn't it?", "The color of 21 cats is not it"
    )
    assert errors.word_edits == 0
    assert errors.reference == errors.hypothesis


def test_an_empty_transcript_deletes_every_word(counter: WordErrorCounter) -> None:
    errors = counter.count("The rain has stopped.", "")
    assert (errors.deletions, errors.insertions, errors.substitutions) == (4, 0, 0)
    assert errors.character_edits == errors.characters


def test_words_without_a_reference_are_insertions(counter: WordErrorCounter) -> None:
    errors = counter.count("Hmm.", "thank you")
    assert (errors.insertions, errors.words, errors.characters) == (2, 0, 0)


def test_the_normalizer_is_described(counter: WordErrorCounter) -> None:
    described = counter.describe()
    assert "EnglishTextNormalizer" in described["normalizer"]
    assert described["normalizer_version"]
    assert described["jiwer_version"]
