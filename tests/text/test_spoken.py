"""Tables of everyday strings and how they are read; pauses count where a reading has a comma."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from valle.text.phonemes import parse_ipa
from valle.text.segmentation import split_sentences

TABLES = Path(__file__).parent


def read_table(name: str) -> list[tuple[str, str, str]]:
    """Rows (written, reading, class); "\\n" and "\\u202f" are escapes."""
    rows = []
    for line in (TABLES / name).read_text("utf-8").splitlines():
        written, reading, kind = line.split("\t")
        written = written.replace("\\n", "\n").replace("\\u202f", "\u202f")
        rows.append((written, reading, kind))
    return rows


def read_words(text: str) -> tuple[list[str], set[int]]:
    """The spoken words of a text in small letters, and after how many of them it pauses."""
    words: list[str] = []
    pauses: set[int] = set()
    for sentence in split_sentences(text)[0]:
        counts = []
        for word in sentence.words:
            words += word.spoken.lower().split()
            counts.append(len(words))
        for phoneme, following in zip(
            sentence.phonemes, [*sentence.phonemes[1:], None], strict=True
        ):
            is_end = following is not None and following.symbol in (",", ".", "?", "!")
            if phoneme.word >= 0 and is_end:
                pauses.add(counts[phoneme.word])
    return words, pauses


def find_sounds(text: str, word: str) -> list[list[tuple[str, int]]]:
    """The symbols and stress of every occurrence of a word in a text."""
    return [
        [(phoneme.symbol, phoneme.stress) for phoneme in sentence.phonemes if phoneme.word == index]
        for sentence in split_sentences(text)[0]
        for index, candidate in enumerate(sentence.words)
        if candidate.text.lower() == word.lower()
    ]


def is_pronounced(text: str, word: str, ipa: str) -> bool:
    """Whether a word of the text has the sounds of `ipa`, stress aside."""
    expected = [symbol for symbol, _ in parse_ipa(ipa)]
    return any([symbol for symbol, _ in sounds] == expected for sounds in find_sounds(text, word))


def is_read_as(text: str, reading: str) -> bool:
    """Whether a text is read as one of the alternatives of a reading."""
    alternatives = reading.split(" or ")
    for alternative in [reading, *alternatives]:
        if pronounced := re.fullmatch(r"(.+) = \[\[(.+)\]\]", alternative):
            if is_pronounced(text, pronounced[1], pronounced[2]):
                return True
            continue
        words, pauses = read_words(text)
        expected = alternative.lower().split()
        commas = {i for i, word in enumerate(expected, 1) if word.endswith((",", "|"))}
        if [word.strip(",|.?!") for word in expected] == words and commas <= pauses:
            return True
    return False


@pytest.mark.parametrize(
    ("written", "reading", "kind"), read_table("spoken.tsv") + read_table("everyday_classes.tsv")
)
def test_spoken(written: str, reading: str, kind: str) -> None:
    assert is_read_as(written, reading), (read_words(written), kind)


def test_homographs_are_told_apart_in_95_percent_of_sentences() -> None:
    lines = (TABLES / "homographs.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    wrong = [
        text for text, word, ipa in rows if list(parse_ipa(ipa)) not in find_sounds(text, word)
    ]
    assert len(lines) >= 300
    assert len(wrong) <= 0.05 * len(lines), wrong
