"""Numbers, and what contains them (money, dates, times, units), in American English words.

A `to_...` function returns the list of words that are spoken for written digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from re import Match

from valle.text.units import ATTACHED_UNITS, name_unit

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
_MINUS_SIGNS = "-−–"
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_ROMAN_FORM = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")
MONTHS = (
    "January February March April May June July August September October November December"
).split()
_MONTH_NAME = "|".join([*MONTHS, *(rf"{name[:3]}\b\.?" for name in MONTHS), r"Sept\b\.?"])

# fmt: off
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth",
    "nine": "ninth", "twelve": "twelfth",
}
_MAGNITUDES = {
    "k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion",
    "tn": "trillion", "t": "trillion",
}
# singular and plural of the currency, singular and plural of its cents
_CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoins", "", ""),
}
# fmt: on
CURRENCY_SIGNS = "".join(_CURRENCIES)

_MONTHS_BY_PREFIX = {name[:3].lower(): name for name in MONTHS}


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


def _to_signed_number(text: str) -> list[str]:
    minus = ["minus"] if text[0] in _MINUS_SIGNS else []
    return minus + to_number(text.lstrip("+" + _MINUS_SIGNS))


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


def _verbalize_money(match: Match[str]) -> list[str]:
    sign = match["before"] or match["after"]
    singular, plural, cent, cents = _CURRENCIES[sign]
    amount = match["amount"].replace(",", "")
    words = ["minus"] if match["minus"] else []
    magnitude = (match["magnitude"] or "").lower()
    if magnitude:
        return [*words, *to_number(amount), _MAGNITUDES.get(magnitude, magnitude), plural]
    whole, _, cent_digits = amount.partition(".")
    if len(cent_digits) not in (0, 2) or (cent_digits and not cent):
        return [*words, *to_number(amount), plural]
    has_cents = bool(cent_digits.strip("0"))
    if int(whole[-9:] or "0") or len(whole) > 9 or not has_cents:
        words += [*to_number(whole or "0"), singular if whole == "1" else plural]
        words += ["and"] if has_cents else []
    if has_cents:
        words += [*to_cardinal(cent_digits), cent if cent_digits == "01" else cents]
    return words


def _to_day(text: str) -> list[str] | None:
    return to_ordinal(text) if 1 <= int(text) <= 31 else None


def _verbalize_month_first(match: Match[str]) -> list[str] | None:
    day = _to_day(match["day"])
    if day is None:
        return None
    month = _MONTHS_BY_PREFIX[match["month"][:3].lower()]
    return [month, *day, *(to_year(match["year"]) if match["year"] else [])]


def _verbalize_day_first(match: Match[str]) -> list[str] | None:
    day = _to_day(match["day"])
    if day is None:
        return None
    month = _MONTHS_BY_PREFIX[match["month"][:3].lower()]
    article = [] if match["ordinal"] else ["the"]
    year = to_year(match["year"]) if match["year"] else []
    return [*article, *day, "of", month, *year]


def _verbalize_numeric_date(match: Match[str]) -> list[str] | None:
    month, day = int(match["month"]), match["day"]
    if month > 12 >= int(day):  # day first, as most of the world writes it
        month, day = int(day), match["month"]
    ordinal = _to_day(day)
    if ordinal is None or not 1 <= month <= 12:
        return None
    return [MONTHS[month - 1], *ordinal, *to_year(match["year"])]


def _verbalize_time(match: Match[str]) -> list[str] | None:
    hour, minute = int(match["hour"]), int(match["minute"] or "0")
    half = [char.upper() for char in (match["half"] or "") if char.isalpha()]
    if hour > 24 or minute > 59 or (half and hour > 12):
        return None
    words = to_cardinal(match["hour"])
    if minute:
        words += (["oh"] if minute < 10 else []) + to_cardinal(match["minute"])
    elif not half and match["minute"]:
        words += ["hundred"] if hour > 12 or hour == 0 else ["o'clock"]
    if match["second"]:
        second = to_cardinal(match["second"])
        words += ["and", *second, "second" if second == ["one"] else "seconds"]
    return words + half


def _verbalize_phone(match: Match[str]) -> list[str]:
    return (["plus"] if match[0][0] == "+" else []) + spell_digits(match[0])


def _verbalize_range(match: Match[str]) -> list[str]:
    first, last = match["first"], match["last"]
    if len(first) == 4 and len(last) in (2, 4) and "1100" <= first < "2100":
        return [*to_year(first), "to", *(to_year(last) if len(last) == 4 else to_cardinal(last))]
    return [*to_number(first), "to", *to_number(last)]


def _verbalize_measure(match: Match[str]) -> list[str] | None:
    if match["space"] and match["unit"] in ATTACHED_UNITS:
        return None
    name = name_unit(match["unit"], singular=match["amount"] == "1")
    minus = ["minus"] if match[0][0] in _MINUS_SIGNS else []
    return None if name is None else [*minus, *to_number(match["amount"]), *name.split()]


def _verbalize_year(match: Match[str]) -> list[str] | None:
    return to_year(match[0]) if "1100" <= match[0] < "2100" else None


def _verbalize_fraction(match: Match[str]) -> list[str]:
    whole, numerator, denominator = match["whole"], match["numerator"], match["denominator"]
    if (numerator, denominator) in (("24", "7"), ("9", "11")):
        return to_cardinal(numerator) + to_cardinal(denominator)
    return ([*to_cardinal(whole), "and"] if whole else []) + to_fraction(numerator, denominator)


def _verbalize_mixed_number(match: Match[str]) -> list[str]:
    numerator, _, denominator = unicodedata.normalize("NFKC", match["sign"]).partition("⁄")
    return [*to_cardinal(match["whole"]), "and", *to_fraction(numerator, denominator)]


def _verbalize_scientific(match: Match[str]) -> list[str]:
    return [*to_number(match[1]), "times", "ten", "to", "the", *_to_signed_number(match[2])]


_THOUSANDS_COMMAS = r"\d{1,3}(?:,\d{3}){1,12}"
_AMOUNT = rf"(?P<amount>(?:{_THOUSANDS_COMMAS}|\d{{1,40}})(?:\.\d{{1,40}})?|\.\d{{1,40}})"
_MAGNITUDE = r"(?:\s?(?P<magnitude>(?:thousand|million|billion|trillion|mn|bn|tn|[kKmMbBtT])\b))?"
_YEAR = r"(?:,?\s(?P<year>1[0-9]\d\d|20\d\d)(?!\d))?"
_HALF = r"(?P<half>[ap]\.m\.|[aApP][mM]\b|[AP]\.M\.)"
_MINUS = r"(?:(?<![\w.)])[-−–+])?"
_ORDINAL_ENDING = "(?:st|nd|rd|th)"

Verbalizer = Callable[[Match[str]], "list[str] | None"]


def _rule(pattern: str, verbalize: Verbalizer) -> tuple[re.Pattern[str], Verbalizer]:
    return re.compile(pattern), verbalize


# Tried in this order wherever a digit, a sign before a digit or the name of a month stands; a rule
# may decline with None. Every repeat that a later part can refuse is bounded, so no text takes more
# than linear time.
RULES = (
    _rule(
        rf"(?P<minus>[-−])?(?P<before>[{CURRENCY_SIGNS}])(?P<after>)\s?{_AMOUNT}{_MAGNITUDE}",
        _verbalize_money,
    ),
    _rule(
        rf"(?P<minus>)(?P<before>){_AMOUNT}{_MAGNITUDE}\s?(?P<after>[{CURRENCY_SIGNS}])",
        _verbalize_money,
    ),
    _rule(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?!\d)", _verbalize_numeric_date),
    _rule(
        r"(?P<month>\d\d?)([/.-])(?P<day>\d\d?)\2(?P<year>[12]\d{3})(?!\d)",
        _verbalize_numeric_date,
    ),
    _rule(
        rf"(?P<month>{_MONTH_NAME})\s(?P<day>\d\d?)(?:{_ORDINAL_ENDING}|d)?"
        rf"(?![\w:%]|[.,/-]\d){_YEAR}",
        _verbalize_month_first,
    ),
    _rule(
        rf"(?P<day>\d\d?)(?P<ordinal>{_ORDINAL_ENDING}(?:\sof)?)?\s"
        rf"(?P<month>{_MONTH_NAME})(?!\w){_YEAR}",
        _verbalize_day_first,
    ),
    _rule(r"['’]?(\d0|1\d\d0|20\d0)['’]?s(?!\w)", lambda match: to_decade(match[1])),
    _rule(
        rf"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?![\d:])(?:\s?{_HALF})?",
        _verbalize_time,
    ),
    _rule(rf"(?P<hour>\d\d?)(?P<minute>)(?P<second>)\s?{_HALF}", _verbalize_time),
    _rule(
        r"(?:\+?1[-. ])?\(?\d{3}\)?[-. ]\d{3}[-.]\d{4}(?![\w-])|\d{3}-\d{4}(?![\w-])",
        _verbalize_phone,
    ),
    _rule(r"\+\d{1,3}(?:[-. ]\d{1,5}){1,5}(?![\w-])|\+\d{7,15}(?!\d)", _verbalize_phone),
    _rule(r"(\d{1,3}(?:\.\d{1,5}){2,7})(?![\w.]\w)", lambda match: to_version(match[0])),
    _rule(
        rf"{_MINUS}{_AMOUNT}(?P<space>\s?)(?P<unit>%|[a-zA-Zµμ°‰¢′″²³/]{{1,5}})(?!\w)",
        _verbalize_measure,
    ),
    _rule(r"(?P<first>\d{1,15})\s?[-–—]\s?(?P<last>\d{1,15})(?![\w-]|[.,]\d)", _verbalize_range),
    _rule(
        rf"(\d{{1,3}}(?:,\d{{3}})+|\d{{1,40}}){_ORDINAL_ENDING}\b",
        lambda match: to_ordinal(match[1].replace(",", "")),
    ),
    _rule(
        r"(?:(?P<whole>\d{1,9})\s)?(?P<numerator>\d{1,9})[/⁄](?P<denominator>\d{1,9})(?![\d/])",
        _verbalize_fraction,
    ),
    _rule(r"(?P<whole>\d{1,9})\s?(?P<sign>[¼-¾⅐-⅞])", _verbalize_mixed_number),
    _rule(r"(\d{1,9})\s?[x×]\s?(?=\d)", lambda match: [*to_number(match[1]), "by"]),
    _rule(r"(\d{1,9}(?:\.\d{1,9})?)x\b", lambda match: [*to_number(match[1]), "times"]),
    _rule(
        r"(\d{1,9}):(\d{1,9})(?![\d:])",
        lambda match: [*to_number(match[1]), "to", *to_number(match[2])],
    ),
    _rule(r"(\d{1,9}(?:\.\d{1,9})?)[eE]([+-]?\d{1,3})\b", _verbalize_scientific),
    _rule(r"\d{4}(?!\d|[.,]\d)", _verbalize_year),
    _rule(rf"{_MINUS}{_AMOUNT}", lambda match: _to_signed_number(match[0])),
)

# "MP3", "v1.5", "iOS17.4.1": what follows a letter is a number without a unit, and not a date.
_AFTER_LETTER = re.compile(rf"(?:{_THOUSANDS_COMMAS}(?!\d)|\d{{1,40}})(?:\.\d{{1,40}}){{0,7}}")


def verbalize_number(text: str, at: int) -> tuple[list[str], int] | None:
    """Read the number at `at`, with its unit, currency or date.

    Returns:
        Its words and the position after it; None if there is none.
    """
    before = text[at - 1 : at]
    if before.isalnum() and (match := _AFTER_LETTER.match(text, at)):
        if not before.isdecimal():
            return to_number(match[0]), match.end()
        # the rest of a number that is too long to be one
        whole, point, fraction = match[0].partition(".")
        decimals = ["point", *spell_digits(fraction)] if point else []
        return [*spell_digits(whole), *decimals], match.end()
    for pattern, verbalize in RULES:
        match = pattern.match(text, at)
        if match and match.end() > at and (words := verbalize(match)):
            return words, match.end()
    return None
