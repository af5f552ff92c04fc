"""Which rule reads a number: money, dates, times, codes, measures, ranges, plain numbers."""

from __future__ import annotations

import re

from valle.text.codes import CODE_RULES, LETTER_RULES, YEAR_RULES, say_number_of_name
from valle.text.dates import DATE_RULES, TIME_RULES
from valle.text.measures import MEASURE_RULES, RANGE_RULES
from valle.text.money import MONEY_RULES
from valle.text.numbers import spell_digits, to_number, to_signed_number
from valle.text.patterns import AMOUNT, MINUS, THOUSANDS_COMMAS, rule

# Tried in this order wherever a digit, a sign before a digit or the name of a month stands; a rule
# may decline with None.
RULES = (
    *MONEY_RULES,
    *DATE_RULES,
    *TIME_RULES,
    *CODE_RULES,
    *MEASURE_RULES,
    *LETTER_RULES,
    *RANGE_RULES,
    *YEAR_RULES,
    rule(rf"{MINUS}{AMOUNT}", lambda match: to_signed_number(re.sub(r"\s", "", match[0]))),
)

# "MP3", "v1.5", "iOS17.4.1": what follows a letter is a number without a unit, and not a date.
_AFTER_LETTER = re.compile(rf"(?:{THOUSANDS_COMMAS}(?!\d)|\d{{1,40}})(?:\.\d{{1,40}}){{0,7}}")


def verbalize_number(text: str, at: int) -> tuple[list[str], int] | None:
    """Read the number at `at`, with its unit, currency or date.

    Returns:
        Its words and the position after it; None if there is none.
    """
    before = text[at - 1 : at]
    if (before.isalpha() or before in ("-", ".")) and (number := say_number_of_name(text, at)):
        return number
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
