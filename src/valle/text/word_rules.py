"""How words are read that only what stands beside them decides: "w/", "Apt 3C", "Tue", "AT&T".

Each function returns the words that are said and the position after them, or None where another
rule reads the word.
"""

from __future__ import annotations

import re

from valle.text import lexicon
from valle.text.abbreviations import verbalize_abbreviation, verbalize_street
from valle.text.expressions import name_short_date, verbalize_expression
from valle.text.roman import verbalize_roman
from valle.text.words import Word

Said = tuple[list[str], int]

_NUMBER_AFTER = re.compile(r" #?\d")
_MEASURES_BY = re.compile(r"(?:\d[\"”″'′]?|[¼-¾⅐-⅞]|\b(?:ft|in|cm|mm|m|km|yd)\.?) $")


_SIGN_BEFORE = re.compile(r"[=+*×−<>≤≥]\s?\d?$")
_SIGN_AFTER = re.compile(r"\s?[=+*×−<>≤≥]\s?[\w(]")


def say_abbreviation(text: str, word: Word) -> Said | None:
    """Read an abbreviation before a period."""
    return verbalize_abbreviation(text, word.letters, word.end)


def say_street(text: str, word: Word) -> Said | None:
    """Read the kind of a street: "Oak St"."""
    return verbalize_street(text, word.start, word.end)


def say_expression(text: str, word: Word) -> Said | None:
    """Read letters and signs as a whole: "f(x)", "NaCl"."""
    return verbalize_expression(text, word.start)


def say_roman_numeral(text: str, word: Word) -> Said | None:
    """Read a Roman numeral."""
    return verbalize_roman(text, word.start, word.end)


def say_short_date(text: str, word: Word) -> Said | None:
    """Read a weekday or a month without its period: "Tue", "Sept"; also "Sat." and "Sun."."""
    if word.after == "." and word.letters not in ("Sat", "Sun"):
        return None
    name = name_short_date(text, word.start, word.end)
    return ([name], word.end + (1 if word.after == "." else 0)) if name else None


def say_numbered(text: str, word: Word) -> Said | None:
    """Read "Apt 3C", "fig 2", "vol 4"."""
    if not _NUMBER_AFTER.match(text, word.end):
        return None
    return [lexicon.BEFORE_NUMBERS[word.key]], word.end


def say_by(text: str, word: Word) -> Said | None:
    """Read the letter between two measures: "8½ x 11", "10 ft x 12 ft"."""
    between = _MEASURES_BY.search(text, max(word.start - 8, 0), word.start)
    return (["by"], word.end) if between else None


def say_variables(text: str, word: Word) -> Said | None:
    """Read letters that stand for numbers: "mc²", "y = mx + b"."""
    if len(word.letters) > 3 or any(char in "aeiou" for char in word.key):
        return None
    if word.after not in lexicon.POWERS:
        before = _SIGN_BEFORE.search(text, max(word.start - 4, 0), word.start)
        if len(word.letters) > 2 or not (before or _SIGN_AFTER.match(text, word.end)):
            return None
    return list(word.letters.upper()), word.end


def say_with(text: str, word: Word) -> Said:
    """Read "w/" and "w/o"."""
    without = text[word.end : word.end + 2].lower() == "/o"
    return ["without" if without else "with"], word.end + (2 if without else 1)


def say_letter_names(_text: str, word: Word) -> Said:
    """Read the letters of "AT&T"."""
    return list(word.letters), word.end


def say_bare_abbreviation(_text: str, word: Word) -> Said:
    """Read an abbreviation that stands without a period."""
    return lexicon.WITHOUT_PERIOD[word.key].split(), word.end
