"""Every word of a book is spoken or left out for a reason, and sentences keep who they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from valle.books.document import Block, Book, Chapter, find_words
from valle.books.planning import Plan, plan_book
from valle.books.reader import ReadingChoices, read_book
from valle.errors import TextError
from valle.text.reading import Reading

ALICE = Path(__file__).parent / "alice.txt"


def plan(*chapters: str, plain: bool = False) -> Plan:
    blocks = [
        [
            Block("rule" if text == "***" else "paragraph", "" if text == "***" else text)
            for text in chapter.split("\n\n")
        ]
        for chapter in chapters
    ]
    book = Book("B", "A", [Chapter(f"C{n}", each) for n, each in enumerate(blocks, 1)])
    return plan_book(book, "en-us", Reading(True), plain)


def test_every_word_of_a_whole_book_is_accounted_for() -> None:
    """Counted in the file itself, by other means than those under test."""
    source = ALICE.read_text("utf-8")
    book = read_book(ALICE, ReadingChoices())
    result = plan_book(book, "en-us", Reading(True), False)
    assert len(book.chapters) == 13
    assert book.chapters[12].title == "CHAPTER XII. Alice's Evidence"
    assert result.unaccounted == []
    in_source = re.findall(r"[a-z0-9]+", source.lower())
    spoken = " ".join(sentence.text for sentence in result.sentences)
    left_out = " ".join(omission.text for omission in result.omissions)
    # A word that is hyphenated at the end of a line is one word in the book, and two in the file.
    joined = re.findall(r"[a-z0-9]+", re.sub(r"-\s+", "-", f"{spoken} {left_out}".lower()))
    assert "".join(joined) == "".join(in_source)
    assert result.spoken == result.words > 26_000


def test_sentences_keep_quotes_paragraphs_and_rules() -> None:
    result = plan("\u201cHello.\u201d He left.\n\n***\n\nThen.")
    assert [s.text for s in result.sentences] == ["\u201cHello.\u201d", "He left.", "Then."]
    assert [s.starts_paragraph for s in result.sentences] == [True, False, True]
    assert [s.ends_scene for s in result.sentences] == [False, True, False]


def test_tags_direct_sentences_and_are_no_words() -> None:
    result = plan("[voice:Bob]Hello there.[/voice] Well, [rate:1.5]so.[/rate] [pause:3s]\n\nYes.")
    voices = [(s.text, s.voice, s.rate, s.pause_after) for s in result.sentences]
    assert voices[0] == ("Hello there.", "Bob", 1.0, None)
    assert ("so.", None, 1.5, 3.0) in voices
    assert result.words == result.spoken == 5
    with pytest.raises(TextError, match=r"chapter 1, 'C1': there is no tag \[laughs\]"):
        plan("He [laughs] again.")
    assert plan("He [laughs] again.", plain=True).words == 3


def test_a_sentence_stays_itself_when_others_change() -> None:
    before = plan("One came. Two came. One came.")
    after = plan("New here. One came. Two went. One came.")
    ids = {s.id: s.text for s in before.sentences}
    assert len(ids) == 3
    assert [s.id in ids for s in after.sentences] == [False, True, False, True]


def test_what_cannot_be_spoken_is_listed_with_its_chapter() -> None:
    result = plan("Hello 你好 there.", "***\n\n※")
    assert result.unaccounted == []
    assert any(o.text == "你好" and o.where == "C1" for o in result.omissions)
    assert result.words == result.spoken + 1


def test_long_sentences_are_one() -> None:
    text = "It went on, " * 60 + "and ended."
    assert [s.text for s in plan(text).sentences] == [text]


def test_words_are_found() -> None:
    text = "Don't stop: 3.5 naïve_x"
    assert [text[a:b] for a, b in find_words(text)] == ["Don't", "stop", "3", "5", "naïve", "x"]
