"""Runs of letters as they are written, and what kind of word they may be."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from re import Match

from valle.text import lexicon
from valle.text.numbers import MONTHS

# Invisible and allowed inside words: soft hyphen, zero-width (non-)joiners and spaces.
_HIDDEN = "\u00ad\u200b-\u200f\u2060\ufe0e\ufe0f\ufeff\u202a-\u202e"
_INVISIBLE = re.compile(f"[{_HIDDEN}]")
# raised and lowered digits, fractions and numbers in circles count as letters to the pattern
_COUNTS = "²³¹¼-¾⁰⁴-⁹₀-₉⅐-↉①-⒛⓪-⓿❶-➓"
_LETTER = rf"[^\W\d_{_COUNTS}][\u0300-\u036f{_HIDDEN}]*"
ROMAN_ORDINAL = re.compile(r"([IVXLC]{2,15})(?:th|st|nd|rd)")  # "XVIIIth"
_RUN = re.compile(r"(.)\1{2,}")
WORD = re.compile(rf"(?:{_LETTER})+(?:['’](?:{_LETTER})+)*")


_PLAIN_AFTER = frozenset((" ", ",", "\n", ";", "!", "?", ""))
_DATE_PREFIXES = frozenset([month[:3] for month in MONTHS] + "Mon Tue Wed Thu Fri Sat Sun".split())
_RULED = frozenset(
    (*lexicon.STREETS, *lexicon.WITHOUT_PERIOD, *lexicon.INTERJECTIONS, *lexicon.NUMBERED_BARE)
)


@dataclass(frozen=True)
class Word:
    """A run of letters of the text."""

    letters: str  # compatible forms resolved, without invisible characters
    key: str  # its letters in small letters
    match: Match[str]  # as written
    before: str  # character before it, "" at the beginning
    after: str  # character after it, "" at the end

    @property
    def squeezed(self) -> str:
        """Its small letters, each at most twice in a row: "hmmmm" is "hmm"."""
        is_long = self.key[-1:] == self.key[-2:-1]  # most words need no search
        return _RUN.sub(r"\1\1", self.key) if is_long else self.key

    @property
    def start(self) -> int:
        """Where it begins in the text."""
        return self.match.start()

    @property
    def end(self) -> int:
        """Where it ends in the text."""
        return self.match.end()


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
    return Word(letters, letters.lower(), match, text[start - 1 : start], text[end : end + 1])


def is_plain(word: Word) -> bool:
    """Return whether no rule but that for English can apply: most words of most texts."""
    letters = word.letters
    return (
        len(letters) > 3
        and letters.isascii()
        and letters.islower()
        and word.after in _PLAIN_AFTER
        and letters[-1] != letters[-2]
        and letters not in _RULED
    )


def may_start_address(word: Word) -> bool:
    """Return whether a sign of addresses, versions or initials follows."""
    return word.after in (".", "@", ":", "-", "+", "/", "_") or word.after.isnumeric()


def may_start_date(word: Word) -> bool:
    """Return whether it may be a month or a weekday, in full or short."""
    return word.letters[:3] in _DATE_PREFIXES


def may_start_expression(word: Word) -> bool:
    """Return whether a sign or a digit follows, or capitals are in the word."""
    letters = word.letters
    return (
        word.after in ("/", "(", "+", ".", ";", "-", "#")
        or word.after.isnumeric()
        or (len(letters) < 6 and letters[0].isupper() and letters[-1] != letters[-1].lower())
        or (len(letters) < 6 and any(char.isupper() for char in letters[1:]))
    )


def is_acronym_part(word: Word) -> bool:
    """Capitals next to an ampersand: "AT&T"."""
    letters = word.letters
    is_short = len(letters) < 4 and letters.isascii() and letters.isupper()
    return is_short and "&" in (word.before, word.after)


def is_roman_numeral(word: Word) -> bool:
    """Return whether the letters are those of a Roman numeral."""
    stem = word.letters.removesuffix("'s")
    if ordinal := ROMAN_ORDINAL.fullmatch(stem):
        stem = ordinal[1]
    return len(stem) <= 15 and set(stem) <= set("IVXLCDM")
