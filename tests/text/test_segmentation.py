"""Sentences of any Unicode string, and of text that arrives in chunks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from valle.errors import TextError, UsageError
from valle.text.segmentation import MAX_PENDING, split_sentences, stream_sentences
from valle.text.symbols import BORDERS, SYMBOLS, VOWELS

TEXT = (
    "Dr. Smith paid $3.50 for it! Did he, really? Yes, on the 3rd of May... \U0001f600 "
    'He said "no more." Then,\n\nafter a while, he left: it was 5.30 p.m. by then. \u4f60\u597d'
)
# single characters that some rule treats, and whole words and numbers
_FRAGMENTS = st.one_of(
    st.text(max_size=4),
    st.text(alphabet="aAbIzZ09.,:;-–—'’\"/()[]$€%°&@#+=!?… \n\tx", max_size=8),
    st.sampled_from(
        "of the|in the|Mr.|U.S.|e.g.|VIII|Henry|$5.20|3/4|10:30|p.m.|1990s|Jan.|5th|km|°C|½|www.|"
        "a.com|me@b.org|[[həˈloʊ]]|[[|]]|FBI|A|I|don't|’em|мир|é|e\u0301|ﬁ|²|٣|\u00ad|\ud800|\0".split(
            "|"
        )
    ),
)


def assert_valid(text: str, max_phonemes: int = 180) -> None:
    """Assert what `split_sentences` promises, for one text."""
    try:
        sentences, skipped = split_sentences(text, max_phonemes=max_phonemes)
    except TextError:
        return
    assert sentences
    for skip in skipped:
        assert 0 <= skip.start < skip.end <= len(text)
        assert skip.why
        assert skip.text == text[skip.start : skip.end]
    starts = [sentence.start for sentence in sentences]
    assert starts == sorted(starts)
    for sentence in sentences:
        phonemes = sentence.phonemes
        position = sentence.start
        assert text[sentence.start :].startswith(sentence.text)
        assert 3 <= len(phonemes) <= max_phonemes
        assert phonemes[0].symbol == "^"
        assert phonemes[-1].symbol in ".?!,"
        for phoneme, following in pairwise(phonemes):
            assert not (phoneme.symbol in BORDERS and following.symbol in BORDERS)
            assert phoneme.symbol not in ".?!"
            assert following.symbol != "^"
        for p in phonemes:
            assert p.symbol in SYMBOLS[1:]
            assert 0 <= p.start <= p.end <= len(text)
            assert p.start >= position
            position = p.start
            assert (p.word == -1) == (p.symbol in BORDERS)
            assert p.stress == 0 or (p.stress in (1, 2) and p.symbol in VOWELS)
            if p.word >= 0:
                word = sentence.words[p.word]
                assert (p.start, p.end) == (word.start, word.end)
                assert p.start < p.end
                assert word.text == text[p.start : p.end]
        assert {p.word for p in phonemes} - {-1} == set(range(len(sentence.words)))


@settings(max_examples=300, deadline=None)
@given(st.lists(_FRAGMENTS, max_size=12).map("".join))
@example("A" * 500)
@example("1" * 500)
@example("ﬁ" * 100 + "\u0301")
@example("²" * 5)
@example("ʃ ɪŋɡlɪʃ ʰ")
@example("a\u0301\u0302b ' 'n ''")
@example("[[" + "a" * 400 + "]]")
@example("of the " * 100)
def test_sentences_of_any_text_are_valid(text: str) -> None:
    assert_valid(text)


@settings(max_examples=60, deadline=None)
@given(st.lists(_FRAGMENTS, max_size=12).map(" ".join), st.integers(3, 40))
def test_short_sentences_of_any_text_are_valid(text: str, max_phonemes: int) -> None:
    assert_valid(text, max_phonemes)


@pytest.mark.parametrize(
    "text", ["", " \n", "...", "?!", "мир", "🎉", "[[ ]]", "\0", "\ud800", "-"]
)
def test_text_without_speech_is_refused(text: str) -> None:
    with pytest.raises(TextError, match="English"):
        split_sentences(text)


def test_long_sentence_is_split_at_commas_or_conjunctions() -> None:
    text = "the quick brown fox jumps over the lazy dog, " * 12
    sentences, _ = split_sentences(text)
    assert len(sentences) > 1
    assert all(sentence.text.endswith("dog,") for sentence in sentences)
    sentences, _ = split_sentences("the quick brown fox jumps over the lazy dog and " * 12)
    assert all(sentence.words[0].text in ("the", "and") for sentence in sentences)
    assert [w.text for s in sentences for w in s.words] == text.replace(",", " and").split()


@pytest.mark.parametrize(
    "text",
    [
        "It was the best of times, it was the worst of times; Dr. Smith paid $5.20 in 1999. ",
        # text that makes a careless pattern or alignment take quadratic time
        "a", "1", "a-", "[", "\n", "я", "of the ",
    ],
)  # fmt: skip
def test_long_text_takes_linear_time(text: str) -> None:
    started = time.process_time()  # CPU time: other work on the machine does not count
    with contextlib.suppress(TextError):
        split_sentences((text * 100_000)[:100_000])
    assert time.process_time() - started < 8


@given(st.lists(st.integers(1, len(TEXT) - 1), max_size=12))
@settings(max_examples=40, deadline=None)
def test_chunks_give_the_sentences_of_the_whole_text(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(TEXT)]
    chunks = [TEXT[a:b] for a, b in pairwise(edges)]
    whole, skipped = split_sentences(TEXT)
    segments = list(stream_sentences(chunks, "en-us"))
    assert [segment.sentence for segment in segments if segment.sentence] == whole
    assert [part for segment in segments for part in segment.skipped] == skipped


def test_sentence_is_yielded_when_the_next_begins() -> None:
    consumed: list[str] = []

    def chunks() -> Iterator[str]:
        for chunk in ("One thing. ", "Another", " thing. ", "The last"):
            consumed.append(chunk)
            yield chunk

    segments = stream_sentences(chunks(), "en-us")
    first = next(segments).sentence
    assert first is not None
    assert first.text == "One thing."
    assert len(consumed) == 2
    assert [segment.sentence.text for segment in segments if segment.sentence] == [
        "Another thing.",
        "The last",
    ]


def test_text_without_sentence_ends_is_held_back_only_so_long() -> None:
    chunk_count = 0

    def chunks() -> Iterator[str]:
        nonlocal chunk_count
        while True:
            chunk_count += 1
            yield "and so on "

    next(stream_sentences(chunks(), "en-us"))
    assert chunk_count <= MAX_PENDING / len("and so on ") + 2


@pytest.mark.parametrize("text", ["", "\U0001f600", [], ["", " "], ["...", "!"]])
def test_stream_without_speech_is_refused(text: str | list[str]) -> None:
    with pytest.raises(TextError):
        list(stream_sentences(text, "en-us"))


@pytest.mark.parametrize("size", [1, 3, 7])
@pytest.mark.parametrize(
    "text",
    [
        "One <!-- Hidden. Words here. --> two. Three.",
        "See [this. And that](http://x.com/a.b) now. Then go.",
        "---\ntitle: A. B. C\n---\nHello there. Bye.",
        "Hi. <script>var a. b = 1. c</script> Bye now. End.",
        "**Bold. And more.** Then *it. Ended*. So.",
        "Say [[wɪn]] twice. Then [[ɡoʊ]] on.",
        "Known.[1] It is so.[2][3] Yes [a. b] no. Done.",
        'Call <a href="http://a.com/x.y">us. Now</a> please. End.',
        "nega-\ntive words. And an extra-\nordinary day. End.",
    ],
)
def test_marks_split_between_chunks_are_read_as_in_the_whole(text: str, size: int) -> None:
    chunks = [text[at : at + size] for at in range(0, len(text), size)]
    sentences = [part.sentence for part in stream_sentences(chunks, "en-us") if part.sentence]
    streamed, whole = (
        [word.spoken for sentence in some for word in sentence.words]
        for some in (sentences, split_sentences(text)[0])
    )
    assert streamed == whole


def test_stream_of_signs_is_not_kept() -> None:
    chunks = ["Hello there. ", *["?"] * (2 * MAX_PENDING), " The end."]
    segments = list(stream_sentences(chunks, "en-us"))
    spoken = [word.spoken for part in segments if part.sentence for word in part.sentence.words]
    assert spoken == ["Hello", "there", "The", "end"]


def test_chunks_must_be_text() -> None:
    with pytest.raises(UsageError, match="bytes"):
        list(stream_sentences([b"no"], "en-us"))  # type: ignore[list-item]
