"""Text in pieces gives the sentences of the whole text, as early as they are certain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.errors import TextError, UsageError
from valle.text.segmentation import MAX_PENDING, split_sentences, stream_sentences

TEXT = (
    "Dr. Smith paid $3.50 for it! Did he, really? Yes, on the 3rd of May... \U0001f600 "
    'He said "no more." Then,\n\nafter a while, he left: it was 5.30 p.m. by then. \u4f60\u597d'
)


@given(st.lists(st.integers(1, len(TEXT) - 1), max_size=12))
@settings(max_examples=40, deadline=None)
def test_pieces_say_what_the_whole_says(cuts: list[int]) -> None:
    edges = [0, *sorted(set(cuts)), len(TEXT)]
    pieces = [TEXT[a:b] for a, b in pairwise(edges)]
    whole, skipped = split_sentences(TEXT)
    found = list(stream_sentences(pieces, "en-us"))
    assert [u.sentence for u in found if u.sentence] == whole
    assert [part for u in found for part in u.skipped] == skipped


def test_a_sentence_is_spoken_when_the_next_begins() -> None:
    given_so_far: list[str] = []

    def pieces() -> Iterator[str]:
        for piece in ("One thing. ", "Another", " thing. ", "The last"):
            given_so_far.append(piece)
            yield piece

    spoken = stream_sentences(pieces(), "en-us")
    first = next(spoken).sentence
    assert first is not None and first.text == "One thing." and len(given_so_far) == 2
    assert [u.sentence.text for u in spoken if u.sentence] == ["Another thing.", "The last"]


def test_text_without_an_end_is_not_kept_back_for_ever() -> None:
    taken = 0

    def pieces() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "and so on "

    next(stream_sentences(pieces(), "en-us"))
    assert taken <= MAX_PENDING / len("and so on ") + 2


@pytest.mark.parametrize("text", ["", "\U0001f600", [], ["", " "], ["...", "!"]])
def test_nothing_to_say_is_refused(text: str | list[str]) -> None:
    with pytest.raises(TextError):
        list(stream_sentences(text, "en-us"))


def test_only_text_is_taken() -> None:
    with pytest.raises(UsageError, match="bytes"):
        list(stream_sentences([b"no"], "en-us"))  # type: ignore[list-item]
