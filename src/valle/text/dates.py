"""Dates and times as they are read: "Dec. 25, 2024", "12/05", "Mon-Fri", "9am-5pm", "1h 20m"."""

from __future__ import annotations

import re
from re import Match

from valle.text.context import find_previous_word
from valle.text.numbers import (
    MONTHS,
    to_cardinal,
    to_decade,
    to_ordinal,
    to_year,
)
from valle.text.patterns import DASH, HALF, ORDINAL_ENDING, SPACE, Rule, rule

_MONTH_NAME = "|".join([*MONTHS, *(rf"{name[:3]}\b\.?" for name in MONTHS), r"Sept\b\.?"])
_MONTHS_BY_PREFIX = {name[:3].lower(): name for name in MONTHS}
_WEEKDAYS = {
    name[:3].lower(): name
    for name in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
}
_WEEKDAY = r"(?:Mon|Tues?|Wed|Thurs?|Thu|Fri|Sat|Sun)\b\.?"
_YEAR = r"(?:,?\s(?P<year>1[0-9]\d\d|20\d\d)(?!\d|[.,]\d|[-/]\d))?"
# Before a day and month in digits: "due on 12/05".
_DATE_WORDS = frozenset(
    "on by due since until till before after from dated date born died starting ending begins "
    "ends starts between the monday tuesday wednesday thursday friday saturday sunday updated "
    "posted published effective expires deadline".split()
)


def _to_day(text: str) -> list[str] | None:
    return to_ordinal(text) if 1 <= int(text) <= 31 else None


def _name_month(written: str) -> str:
    return _MONTHS_BY_PREFIX[written[:3].lower()]


_COUNTED = re.compile(r"\s+([a-z]+)")


def _verbalize_month_first(match: Match[str]) -> list[str] | None:
    day = _to_day(match["day"])
    if day is None:
        return None
    if find_previous_word(match.string, match.start()).lower() == "in" and not match["ending"]:
        # "In May 5 people came": a month, and then a number of something
        following = _COUNTED.match(match.string, match.end("day"))
        is_counted = following and (following[1].endswith("s") or following[1] in _PLURALS)
        if following and is_counted and following[1] not in ("is", "was", "this", "as", "his"):
            return [_name_month(match["month"]), *to_cardinal(match["day"])]
    if match["last_day"]:
        last = _to_day(match["last_day"])
        day = [*day, "to", *last] if last else day
    year = to_year(match["year"]) if match["year"] else []
    return [_name_month(match["month"]), *day, *year]


_PLURALS = frozenset("people men women children mice feet teeth percent more new of other".split())


def _verbalize_day_first(match: Match[str]) -> list[str] | None:
    day = _to_day(match["day"])
    if day is None:
        return None
    said = find_previous_word(match.string, match.start()).lower() == "the"
    article = [] if match["ordinal"] or said else ["the"]
    year = to_year(match["year"]) if match["year"] else []
    return [*article, *day, "of", _name_month(match["month"]), *year]


def _verbalize_month_range(match: Match[str]) -> list[str]:
    year = to_year(match["year"]) if match["year"] else []
    return [_name_month(match["first"]), "to", _name_month(match["last"]), *year]


def _verbalize_weekday_range(match: Match[str]) -> list[str]:
    first, last = match["first"][:3].lower(), match["last"][:3].lower()
    return [_WEEKDAYS[first], "to", _WEEKDAYS[last]]


def _verbalize_numeric_date(match: Match[str]) -> list[str] | None:
    month, day = int(match["month"]), match["day"]
    if month > 12 >= int(day):  # day first, as most of the world writes it
        month, day = int(day), match["month"]
    ordinal = _to_day(day)
    if ordinal is None or not 1 <= month <= 12:
        return None
    year = match["year"]
    if len(year) == 2:
        year = ("20" if year < "70" else "19") + year
    return [MONTHS[month - 1], *ordinal, *to_year(year)]


_DAY_OF = re.compile(r"\b(?:week|weekend|night|morning|evening|day|afternoon) of $")


def _verbalize_short_date(match: Match[str]) -> list[str] | None:
    """Read a day and month in digits after a word that a date follows, as in American writing."""
    month, day = match["month"], match["day"]
    previous = find_previous_word(match.string, match.start()).lower()
    padded = month[0] == "0" or day[0] == "0"
    if (month, day) == ("9", "11"):
        return None  # the day that is called nine eleven
    names_day = _DAY_OF.search(match.string, max(match.start() - 20, 0), match.start())
    if (
        not padded
        and not names_day
        and previous not in _DATE_WORDS - {"the", "by", "from", "before", "after"}
    ):
        return None
    if int(month) > 12:
        month, day = day, month
    ordinal = _to_day(day)
    return [MONTHS[int(month) - 1], *ordinal] if ordinal and 1 <= int(month) <= 12 else None


def _to_time(hour: str, minute: str | None, half: str | None) -> list[str] | None:
    letters = [char.upper() for char in (half or "") if char.isalpha()]
    if int(hour) > 24 or int(minute or "0") > 59 or (letters and int(hour) > 12):
        return None
    words = to_cardinal(hour)
    if int(minute or "0"):
        assert minute is not None
        words += (["oh"] if int(minute) < 10 else []) + to_cardinal(minute)
    elif not letters and minute:
        words += ["hundred"] if int(hour) > 12 or int(hour) == 0 else ["o'clock"]
    return words + letters


def _verbalize_time(match: Match[str]) -> list[str] | None:
    words = _to_time(match["hour"], match["minute"], None if match["second"] else match["half"])
    if words and match["second"]:
        second = to_cardinal(match["second"])
        words += ["and", *second, "second" if second == ["one"] else "seconds"]
        words += [char.upper() for char in match["half"] or "" if char.isalpha()]
    return words


def _verbalize_time_range(match: Match[str]) -> list[str] | None:
    """Read "9am-5pm", "9:00-17:00", "7-9 p.m.": two times with "to" between them."""
    first = _to_time(match["hour"], match["minute"], match["first_half"])
    last = _to_time(match["last_hour"], match["last_minute"], match["half"])
    return [*first, "to", *last] if first and last else None


def _verbalize_duration(match: Match[str]) -> list[str] | None:
    """Read "1h 20m", "2h30", "3m 20s"."""
    words: list[str] = []
    for value, unit in re.findall(r"(\d+)\s?(h|m|s|)", match[0]):
        following = {"": "minute", "h": "hour", "m": "minute", "s": "second"}[unit]
        words += [*to_cardinal(value), following + ("" if int(value) == 1 else "s")]
    return words


_DECADE = re.compile(r"\d0|1\d\d0|20\d0")
_TIME = r"(?P<hour>\d\d?):(?P<minute>\d\d)"
_FIRST_HALF = rf"(?:{SPACE}?(?P<first_half>[ap]\.m\.|[aApP][mM]\b|[AP]\.M\.))"
DATE_RULES: tuple[Rule, ...] = (
    rule(r"(?P<year>\d{4})[-/](?P<month>\d\d)[-/](?P<day>\d\d)(?!\d)", _verbalize_numeric_date),
    rule(
        r"(?P<month>\d\d?)([/.-])(?P<day>\d\d?)\2(?P<year>[12]\d{3})(?!\d)",
        _verbalize_numeric_date,
    ),
    rule(r"(?P<month>\d\d?)/(?P<day>\d\d?)/(?P<year>\d\d)(?![\d/])", _verbalize_numeric_date),
    rule(
        rf"(?P<first>{_MONTH_NAME}){SPACE}?{DASH}{SPACE}?(?P<last>{_MONTH_NAME})(?!\w){_YEAR}",
        _verbalize_month_range,
    ),
    rule(
        rf"(?P<first>{_WEEKDAY}){SPACE}?{DASH}{SPACE}?(?P<last>{_WEEKDAY})(?!\w)",
        _verbalize_weekday_range,
    ),
    rule(
        rf"(?P<month>{_MONTH_NAME})\s(?P<day>\d\d?)(?P<ending>{ORDINAL_ENDING}|d)?"
        rf"(?:{SPACE}?{DASH}{SPACE}?(?P<last_day>\d\d?)(?:{ORDINAL_ENDING})?)?"
        rf"(?![\w:%]|[.,/-]\d){_YEAR}",
        _verbalize_month_first,
    ),
    rule(
        rf"(?P<day>\d\d?)(?P<ordinal>{ORDINAL_ENDING}(?:\sof)?)?[\s-]"
        rf"(?P<month>{_MONTH_NAME})(?!\w)(?:-(?=\d{{4}}))?{_YEAR}",
        _verbalize_day_first,
    ),
    rule(r"(?P<month>\d\d?)/(?P<day>\d\d?)(?![\d/]|[-.]\d|\s?[a-z]*cup)", _verbalize_short_date),
    rule(
        rf"(?P<year>[12]\d{{3}}){SPACE}?{DASH}{SPACE}?(?=(?:{_MONTH_NAME}|early|mid|late)(?![a-z]))",
        lambda match: [*to_year(match["year"]), "to"],
    ),
    rule(r"['’]?(\d0|1\d\d0|20\d0)['’]?s(?!\w)", lambda match: to_decade(match[1])),
)
TIME_RULES: tuple[Rule, ...] = (
    rule(
        rf"(?P<hour>\d\d?)(?:[:.](?P<minute>\d\d))?{_FIRST_HALF}?{SPACE}?(?:{DASH}|to\b){SPACE}?"
        rf"(?P<last_hour>\d\d?)(?:[:.](?P<last_minute>\d\d))?{SPACE}?{HALF}",
        _verbalize_time_range,
    ),
    rule(
        rf"{_TIME}(?P<first_half>){SPACE}?{DASH}{SPACE}?"
        r"(?P<last_hour>\d\d?):(?P<last_minute>\d\d)(?![\d:])(?P<half>)",
        _verbalize_time_range,
    ),
    rule(rf"{_TIME}(?::(?P<second>\d\d))?(?![\d:])(?:\s?{HALF})?", _verbalize_time),
    rule(
        rf"(?P<hour>\d\d?)(?:\.(?P<minute>\d\d))?(?P<second>)\s?{HALF}",
        _verbalize_time,
    ),
    rule(
        rf"\d{{1,3}}{SPACE}?h{SPACE}?\d{{1,2}}(?:{SPACE}?m(?:{SPACE}?\d\d?{SPACE}?s)?)?(?!\w)",
        _verbalize_duration,
    ),
    rule(rf"\d{{1,3}}{SPACE}?m{SPACE}?\d\d?{SPACE}?s(?!\w)", _verbalize_duration),
)
