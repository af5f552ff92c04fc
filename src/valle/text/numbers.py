"""Numbers as American English words, and what has numbers in it: money, dates, times, units."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from re import Match

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


MONTHS = (
    "January February March April May June July August September October November December"
).split()
_MONTH = {name[:3].lower(): name for name in MONTHS} | {"sept": "September"}
_MONTH_NAME = "|".join([*MONTHS, *(rf"{name[:3]}\b\.?" for name in MONTHS), r"Sept\b\.?"])
_CURRENCY = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "", ""),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "", ""),
    "₽": ("ruble", "rubles", "kopeck", "kopecks"),
    "₿": ("bitcoin", "bitcoins", "", ""),
}
SIGNS = "".join(_CURRENCY)
_MINUSES = "-−–"
_SCALE = {
    **{"k": "thousand", "m": "million", "mn": "million", "bn": "billion", "b": "billion"},
    **{"tn": "trillion", "t": "trillion"},
}
# one, many; where the second is missing the first does for both
_UNITS = {
    **{"%": ("percent",), "‰": ("per mille",), "°C": ("degree Celsius", "degrees Celsius")},
    **{"°F": ("degree Fahrenheit", "degrees Fahrenheit"), "°": ("degree", "degrees")},
    **{"¢": ("cent", "cents"), "′": ("foot", "feet"), "″": ("inch", "inches")},
    **{"km/h": ("kilometer per hour", "kilometers per hour"), "ft": ("foot", "feet")},
    **{"kph": ("kilometer per hour", "kilometers per hour"), "mi": ("mile", "miles")},
    **{
        "mph": ("mile per hour", "miles per hour"),
        "m/s": ("meter per second", "meters per second"),
    },
    **{"m²": ("square meter", "square meters"), "km²": ("square kilometer", "square kilometers")},
    **{"m³": ("cubic meter", "cubic meters"), "cm³": ("cubic centimeter", "cubic centimeters")},
    **{"lb": ("pound", "pounds"), "lbs": ("pound", "pounds"), "oz": ("ounce", "ounces")},
    **{"yd": ("yard", "yards"), "yds": ("yard", "yards"), "ha": ("hectare", "hectares")},
    **{"h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours")},
    **{"min": ("minute", "minutes"), "mins": ("minute", "minutes"), "rpm": ("R P M",)},
    **{"sec": ("second", "seconds"), "secs": ("second", "seconds"), "px": ("pixel", "pixels")},
    **{"fps": ("frame per second", "frames per second"), "psi": ("P S I",)},
    **{"kcal": ("kilocalorie", "kilocalories"), "dB": ("decibel", "decibels")},
}
_BASES = {
    **{"m": "meter", "g": "gram", "l": "liter", "L": "liter", "s": "second", "W": "watt"},
    **{"V": "volt", "J": "joule", "Wh": "watt hour", "Hz": "hertz", "B": "byte", "b": "bit"},
    **{"bps": "bit", "iB": "byte"},
}
_PREFIXES = {
    **{"": "", "k": "kilo", "K": "kilo", "M": "mega", "G": "giga", "T": "tera", "m": "milli"},
    **{"c": "centi", "µ": "micro", "μ": "micro", "n": "nano"},
}
# after a space these are more often words or names than units
_ATTACHED = frozenset(("s", "h", "l", "L", "V", "J", "b", "B", "K", "mi", "ha", "′", "″"))


def _unit(sign: str, one: bool) -> str | None:
    """The name of a unit, or None if it is not known as one."""
    if sign in _UNITS:
        return _UNITS[sign][0 if one else -1]
    for size in (1, 0):
        base = _BASES.get(sign[size:])
        if base and sign[:size] in _PREFIXES:
            rate = " per second" if sign.endswith("bps") else ""
            name = _PREFIXES[sign[:size]] + base
            return name + ("" if one or base == "hertz" else "s") + rate
    return None


def number(text: str) -> list[str]:
    """A number with commas between thousands, a point or leading zeros."""
    text = text.replace(",", "")
    if text[0] == "0" and len(text) > 1 and text.isdecimal():
        return digits(text)
    return decimal(text)


def _signed(text: str) -> list[str]:
    return (["minus"] if text[0] in _MINUSES else []) + number(text.lstrip("+" + _MINUSES))


def _money(match: Match[str]) -> list[str] | None:
    sign = match["before"] or match["after"]
    one, many, part_one, part_many = _CURRENCY[sign]
    amount = match["amount"].replace(",", "")
    words = ["minus"] if match["minus"] else []
    scale = (match["scale"] or "").lower()
    if scale:
        return [*words, *number(amount), _SCALE.get(scale, scale), many]
    whole, _, part = amount.partition(".")
    if len(part) not in (0, 2) or (part and not part_one):
        return [*words, *number(amount), many]
    if int(whole[-9:] or "0") or len(whole) > 9 or not part.strip("0"):
        words += [*number(whole or "0"), one if whole == "1" else many]
        words += ["and"] if part.strip("0") else []
    if part.strip("0"):
        words += [*cardinal(part), part_one if part == "01" else part_many]
    return words


def _day(text: str) -> list[str] | None:
    return ordinal(text) if 1 <= int(text) <= 31 else None


def _month_first(match: Match[str]) -> list[str] | None:
    day = _day(match["day"])
    if day is None:
        return None
    month = _MONTH[match["month"].rstrip(".")[:3].lower()]
    return [month, *day, *(year(match["year"]) if match["year"] else [])]


def _day_first(match: Match[str]) -> list[str] | None:
    day = _day(match["day"])
    if day is None:
        return None
    month = _MONTH[match["month"].rstrip(".")[:3].lower()]
    said = [*day, "of", month] if match["th"] else ["the", *day, "of", month]
    return said + (year(match["year"]) if match["year"] else [])


def _numeric_date(match: Match[str]) -> list[str] | None:
    month, day = int(match["month"]), match["day"]
    if month > 12 >= int(day):  # day first, as most of the world writes it
        month, day = int(day), match["month"]
    said = _day(day)
    if said is None or not 1 <= month <= 12:
        return None
    return [MONTHS[month - 1], *said, *year(match["year"])]


def _time(match: Match[str]) -> list[str] | None:
    hour, minute = int(match["hour"]), int(match["minute"] or "0")
    half = [c.upper() for c in (match["half"] or "") if c.isalpha()]
    if hour > 24 or minute > 59 or (half and hour > 12):
        return None
    words = cardinal(match["hour"])
    if minute:
        words += (["oh"] if minute < 10 else []) + cardinal(match["minute"])
    elif not half and match["minute"]:
        words += ["hundred"] if hour > 12 or hour == 0 else ["o'clock"]
    if match["second"]:
        second = cardinal(match["second"])
        words += ["and", *second, "second" if second == ["one"] else "seconds"]
    return words + half


def _phone(match: Match[str]) -> list[str]:
    return (["plus"] if match[0][0] == "+" else []) + digits(match[0])


def _range(match: Match[str]) -> list[str]:
    first, last = match["first"], match["last"]
    if len(first) == 4 and len(last) in (2, 4) and "1100" <= first < "2100":
        return [*year(first), "to", *(year(last) if len(last) == 4 else cardinal(last))]
    return [*number(first), "to", *number(last)]


def _measure(match: Match[str]) -> list[str] | None:
    if match["space"] and match["unit"] in _ATTACHED:
        return None
    name = _unit(match["unit"], match["amount"] == "1")
    sign = ["minus"] if match[0][0] in _MINUSES else []
    return None if name is None else [*sign, *number(match["amount"]), *name.split()]


def _year(match: Match[str]) -> list[str] | None:
    return year(match[0]) if "1100" <= match[0] < "2100" else None


def _fraction(match: Match[str]) -> list[str]:
    whole, over, under = match["whole"], match["over"], match["under"]
    if (over, under) in (("24", "7"), ("9", "11")):
        return cardinal(over) + cardinal(under)
    return ([*cardinal(whole), "and"] if whole else []) + fraction(over, under)


_AMOUNT = r"(?P<amount>(?:\d{1,3}(?:,\d{3}){1,12}|\d{1,40})(?:\.\d{1,40})?|\.\d{1,40})"
_SCALE_WORD = r"(?:\s?(?P<scale>(?:thousand|million|billion|trillion|mn|bn|tn|[kKmMbBtT])\b))?"
_YEAR = r"(?:,?\s(?P<year>1[0-9]\d\d|20\d\d)(?!\d))?"
_HALF = r"(?P<half>[ap]\.m\.|[aApP][mM]\b|[AP]\.M\.)"
_MINUS = r"(?:(?<![\w.)])[-−–+])?"

Rule = tuple[re.Pattern[str], Callable[[Match[str]], "list[str] | None"]]


def _rule(pattern: str, words: Callable[[Match[str]], list[str] | None]) -> Rule:
    return re.compile(pattern), words


def _vulgar(match: Match[str]) -> list[str]:
    over, _, under = unicodedata.normalize("NFKC", match["sign"]).partition("⁄")
    return [*cardinal(match["whole"]), "and", *fraction(over, under)]


def _plain(text: str) -> str:
    return text.replace(",", "")


def _dotted(text: str) -> list[str]:
    """A version or an address: 3.11.2 is three point eleven point two."""
    parts = [cardinal(part) for part in text.split(".")]
    return parts[0] + [word for part in parts[1:] for word in ("point", *part)]


# Tried in this order wherever a digit, a sign before a digit or a month's name stands. Every
# repeat that a later part can refuse is bounded, so no text takes more than linear time.
RULES: tuple[Rule, ...] = (
    _rule(rf"(?P<minus>[-−])?(?P<before>[{SIGNS}])(?P<after>)\s?{_AMOUNT}{_SCALE_WORD}", _money),
    _rule(rf"(?P<minus>)(?P<before>){_AMOUNT}{_SCALE_WORD}\s?(?P<after>[{SIGNS}])", _money),
    _rule(r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)(?!\d)", _numeric_date),
    _rule(r"(?P<month>\d\d?)([/.-])(?P<day>\d\d?)\2(?P<year>[12]\d{3})(?!\d)", _numeric_date),
    _rule(
        rf"(?P<month>{_MONTH_NAME})\s(?P<day>\d\d?)(?:st|nd|rd|th|d)?(?![\w:%]|[.,/-]\d){_YEAR}",
        _month_first,
    ),
    _rule(
        rf"(?P<day>\d\d?)(?P<th>(?:st|nd|rd|th)(?:\sof)?)?\s(?P<month>{_MONTH_NAME})(?!\w){_YEAR}",
        _day_first,
    ),
    _rule(r"['’]?(\d0|1\d\d0|20\d0)['’]?s(?!\w)", lambda m: decade(m[1])),
    _rule(
        rf"(?P<hour>\d\d?):(?P<minute>\d\d)(?::(?P<second>\d\d))?(?![\d:])(?:\s?{_HALF})?", _time
    ),
    _rule(rf"(?P<hour>\d\d?)(?P<minute>)(?P<second>)\s?{_HALF}", _time),
    _rule(r"(?:\+?1[-. ])?\(?\d{3}\)?[-. ]\d{3}[-.]\d{4}(?![\w-])|\d{3}-\d{4}(?![\w-])", _phone),
    _rule(r"\+\d{1,3}(?:[-. ]\d{1,5}){1,5}(?![\w-])|\+\d{7,15}(?!\d)", _phone),
    _rule(r"(\d{1,3}(?:\.\d{1,5}){2,7})(?![\w.]\w)", lambda m: _dotted(m[0])),
    _rule(rf"{_MINUS}{_AMOUNT}(?P<space>\s?)(?P<unit>%|[a-zA-Zµμ°‰¢′″²³/]{{1,5}})(?!\w)", _measure),
    _rule(r"(?P<first>\d{1,15})\s?[-–—]\s?(?P<last>\d{1,15})(?![\w-]|[.,]\d)", _range),
    _rule(r"(\d{1,3}(?:,\d{3})+|\d{1,40})(?:st|nd|rd|th)\b", lambda m: ordinal(_plain(m[1]))),
    _rule(r"(?:(?P<whole>\d{1,9})\s)?(?P<over>\d{1,9})[/⁄](?P<under>\d{1,9})(?![\d/])", _fraction),
    _rule(r"(?P<whole>\d{1,9})\s?(?P<sign>[¼-¾⅐-⅞])", _vulgar),
    _rule(r"(\d{1,9})\s?[x×]\s?(?=\d)", lambda m: [*number(m[1]), "by"]),
    _rule(r"(\d{1,9}(?:\.\d{1,9})?)x\b", lambda m: [*number(m[1]), "times"]),
    _rule(r"(\d{1,9}):(\d{1,9})(?![\d:])", lambda m: [*number(m[1]), "to", *number(m[2])]),
    _rule(
        r"(\d{1,9}(?:\.\d{1,9})?)[eE]([+-]?\d{1,3})\b",
        lambda m: [*number(m[1]), "times", "ten", "to", "the", *_signed(m[2])],
    ),
    _rule(r"\d{4}(?!\d|[.,]\d)", _year),
    _rule(rf"{_MINUS}{_AMOUNT}", lambda m: _signed(m[0])),
)


def figure(text: str, at: int) -> tuple[list[str], int] | None:
    """The words for what stands at `at`, and where it ends; None if it is no figure."""
    for pattern, words in RULES:
        match = pattern.match(text, at)
        if match and match.end() > at:
            said = words(match)
            if said:
                return said, match.end()
    return None
