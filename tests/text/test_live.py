"""Text word by word: the sentences are those of the whole text, and begin before their ends."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from valle.errors import TextError, UsageError
from valle.text.live import HELD_WORDS, LiveReader
from valle.text.markup_tags import parse_tags
from valle.text.passages import Segment, read_passages
from valle.text.segmentation import MAX_PHONEMES, Sentence
from valle.text.symbols import BORDERS

TEXT = (
    "It costs $3.50 per day, or so they say. [pause:1s] Mr. Smith left at 5 p.m. on May 3, 2021. "
    "[rate:0.9]He did not come back.[/rate] [voice:Bob]And then\n\nthe sun rose over [[ˈwɔtɚ]]"
)


def read(parts: Iterable[str]) -> list[tuple[Segment, Sentence]]:
    """Read a text, waiting for every open sentence, as synthesis does."""
    segments = []
    for segment in LiveReader(parts, "en-us"):
        opened = segment.open
        while opened is not None and not opened.is_complete:
            known = [*opened.sentence.phonemes]
            opened.extend()
            assert opened.sentence.phonemes[: len(known)] == known  # nothing is taken back
        sentence = opened.sentence if opened else segment.sentence
        if sentence is not None:
            segments.append((segment, sentence))
    return segments


def words_of(sentences: Iterable[Sentence]) -> list[tuple[str, int]]:
    return [(word.text, word.start) for sentence in sentences for word in sentence.words]


def assert_valid(text: str, sentence: Sentence) -> None:
    phonemes = sentence.phonemes
    assert text[sentence.start :].startswith(sentence.text)
    assert phonemes[0].symbol == "^"
    assert phonemes[-1].symbol in ".?!,"
    assert len(phonemes) <= MAX_PHONEMES
    assert [p.word for p in phonemes if p.word >= 0] == sorted(
        p.word for p in phonemes if p.word >= 0
    )
    assert {p.word for p in phonemes} - {-1} == set(range(len(sentence.words)))
    for before, after in itertools.pairwise(phonemes):
        assert not (before.symbol in BORDERS and after.symbol in BORDERS)
    for phoneme in phonemes:
        if phoneme.word >= 0:
            word = sentence.words[phoneme.word]
            assert (phoneme.start, phoneme.end) == (word.start, word.end)
            assert text[word.start : word.end] == word.text


def test_words_one_by_one_are_the_whole_text() -> None:
    whole = [s for s in read_passages(parse_tags(TEXT), "en-us") if s.sentence is not None]
    live = read(re.findall(r"\S+\s*", TEXT))
    assert [sentence for _, sentence in live] == [s.sentence for s in whole]
    assert [s.delivery for s, _ in live] == [s.delivery for s in whole]
    pauses = [s.open.pause_after if s.open else s.pause_after for s, _ in live]
    assert pauses == [s.pause_after for s in whole]
    assert sum(segment.open is not None for segment, _ in live) >= 3


@settings(max_examples=60)
@given(st.lists(st.integers(0, len(TEXT)), max_size=30))
@example(list(range(len(TEXT))))
def test_parts_of_any_size_lose_no_word(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    parts = [TEXT[a:b] for a, b in itertools.pairwise(places)]
    sentences = [sentence for _, sentence in read(parts)]
    whole = [s.sentence for s in read_passages(parse_tags(TEXT), "en-us") if s.sentence]
    assert words_of(sentences) == words_of(whole)
    for sentence in sentences:
        assert_valid(TEXT, sentence)


@settings(max_examples=40)
@given(
    st.lists(
        st.sampled_from("a the of 3 $5 .5 million p.m. U.S. Mr. Dr. St. e.g. St 1/2 10:30".split())
        | st.sampled_from("it, no. yes! why? -- (so) re-read I'd 你好 \n\n".split(" ")),
        min_size=1,
        max_size=25,
    )
)
def test_any_words_are_spoken_once_and_in_order(words: list[str]) -> None:
    parts = [word + " " for word in words]
    text = "".join(parts)
    try:
        sentences = [sentence for _, sentence in read(parts)]
    except TextError:
        assert all(not re.search("[A-Za-z0-9]", word) for word in words)
        return
    end = 0
    for sentence in sentences:
        assert_valid(text, sentence)
        for word in sentence.words:
            assert word.start >= end
            end = word.end
    spoken = "".join(word.text for sentence in sentences for word in sentence.words)
    for given_word in words:  # every number and word is there
        for letters in re.findall(r"[A-Za-z]+|\d+", given_word):
            assert letters in spoken


def test_sentence_without_an_end_is_cut() -> None:
    words = ["and so it goes on and on "] * 30
    sentences = [sentence for _, sentence in read(words)]
    assert len(sentences) > 3
    assert len(words_of(sentences)) == 7 * 30
    for sentence in sentences:
        assert_valid("".join(words), sentence)


def test_sentence_begins_after_a_few_words() -> None:
    taken: list[str] = []

    def write() -> Iterator[str]:
        for word in "This is how it begins and how it ends.".split(" "):
            taken.append(word)
            yield word + " "

    segment = next(iter(LiveReader(write(), "en-us")))
    assert segment.open is not None
    assert len(taken) == HELD_WORDS + 1
    assert [word.text for word in segment.open.sentence.words] == ["This"]
    assert segment.open.likely
    segment.open.extend()
    assert len(taken) == HELD_WORDS + 2


def test_wrong_parts_are_refused() -> None:
    with pytest.raises(UsageError, match="text comes in chunks of str, not bytes"):
        list(LiveReader([b"no"], "en-us"))  # type: ignore[list-item]
    with pytest.raises(TextError, match="line 2: there is no tag"):
        read(["So be it. \n", "[fo", "o:1] Amen."])
    with pytest.raises(TextError, match="nothing in this text to speak"):
        read(["  ", "[pause:1s]", " "])
    with pytest.raises(TextError, match="has no closing"):
        read(["So be it. [voice:Bob", " is here."])


def test_errors_of_the_source_are_passed_on() -> None:
    def write() -> Iterator[str]:
        yield "So be it and "
        raise ConnectionError("the line is dead")

    with pytest.raises(ConnectionError):
        read(write())
