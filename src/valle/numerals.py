"""Numbers as American English words: cardinals, ordinals, years, fractions, Roman numerals."""

from __future__ import annotations

import re

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_SCALES = (
    "_ thousand million billion trillion quadrillion quintillion sextillion septillion octillion "
    "nonillion decillion"
).split()
MAX_DIGITS = 3 * len(_SCALES)  # longer numbers are read digit by digit
_ORDINALS = {
    **{"one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth"},
    **{"nine": "ninth", "twelve": "twelfth"},
}
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN_FORM = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


def digits(text: str) -> list[str]:
    """The digits of `text` one by one: "007" is zero zero seven. Other characters are left out."""
    return [_SMALL[int(c)] for c in text if c.isdecimal()]


def _below_thousand(number: int) -> list[str]:
    hundreds, rest = divmod(number, 100)
    words = [_SMALL[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS[rest // 10])
        rest %= 10
    return [*words, _SMALL[rest]] if rest else words


def cardinal(text: str) -> list[str]:
    """A whole number written in decimal digits of any script: "1234" is one thousand two ..."""
    text = text.lstrip("0") if text.strip("0") else text[:1]
    if len(text) > MAX_DIGITS:
        return digits(text)
    number = int(text)
    if number == 0:
        return ["zero"]
    words: list[str] = []
    for power in range(len(_SCALES) - 1, -1, -1):
        group = number // 1000**power % 1000
        if group:
            words += _below_thousand(group) + ([_SCALES[power]] if power else [])
    return words


def ordinal(text: str) -> list[str]:
    """The place a whole number stands for: "21" is twenty first."""
    *words, last = cardinal(text)
    if last in _ORDINALS:
        return [*words, _ORDINALS[last]]
    return [*words, last[:-1] + "ieth" if last.endswith("y") else last + "th"]


def year(text: str) -> list[str]:
    """A year of four digits as it is said: nineteen oh five, two thousand, twenty ten."""
    century, rest = int(text[:2]), int(text[2:])
    if century % 10 == 0 and rest < 10:  # 2000 to 2009, 1000 to 1009
        return cardinal(text)
    if rest == 0:
        return [*cardinal(text[:2]), "hundred"]
    return [*cardinal(text[:2]), *(["oh"] if rest < 10 else []), *cardinal(text[2:])]


def decade(text: str) -> list[str]:
    """Years in the plural: "1990" is nineteen nineties, "80" eighties, "1800" eighteen hundreds."""
    *words, last = year(text) if len(text) == 4 else cardinal(text)
    return [*words, last[:-1] + "ies" if last.endswith("y") else last + "s"]


def decimal(text: str) -> list[str]:
    """A number with at most one point: "3.14" is three point one four."""
    whole, point, part = text.partition(".")
    words = cardinal(whole) if whole else ["zero"]
    return words + (["point", *digits(part)] if point and part else [])


def fraction(over: str, under: str) -> list[str]:
    """Three quarters for "3", "4"; large numbers are said with "over"."""
    if under == "2" and len(over) < 3:
        return [*cardinal(over), "half" if over == "1" else "halves"]
    if len(under) > 2 or not 2 < int(under) <= 20 or len(over) > 2:
        return [*cardinal(over), "over", *cardinal(under)]
    *words, last = ["quarter"] if under == "4" else ordinal(under)
    return [*cardinal(over), *words, last if over == "1" else last + "s"]


def roman(text: str) -> int | None:
    """The value of a well-formed Roman numeral in capitals, else None."""
    if not text or not _ROMAN_FORM.fullmatch(text):
        return None
    values = [_ROMAN[c] for c in text]
    following = [*values[1:], 0]
    return sum(-a if a < b else a for a, b in zip(values, following, strict=True))
