"""Runs of letters as they are written, and what kind of word they may be."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from re import Match

# Invisible and allowed inside words: soft hyphen, zero-width (non-)joiners and spaces.
_HIDDEN = "\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff\u202a-\u202e"
_INVISIBLE = re.compile(f"[{_HIDDEN}]")
# raised and lowered digits, fractions and numbers in circles count as letters to the pattern
_COUNTS = "²³¹¼-¾⁰⁴-⁹₀-₉⅐-↉①-⒛⓪-⓿❶-➓"
_LETTER = rf"[^\W\d_{_COUNTS}][\u0300-\u036f{_HIDDEN}]*"
WORD = re.compile(rf"(?:{_LETTER})+(?:['’](?:{_LETTER})+)*")


@dataclass(frozen=True)
class Word:
    """A run of letters of the text."""

    letters: str  # compatible forms resolved, without invisible characters
    match: Match[str]  # as written
    before: str  # character before it, "" at the beginning
    after: str  # character after it, "" at the end

    @property
    def start(self) -> int:
        """Where it begins in the text."""
        return self.match.start()

    @property
    def end(self) -> int:
        """Where it ends in the text."""
        return self.match.end()

    @property
    def key(self) -> str:
        """Its letters in small letters."""
        return self.letters.lower()


def describe_word(text: str, match: Match[str]) -> Word:
    """Return the word at a match of `WORD`."""
    start, end = match.span()
    letters = match[0]
    if not letters.isascii():
        # "x²": to the pattern every sign that counts is a letter
        numerals = (i for i, c in enumerate(letters) if unicodedata.category(c) == "No")
        end = next((start + i for i in numerals), end)
        match = WORD.match(text, start, end) or match
        end = match.end()
        letters = unicodedata.normalize("NFKC", match[0].replace("’", "'"))
        letters = _INVISIBLE.sub("", letters)
    return Word(letters, match, text[start - 1 : start], text[end : end + 1])


def may_start_address(word: Word) -> bool:
    """Return whether a sign of addresses, versions or initials follows."""
    return word.after in (".", "@", ":", "-", "+", "/", "_") or word.after.isnumeric()


def is_acronym_part(word: Word) -> bool:
    """Capitals next to an ampersand: "AT&T"."""
    letters = word.letters
    is_short = len(letters) < 4 and letters.isascii() and letters.isupper()
    return is_short and "&" in (word.before, word.after)


def is_roman_numeral(word: Word) -> bool:
    """Return whether the letters are those of a Roman numeral."""
    stem = word.letters.removesuffix("'s")
    return len(stem) <= 15 and set(stem) <= set("IVXLCDM")
