"""What attributes of SSML mean: rates, styles of prosody, and how say-as has a text read."""

from __future__ import annotations

import math
import re
from re import Match

from valle.errors import UsageError
from valle.styles import parse_style
from valle.text.delivery import parse_rate
from valle.text.numbers import (
    MONTHS,
    spell_digits,
    to_cardinal,
    to_ordinal,
    to_signed_number,
    to_year,
)

STRENGTHS = {
    "none": 0.0,
    "x-weak": 0.1,
    "weak": 0.25,
    "medium": 0.5,
    "strong": 1.0,
    "x-strong": 2.0,
}
"""Seconds of silence of a break."""
_RATES = {"x-slow": 0.5, "slow": 0.75, "medium": 1.0, "default": 1.0, "fast": 1.25, "x-fast": 1.5}
_FACTOR = re.compile(r"(?P<sign>[+-]?)(?P<number>\d{1,6}(?:\.\d{0,6})?)(?P<percent>%?)")
_RELATIVE = re.compile(r"([+-]\d{1,6}(?:\.\d{0,6})?)(%|st|dB)", re.IGNORECASE)
_STYLES = {"pitch": "pitch", "range": "range", "volume": "energy"}
# What the words stand for, in the units of `valle.styles.Style`; volumes are those of SSML 1.1.
_LEVELS = {
    "pitch": {"x-low": -4.0, "low": -2.0, "medium": 0.0, "high": 2.0, "x-high": 4.0},
    "range": {"x-low": 0.3, "low": 0.6, "medium": 1.0, "high": 1.4, "x-high": 1.8},
    "volume": {"x-soft": -12.0, "soft": -6.0, "medium": 0.0, "loud": 6.0, "x-loud": 12.0},
}
_UNITS = {"pitch": ("st", "%"), "range": ("%",), "volume": ("db",)}

_SIGNS = {
    ".": "dot",
    "-": "dash",
    "_": "underscore",
    "@": "at",
    "#": "hash",
    "/": "slash",
    "\\": "backslash",
    "+": "plus",
    "&": "and",
    "*": "star",
    ":": "colon",
    "%": "percent",
    "=": "equals",
}
_LETTER_A = "[[ˈeɪ]]"  # alone, it would be read as the article
_CARDINAL = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3}){1,10}|\d{1,36})(?:\.\d{1,36})?")
_ORDINAL = re.compile(r"(\d{1,3}(?:,\d{3}){1,10}|\d{1,36})(?:st|nd|rd|th)?", re.IGNORECASE)
_DATE_FORMATS = ("mdy", "dmy", "ymd", "md", "dm", "ym", "my", "d", "m", "y")
_TELEPHONE = re.compile(r"\+|\d+|[^\W\d_]+")
_EXTENSIONS = ("x", "ext", "extension")


def scale_rate(value: str, current: float) -> float:
    """Return the rate within `<prosody rate>`, from 0.25 to 4.

    Args:
        value: A word, which counts by itself; or a percentage, a change in percent or a factor,
            which count from `current`.
        current: The rate around it.

    Raises:
        UsageError: It is not a rate, or out of range.
    """
    match = _FACTOR.fullmatch(value.strip())
    if value.strip() in _RATES:
        rate = _RATES[value.strip()]
    elif match and (match["percent"] or not match["sign"]):
        amount = float(match["number"]) / (100.0 if match["percent"] else 1.0)
        change = {"": amount, "+": 1.0 + amount, "-": 1.0 - amount}[match["sign"]]
        rate = current * change
    else:
        raise UsageError(f"rate={value!r} is not known; use {', '.join(_RATES)}, 120%, +20% or 1.2")
    return parse_rate(f"{max(0.0, rate):.4g}")


def change_style(attribute: str, value: str, style: dict[str, float]) -> dict[str, float]:
    """Return a style as `<prosody>` changes it: fields of `valle.styles.Style`.

    Words count by themselves, and changes from what is around them.

    Args:
        attribute: "pitch", "range" or "volume".
        value: Its value.
        style: The fields around it.

    Raises:
        UsageError: The value is not known, or cannot be spoken.
    """
    value, levels, name = value.strip(), _LEVELS[attribute], _STYLES[attribute]
    relative = _RELATIVE.fullmatch(value)
    usual = levels["medium"]
    if value in levels or value == "default":
        number = levels.get(value, usual)
    elif relative and relative[2].lower() in _UNITS[attribute]:
        number, change = style.get(name, usual), float(relative[1])
        if relative[2] != "%":
            number += change
        elif attribute == "range":
            number *= max(0.0, 1.0 + change / 100.0)
        else:
            number += 12.0 * math.log2(max(0.1, 1.0 + change / 100.0))
    else:
        example = "+6dB" if attribute == "volume" else "+10%"
        raise UsageError(
            f"{attribute}={value!r} cannot be spoken; use {', '.join(levels)}, or a change such as "
            f"{example}"
        )
    others = {other: level for other, level in style.items() if other != name}
    changed = others if number == usual else others | {name: round(number, 3)}
    parse_style(",".join(f"{field}={level:g}" for field, level in changed.items()) or "pitch=0")
    return changed


def verbalize(kind: str, written: str, layout: str = "") -> str:
    """Return how `<say-as interpret-as=KIND>` has a text read, in words.

    Args:
        kind: "characters", "cardinal", "ordinal", "date" or "telephone", or another name of one.
        written: The text, without spaces around it.
        layout: The attribute `format`, which dates have.

    Raises:
        UsageError: The kind is not known, or the text is not one of that kind.
    """
    if kind in ("characters", "spell-out", "verbatim", "digits"):
        return _say_characters(written)
    if kind in ("cardinal", "number"):
        number = _match(_CARDINAL, written, kind, "a number such as 1,250")
        return " ".join(to_signed_number(number[0].replace(",", "")))
    if kind == "ordinal":
        number = _match(_ORDINAL, written, kind, "a whole number such as 21")
        return " ".join(to_ordinal(number[1].replace(",", "")))
    if kind == "date":
        return _say_date(written, layout)
    if kind == "telephone":
        return _say_telephone(written)
    raise UsageError(
        f"interpret-as={kind!r} is not known; use characters, cardinal, ordinal, date or "
        "telephone, or leave the element out: numbers, times and money are read by themselves"
    )


def _match(pattern: re.Pattern[str], written: str, kind: str, example: str) -> Match[str]:
    match = pattern.fullmatch(written)
    if match is None:
        raise UsageError(f"{written[:40]!r} cannot be read as {kind}; give {example}")
    return match


def _say_characters(written: str) -> str:
    words: list[str] = []
    for char in written:
        if char.isdecimal():
            words += spell_digits(char)
        elif not char.isspace():
            words.append(_LETTER_A if char in "aA" else _SIGNS.get(char, char.upper()))
    return " ".join(words)


def _say_date(written: str, layout: str) -> str:
    if layout and layout not in _DATE_FORMATS:
        raise UsageError(f"format={layout!r} is not known; use {', '.join(_DATE_FORMATS)}")
    if any(char.isalpha() for char in written):
        return written  # "July 4, 2026" is read by itself
    numbers = re.findall(r"[0-9]{1,8}", written)
    if not layout:  # ISO 8601, or as Americans write dates
        layout = "ymd" if numbers and len(numbers[0]) > 2 else "mdy"[: len(numbers)]
    if len(numbers) == 1 and len(numbers[0]) == 8 and len(layout) == 3:
        year_at = 4 * (layout != "ymd")
        digits = numbers[0]
        numbers = (
            [digits[:4], digits[4:6], digits[6:]]
            if not year_at
            else [digits[:2], digits[2:4], digits[4:]]
        )
    parts = dict(zip(layout, numbers, strict=False))
    month, day, year = (parts.get(name, "") for name in "mdy")
    is_date = (
        len(numbers) == len(layout)
        and (not month or 1 <= int(month) <= 12)
        and (not day or 1 <= int(day) <= 31)
        and ("y" not in layout or len(year) in (2, 4))
    )
    if not is_date:
        raise UsageError(
            f"{written[:40]!r} is not a date{f' of the format {layout}' if layout else ''}; give "
            "one such as 2026-07-04, or 4/7/2026 with format='dmy'"
        )
    words = [MONTHS[int(month) - 1]] if month else []
    words += to_ordinal(day) if day else []
    if year:
        words += to_year(year) if len(year) == 4 else ["oh"] * (year[0] == "0") + to_cardinal(year)
    return " ".join(words)


def _say_telephone(written: str) -> str:
    groups: list[str] = []
    prefix = ""
    for part in _TELEPHONE.findall(written):
        if part == "+":
            prefix = "plus "
        elif part.lower() in _EXTENSIONS:
            prefix = "extension "
        else:
            groups.append(prefix + (" ".join(spell_digits(part)) if part[0].isdecimal() else part))
            prefix = ""
    if not any(char.isdecimal() for char in written):
        raise UsageError(f"{written[:40]!r} is not a telephone number; give its digits")
    return ", ".join(groups)
