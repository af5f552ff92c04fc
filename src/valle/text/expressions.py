"""Expressions of letters and signs that are read as a whole: "f(x)", "NaHCO3", "N/A", "C++"."""

from __future__ import annotations

import re
import unicodedata

from valle.text import lexicon
from valle.text.numbers import MONTHS, to_cardinal

_ELEMENTS = (
    "He|Li|Be|Ne|Na|Mg|Al|Si|Cl|Ar|Ca|Sc|Ti|Cr|Mn|Fe|Co|Ni|Cu|Zn|Ga|Ge|As|Se|Br|Kr|Rb|Sr|Zr|Mo|Ag"
    "|Cd|Sn|Sb|Te|Xe|Cs|Ba|Pt|Au|Hg|Pb|Bi|Ra|Th|Pu|H|B|C|N|O|F|P|S|K|V|Y|I|W|U"
)
_COUNT = "[0-9₀-₉]"
_FORMULA = re.compile(rf"(?:(?:{_ELEMENTS}){_COUNT}{{0,2}}){{2,8}}(?![\w'’]|[.,-]\d)")
_ATOM = re.compile(rf"({_ELEMENTS})({_COUNT}*)")
_PHRASE = re.compile(
    rf"(?:{'|'.join(re.escape(phrase) for phrase in lexicon.PHRASES)})(?![\w/])", re.IGNORECASE
)
# "f(x)", "P(A)", "g(2)": a letter that stands alone is a function
_FUNCTION = re.compile(r"(?P<name>[fghpqFGHPQ])\((?P<argument>[A-Za-z]|-?\d{1,3})\)")
_PLUSES = re.compile(r"(?P<name>[A-Za-z]{1,12})\+\+(?!\+)")
# "H.264", "X.509": the number of a standard
_STANDARD = re.compile(r"(?P<letter>[A-Z])\.(?=\d{3}(?!\d))")
_WORLD_WAR = re.compile(r"WW(?P<number>II?|1|2)(?!\w)")


def verbalize_expression(text: str, at: int) -> tuple[list[str], int] | None:
    """Read an expression that begins with the letter at `at`.

    Returns:
        Its words and the position after it; None if there is none.
    """
    if phrase := _PHRASE.match(text, at):
        return lexicon.PHRASES[phrase[0].lower()].split(), phrase.end()
    if function := _FUNCTION.match(text, at):
        argument = function["argument"]
        minus = ["minus"] if argument[0] == "-" else []
        number = argument.lstrip("-")
        said = to_cardinal(number) if number.isdecimal() else [number.upper()]
        return [function["name"].upper(), "of", *minus, *said], function.end()
    if pluses := _PLUSES.match(text, at):
        name = pluses["name"]
        return [name.upper() if len(name) == 1 else name, "plus", "plus"], pluses.end()
    if standard := _STANDARD.match(text, at):
        return [standard["letter"], "dot"], standard.end()
    if war := _WORLD_WAR.match(text, at):
        return ["World", "War", "one" if war["number"] in ("I", "1") else "two"], war.end()
    return _verbalize_formula(text, at)


def _verbalize_formula(text: str, at: int) -> tuple[list[str], int] | None:
    """Read a chemical formula letter by letter: "H2SO4", "NaCl"."""
    formula = _FORMULA.match(text, at)
    if not formula:
        return None
    has_counts = any(not char.isalpha() for char in formula[0])
    if not has_counts and formula[0] not in lexicon.FORMULAS:
        return None
    words: list[str] = []
    for element, count in _ATOM.findall(formula[0]):
        words += element.upper()
        words += to_cardinal(unicodedata.normalize("NFKC", count)) if count else []
    return words, formula.end()


_WEEKDAYS = {
    short: name
    for name in "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
    for short in (name[:3], name[:4], name[:5])
    if short in ("Mon", "Tue", "Tues", "Wed", "Thu", "Thur", "Thurs", "Fri", "Sat", "Sun")
}
_ALSO_WORDS = frozenset(("Mon", "Wed", "Sat", "Sun", "Jan", "Mar", "Apr", "Jun", "Jul"))
_MONTHS = {name[:3]: name for name in MONTHS if name != "May"} | {"Sept": "September"}
_DATE_AFTER = re.compile(
    r"\.?,?\s(?:(?:at|night|morning|afternoon|evening|through|thru)\b|\d"
    rf"|(?:{'|'.join((*_WEEKDAYS, *_MONTHS, 'May'))})(?![a-z]))"
    rf"|\.?,?\s?(?:&|and|or|[-–/])\s?(?:{'|'.join((*_WEEKDAYS, *_MONTHS))})(?![a-z])"
)
_DATE_BEFORE = re.compile(
    rf"(?:{'|'.join((*_WEEKDAYS, *_MONTHS))})\.?,?\s?(?:&|and|or|to|[-–/])?\s?$"
    r"|\b(?:in|on|since|until|till|by|from|of|late|early|mid|last|next|this|every|through)[\s-]$"
)


def name_short_date(text: str, start: int, end: int) -> str:
    """Return the weekday or month of an abbreviation without a period, such as "Tue", or ""."""
    written = text[start:end]
    name = _WEEKDAYS.get(written) or _MONTHS.get(written, "")
    if not name or written not in _ALSO_WORDS:
        return name
    follows = _DATE_BEFORE.search(text, max(start - 20, 0), start)
    return name if follows or _DATE_AFTER.match(text, end) else ""
