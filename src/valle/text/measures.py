"""Measures, ranges, fractions and arithmetic: "5 km", "10-20", "1/3rd", "5 × 10³"."""

from __future__ import annotations

import re
import unicodedata
from re import Match

from valle.text.context import describes_noun, find_previous_word, follows_article
from valle.text.numbers import (
    MINUS_SIGNS,
    spell_digits,
    to_cardinal,
    to_fraction,
    to_number,
    to_ordinal,
    to_signed_number,
    to_year,
)
from valle.text.patterns import AMOUNT, DASH, MINUS, NUMBER, ORDINAL_ENDING, SPACE, Rule, rule
from valle.text.units import ATTACHED_UNITS, name_unit

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_ELECTRIC = re.compile(r"\s(?:fuse|circuit|outlet|charger|plug|breaker|current|supply|battery)")
# The spoken denominators of "m/s", "$5/month".
_UNIT = (
    r"(?P<unit>[kM]?N·m|[kM]?W·h|[%‰¢′″\"”℃℉]|°[CF]?|[a-zA-Zµμ°Ω]{1,5}[²³]?(?:/[a-zA-Zµμ]{1,6}[²³]?)?|[a-zA-Z]{1,2}[23])"
    r"(?![\w²³])"
)
_TYPE = re.compile(r"\s(?:font|type|text|serif|sans|bold)")
_SQUARE = {"sq": "square", "cu": "cubic", "fl": "fluid", "square": "square", "cubic": "cubic"}


def _clean(amount: str) -> str:
    return "".join(char for char in amount if not char.isspace())


def _verbalize_measure(match: Match[str]) -> list[str] | None:
    text, unit = match.string, match["unit"]
    after = text[match.end() : match.end() + 12]
    is_type = unit == "pt" and _TYPE.match(after)
    if match["space"] and unit in ATTACHED_UNITS and not is_type:
        is_electric = unit in ("A", "V") and (unit == "V" or _ELECTRIC.match(after))
        if not is_electric and not (unit == "in" and after[:1] in (".", "×")):
            return None
    if unit in ('"', "”") and _closes_quotation(match):
        return None
    if unit == "pt" and (not match["space"] or _TYPE.match(after)):
        words = to_number(_clean(match["amount"]))
        return [*words, "point" if match["amount"] == "1" or _TYPE.match(after) else "points"]
    if unit == "B" and not match["space"]:
        return None if _counts_parameters(match) else _say_measure(match, unit)
    return _say_measure(match, unit)


_PARAMETERS = re.compile(r"[\s-](?:model|parameter|weights|version|LLM|checkpoint|variant)", re.I)


def _counts_parameters(match: Match[str]) -> bool:
    """Return whether "7B" is seven billion parameters, or a door, and not bytes."""
    text = match.string
    before = find_previous_word(text, match.start()).rstrip(".").lower()
    return (
        _PARAMETERS.match(text, match.end()) is not None
        or before in _DOORS
        or before in ("llama", "mistral", "gemma", "qwen", "falcon", "phi")
    )


_DOORS = frozenset(
    "exit floor bay box pier lot apt apartment room suite unit gate seat flat row door platform "
    "rm ste no".split()
)


def _say_measure(match: Match[str], unit: str) -> list[str] | None:
    if find_previous_word(match.string, match.start()).rstrip(".").lower() in _DOORS:
        return None
    singular = match["amount"] == "1" or (
        unit != "%" and describes_noun(match.string, match.start(), match.end())
    )
    name = name_unit(unit, singular)
    minus = ["minus"] if match[0][0] in MINUS_SIGNS else []
    return None if name is None else [*minus, *to_number(_clean(match["amount"])), *name.split()]


_INCHES = re.compile(r'\d"')


def _closes_quotation(match: Match[str]) -> bool:
    """Return whether the sign for inches closes a quotation: `"in 1984"`."""
    text, at = match.string, match.start()
    line = text[max(text.rfind("\n", max(at - 200, 0), at) + 1, at - 200) : at]
    if match["unit"] == "”":
        return line.count("“") > line.count("”")
    # a sign after a digit is one of inches too: `10" x 12"`
    return (line.count('"') - len(_INCHES.findall(line))) % 2 == 1


def _verbalize_squared_unit(match: Match[str]) -> list[str] | None:
    """Read "200 sq ft", "12 fl oz"."""
    singular = match["amount"] == "1" or describes_noun(match.string, match.start(), match.end())
    name = name_unit(match["unit"], singular)
    words = to_number(_clean(match["amount"]))
    return [*words, _SQUARE[match["kind"]], *name.split()] if name else None


def _verbalize_measure_range(match: Match[str]) -> list[str] | None:
    """Read "5-10 km", "20–25°C": the unit is said once."""
    unit = match["unit"]
    if match["space"] and unit in ATTACHED_UNITS:
        return None
    if unit in ('"', "”") and _closes_quotation(match):
        return None
    name = name_unit(unit, follows_article(match.string, match.start()))
    first, last = to_number(match["first"]), to_number(match["amount"])
    return [*first, "to", *last, *name.split()] if name else None


def _verbalize_hyphenated_measure(match: Match[str]) -> list[str] | None:
    """Read "a 5-km run": the unit before a noun is in the singular."""
    if match["unit"] in ATTACHED_UNITS - {"in", "V"}:
        return None
    name = name_unit(match["unit"], singular=True)
    return [*to_number(_clean(match["amount"])), *name.split()] if name else None


def _verbalize_feet_and_inches(match: Match[str]) -> list[str]:
    is_one = match["feet"] == "1" or describes_noun(match.string, match.start(), match.end())
    return [
        *to_cardinal(match["feet"]),
        "foot" if is_one else "feet",
        *to_cardinal(match["inches"]),
    ]


def _verbalize_feet_then_inches(match: Match[str]) -> list[str]:
    """Read "6 ft 2 in": both units are said."""
    feet, inches = match["feet"], match["inches"]
    return [
        *to_cardinal(feet),
        "foot" if feet == "1" else "feet",
        *to_cardinal(inches),
        "inch" if inches == "1" else "inches",
    ]


def _verbalize_pressure(match: Match[str]) -> list[str]:
    return [
        *to_cardinal(match[1]),
        "over",
        *to_cardinal(match[2]),
        *"millimeters of mercury".split(),
    ]


def _verbalize_decimal_comma(match: Match[str]) -> list[str] | None:
    """Read "1,5 liters", as most of Europe writes it."""
    amount = [*to_cardinal(match["whole"]), "point", *spell_digits(match["decimals"])]
    if match["name"]:
        return [*amount, match["name"]]
    singular = describes_noun(match.string, match.start(), match.end())
    name = name_unit(match["unit"], singular)
    return [*amount, *name.split()] if name else None


_EQUALS = re.compile(r"\s?=\s?\d")


def _verbalize_range(match: Match[str]) -> list[str]:
    first, last = match["first"], match["last"]
    if _EQUALS.match(match.string, match.end()):
        return [*to_number(first), "minus", *to_number(last)]
    if len(first) == 4 and len(last) in (2, 4) and "1100" <= first < "2100":
        return [*to_year(first), "to", *(to_year(last) if len(last) == 4 else to_cardinal(last))]
    return [*to_number(first), "to", *to_number(last)]


def _verbalize_sequence(match: Match[str]) -> list[str]:
    """Read "1-2-3": a count, or a score of a team."""
    return [word for part in re.findall(r"\d+", match[0]) for word in to_number(part)]


def _verbalize_fraction(match: Match[str]) -> list[str]:
    whole, numerator, denominator = match["whole"], match["numerator"], match["denominator"]
    if not whole and _is_pair(match, int(numerator), int(denominator)):
        return to_cardinal(numerator) + to_cardinal(denominator)
    if denominator == "10" and _RATED.match(match.string, match.end()):
        return [*to_cardinal(numerator), "out", "of", "ten"]
    return ([*to_cardinal(whole), "and"] if whole else []) + to_fraction(numerator, denominator)


def _is_pair(match: Match[str], first: int, second: int) -> bool:
    """Return whether two numbers with a slash are only said: "24/7", "50/50", "a 60/40 split"."""
    if (first, second) in ((24, 7), (9, 11), (20, 20), (80, 20)):
        return True
    if first + second == 100 and first >= 5 and second >= 5 and first % 5 == 0:
        return True
    return _SHARED.match(match.string, match.end()) is not None


_SHARED = re.compile(r"\s(?:split|vision|odds|mix|rule)\b")
_RATED = re.compile(r"\s(?:stars|rating|points|would|from)\b")


def _verbalize_ordinal_fraction(match: Match[str]) -> list[str]:
    """Read "1/3rd", "2/5ths"."""
    return to_fraction(match["numerator"], match["denominator"])


def _verbalize_coefficient(match: Match[str]) -> list[str] | None:
    """Read "2x + 3": a number before a variable, next to a sign of arithmetic."""
    text = match.string
    before = _SIGN_BEFORE.search(text, max(match.start() - 3, 0), match.start())
    if not before and not _SIGN_AFTER.match(text, match.end()):
        return None
    return [*to_number(match[1]), *match[2].upper()]


_SIGN_BEFORE = re.compile(r"[=+*/×<>≤≥(−]\s?$")
_SIGN_AFTER = re.compile(r"\s?[=+*×<>≤≥^²³−]|\s[-–]\s\d")


def _verbalize_mixed_number(match: Match[str]) -> list[str]:
    numerator, _, denominator = unicodedata.normalize("NFKC", match["sign"]).partition("⁄")
    return [*to_cardinal(match["whole"]), "and", *to_fraction(numerator, denominator)]


def _to_power(exponent: str) -> list[str]:
    if exponent in ("2", "3"):
        return ["squared" if exponent == "2" else "cubed"]
    return ["to", "the", *to_signed_number(exponent.translate(_SUPERSCRIPTS))]


def _verbalize_power(match: Match[str]) -> list[str]:
    exponent = (match["caret"] or match["raised"]).translate(_SUPERSCRIPTS)
    return [*to_number(match["base"]), *_to_power(exponent)]


def _verbalize_times_power(match: Match[str]) -> list[str]:
    exponent = (match["caret"] or match["raised"]).translate(_SUPERSCRIPTS)
    return [*to_number(match["factor"]), "times", "ten", *_to_power(exponent)]


_OPERATIONS = {
    "*": "times",
    "×": "by",
    "·": "times",
    "÷": "divided by",
    "/": "divided by",
    "−": "minus",
    "-": "minus",
    "–": "minus",
    "+": "plus",
}


def _verbalize_operation(match: Match[str]) -> list[str] | None:
    """Read a number and the sign of arithmetic between it and the next: "3 * 4", "10 / 2"."""
    name = _OPERATIONS[match["sign"]]
    if match["sign"] in "-–" and not _EQUATION.match(match.string, match.end()):
        return None
    return [*to_signed_number(match["number"]), *name.split()]


# "5 - 3 = 2" is arithmetic, "10 - 20" a range
_EQUATION = re.compile(
    rf"{SPACE}?\d[\d.,]{{0,20}}(?:{SPACE}[-+*/×÷−]{SPACE}\d[\d.,]{{0,20}}){{0,4}}{SPACE}?(?:=|is\b|equals\b)"
)


def _verbalize_scientific(match: Match[str]) -> list[str]:
    return [*to_number(match[1]), "times", "ten", "to", "the", *to_signed_number(match[2])]


def _verbalize_score(match: Match[str]) -> list[str]:
    return [*to_number(match[1]), "to", *to_number(match[2])]


def _verbalize_thousands(match: Match[str]) -> list[str]:
    return to_cardinal(_clean(match[0]))


_RAISED = r"(?:\^\(?(?P<caret>[-−]?\d{1,3})\)?|(?P<raised>[⁻⁺]?[⁰¹²³⁴-⁹]{1,3}))"
_RANGE_END = r"(?![\w-]|[.,]\d)"
_UNIT_NAME = (
    r"(?P<name>(?:kilo|centi|milli|deci)?(?:met|lit)(?:er|re)s?|(?:kilo|milli)?grams?|percent|degrees"
    r"|hours?|minutes?|seconds?|miles?|million|billion|euros?|times|points?)\b"
)
MEASURE_RULES: tuple[Rule, ...] = (
    rule(
        rf"(?P<whole>\d{{1,9}}),(?P<decimals>\d{{1,2}}){SPACE}?(?:{_UNIT_NAME}|{_UNIT})",
        _verbalize_decimal_comma,
    ),
    rule(rf"(\d{{2,3}})/(\d{{2,3}}){SPACE}?mmHg\b", _verbalize_pressure),
    rule(
        rf"(?P<feet>\d{{1,3}}){SPACE}?(?:ft\.?|feet),?{SPACE}(?P<inches>\d{{1,2}}){SPACE}?(?:in\b\.?|inches|\")",
        _verbalize_feet_then_inches,
    ),
    rule(
        r"(\d{1,3})['’](?=\s(?:tall|wide|long|high|deep|across|x|×|by)\b)",
        lambda match: [*to_cardinal(match[1]), "foot" if match[1] == "1" else "feet"],
    ),
    rule(
        rf"(?P<feet>\d{{1,2}}){SPACE}?(?P<sign>['’′]){SPACE}?(?P<inches>\d{{1,2}})(?:[\"”″]|'')?(?![\w'’])",
        _verbalize_feet_and_inches,
    ),
    rule(
        rf"{AMOUNT}{SPACE}?(?P<kind>sq|cu|fl)\.?{SPACE}(?P<unit>ft|mi|in|yd|m|km|cm|oz)\b\.?(?<!oz\.)",
        _verbalize_squared_unit,
    ),
    rule(
        rf"(?P<first>{NUMBER}){SPACE}?(?:%|°)?{SPACE}?{DASH}{SPACE}?"
        rf"(?P<amount>{NUMBER})(?P<space>{SPACE}?){_UNIT}",
        _verbalize_measure_range,
    ),
    rule(rf"{AMOUNT}-{_UNIT}(?=[\s-][^\W\d_])", _verbalize_hyphenated_measure),
    rule(rf"{MINUS}{AMOUNT}(?P<space>\s?){_UNIT}", _verbalize_measure),
)
RANGE_RULES: tuple[Rule, ...] = (
    rule(rf"(?P<factor>{NUMBER}){SPACE}?[×x*·]{SPACE}?10{_RAISED}(?!\w)", _verbalize_times_power),
    rule(rf"(?P<base>{NUMBER}){_RAISED}(?!\w)", _verbalize_power),
    rule(r"\d{1,2}(?:-\d{1,2}){2,5}(?![\w-])", _verbalize_sequence),
    rule(
        rf"(?P<number>{MINUS}{NUMBER}){SPACE}(?P<sign>[-−–+*/÷·])(?={SPACE}[-−(]?[\d.])",
        _verbalize_operation,
    ),
    rule(
        rf"(?P<number>{NUMBER})(?P<sign>[*÷])(?=\d)",
        _verbalize_operation,
    ),
    rule(rf"(?P<first>\d{{1,15}})(\s?){DASH}\2(?P<last>\d{{1,15}}){_RANGE_END}", _verbalize_range),
    rule(
        rf"(?P<first>\d{{1,9}}\.\d{{1,9}}|\d{{1,3}}(?:,\d{{3}}){{1,4}})(\s?){DASH}\2"
        rf"(?P<last>{NUMBER}){_RANGE_END}",
        lambda match: [*to_number(match["first"]), "to", *to_number(match["last"])],
    ),
    rule(
        rf"(\d{{1,3}}(?:,\d{{3}}){{1,12}}|\d{{1,40}}){ORDINAL_ENDING}\b",
        lambda match: to_ordinal(match[1].replace(",", "")),
    ),
    rule(
        rf"(?P<numerator>\d{{1,3}})/(?P<denominator>\d{{1,3}}){ORDINAL_ENDING}s?\b",
        _verbalize_ordinal_fraction,
    ),
    rule(
        rf"(?P<numerator>\d{{1,2}})/(?P<denominator>\d{{1,2}}){SPACE}?[-–]{SPACE}?(?=\d)",
        lambda match: [*to_fraction(match["numerator"], match["denominator"]), "to"],
    ),
    rule(
        rf"(?P<first>\d{{1,3}}){SPACE}?{DASH}{SPACE}?(?P<last>\d{{1,3}}(?:\.\d)?)x(?!\w)",
        lambda match: [*to_cardinal(match["first"]), "to", *to_number(match["last"]), "times"],
    ),
    rule(
        r"(?:(?P<whole>\d{1,9})[\s-])?(?P<numerator>\d{1,9})[/⁄](?P<denominator>\d{1,9})(?![\d/])",
        _verbalize_fraction,
    ),
    rule(r"(?P<whole>\d{1,9})\s?(?P<sign>[¼-¾⅐-⅞])", _verbalize_mixed_number),
    rule(r"(\d{1,9})\s?[x×]\s?(?=\d)", lambda match: [*to_number(match[1]), "by"]),
    rule(r"(\d{1,9}(?:\.\d{1,9})?)([abcnkprtxyz]{1,2})(?![\w'’.])", _verbalize_coefficient),
    rule(r"(\d{1,9}(?:\.\d{1,9})?)x\b", lambda match: [*to_number(match[1]), "times"]),
    rule(r"(\d{1,9}):(\d{1,9})(?![\d:])", _verbalize_score),
    rule(r"(\d{1,9}(?:\.\d{1,9})?)[eE]([+-]?\d{1,3})\b", _verbalize_scientific),
    rule(
        rf"\d{{1,3}}(?:{SPACE}\d{{3}}){{2,8}}(?!\d)|\d{{1,3}}(?:[\u2009\u202f]\d{{3}}){{1,8}}(?!\d)",
        _verbalize_thousands,
    ),
    rule(r"\d{1,3}(?:\.\d{3}){2,8}(?![\d.])", lambda match: to_cardinal(match[0].replace(".", ""))),
)


def say_digits(match: Match[str]) -> list[str]:
    """Read digits one by one, with a plus before them."""
    return (["plus"] if match[0][0] == "+" else []) + spell_digits(match[0])
