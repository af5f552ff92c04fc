"""Numbers in American English words: cardinals, ordinals, years, decimals, fractions.

A `to_...` function returns the list of words that are spoken for written digits.
"""

from __future__ import annotations

import re

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
).split()
_TENS = "_ _ twenty thirty forty fifty sixty seventy eighty ninety".split()
_THOUSANDS = (
    "_ thousand million billion trillion quadrillion quintillion sextillion septillion octillion "
    "nonillion decillion"
).split()
MAX_DIGITS = 3 * len(_THOUSANDS)  # longer numbers are read digit by digit
MINUS_SIGNS = "-−–"
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN_FORM = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
MONTHS = (
    "January February March April May June July August September October November December"
).split()

# fmt: off
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}
# fmt: on


def spell_digits(text: str) -> list[str]:
    """Read the decimal digits of `text` one by one; "007" is zero zero seven."""
    return [_SMALL[int(char)] for char in text if char.isdecimal()]


def to_cardinal(text: str) -> list[str]:
    """Read a whole number in decimal digits of any script: "1234" is one thousand two ..."""
    text = text.lstrip("0") if text.strip("0") else text[:1]
    if len(text) > MAX_DIGITS:
        return spell_digits(text)
    value = int(text)
    if value == 0:
        return ["zero"]
    words: list[str] = []
    for power in range(len(_THOUSANDS) - 1, -1, -1):
        group = value // 1000**power % 1000
        if group:
            words += _below_thousand(group) + ([_THOUSANDS[power]] if power else [])
    return words


def _below_thousand(value: int) -> list[str]:
    hundreds, rest = divmod(value, 100)
    words = [_SMALL[hundreds], "hundred"] if hundreds else []
    if rest >= 20:
        words.append(_TENS[rest // 10])
        rest %= 10
    return [*words, _SMALL[rest]] if rest else words


def to_ordinal(text: str) -> list[str]:
    """Read an ordinal: "21" is twenty first."""
    *words, last = to_cardinal(text)
    if last in _ORDINALS:
        return [*words, _ORDINALS[last]]
    return [*words, last[:-1] + "ieth" if last.endswith("y") else last + "th"]


def to_year(text: str) -> list[str]:
    """Read a year of four digits: nineteen oh five, two thousand, twenty ten."""
    century, rest = int(text[:2]), int(text[2:])
    if century % 10 == 0 and rest < 10:  # 2000 to 2009, 1000 to 1009
        return to_cardinal(text)
    if rest == 0:
        return [*to_cardinal(text[:2]), "hundred"]
    return [*to_cardinal(text[:2]), *(["oh"] if rest < 10 else []), *to_cardinal(text[2:])]


def to_decade(text: str) -> list[str]:
    """Read a decade: "1990" is nineteen nineties, "80" eighties, "1800" eighteen hundreds."""
    *words, last = to_year(text) if len(text) == 4 else to_cardinal(text)
    return [*words, last[:-1] + "ies" if last.endswith("y") else last + "s"]


def to_decimal(text: str) -> list[str]:
    """Read a number with at most one decimal point: "3.14" is three point one four."""
    whole, point, fraction = text.partition(".")
    words = to_cardinal(whole) if whole else ["zero"]
    return words + (["point", *spell_digits(fraction)] if point and fraction else [])


def to_version(text: str) -> list[str]:
    """Read numbers joined by several points: "3.11.2" is three point eleven point two."""
    first, *others = (to_cardinal(part) for part in text.split("."))
    return first + [word for part in others for word in ("point", *part)]


def to_number(text: str) -> list[str]:
    """Read a number without a sign; commas, points and leading zeros are allowed."""
    text = text.replace(",", "")
    if text[0] == "0" and len(text) > 1 and text.isdecimal():
        return spell_digits(text)
    return to_version(text) if text.count(".") > 1 else to_decimal(text)


def to_signed_number(text: str) -> list[str]:
    """Read a number that may have a sign: "-2" is minus two."""
    minus = ["minus"] if text[0] in MINUS_SIGNS else []
    return minus + to_number(text.lstrip("+" + MINUS_SIGNS))


def to_fraction(numerator: str, denominator: str) -> list[str]:
    """Read a fraction: "3", "4" is three quarters; large numbers are read with "over"."""
    if denominator == "2" and len(numerator) < 3:
        return [*to_cardinal(numerator), "half" if numerator == "1" else "halves"]
    if len(denominator) > 2 or not 2 < int(denominator) <= 20 or len(numerator) > 2:
        return [*to_cardinal(numerator), "over", *to_cardinal(denominator)]
    *words, last = ["quarter"] if denominator == "4" else to_ordinal(denominator)
    return [*to_cardinal(numerator), *words, last if numerator == "1" else last + "s"]


def parse_roman(text: str) -> int | None:
    """Return the value of a well-formed Roman numeral in capitals, else None."""
    if not text or not _ROMAN_FORM.fullmatch(text):
        return None
    values = [_ROMAN[char] for char in text]
    following = [*values[1:], 0]
    return sum(-a if a < b else a for a, b in zip(values, following, strict=True))
