"""Numbers that name something, and do not count: phones, codes, products, years, magnitudes."""

from __future__ import annotations

import re
from re import Match

from valle.text.context import FUNCTION_WORDS, find_previous_word
from valle.text.measures import say_digits
from valle.text.money import MAGNITUDES
from valle.text.numbers import (
    spell_digits,
    to_cardinal,
    to_decade,
    to_number,
    to_version,
    to_year,
)
from valle.text.patterns import NUMBER, ORDINAL_ENDING, SPACE, Rule, rule

# Numbers after these are said digit by digit.
_CODE_WORDS = frozenset(
    "pin isbn issn code zip passcode password ssn otp iban sku ein extension ext imei ean upc "
    "vin postcode combination".split()
)
# Between a word for a code and the code itself.
_CODE_LINK = re.compile(
    r"(?:^|\W)(pin|isbn(?:-1[03])?|issn|(?:zip|area|access|security|gate|door|entry|post(?:al)?|country)?\s?code|passcode|password|otp|ssn|"
    r"zip|combination|imei|serial number|account number|tracking number|confirmation number|"
    r"phone number|extension|ext\.?|ending in)"
    r"(?:\s(?:number|code))?(?:\s?(?:is|was|:|=|#|no\.?)){0,2}[\s#]*$",
    re.I,
)
# Numbers after these names of products and lines are said in pairs: seven forty seven.
_PRODUCTS = frozenset(
    "call dial text "
    "boeing rtx gtx rx peugeot mazda bmw porsche radeon geforce ryzen xeon epyc core route "
    "highway flight interstate airbus embraer bombardier nokia fiat ferrari volvo saab "
    "xbox error http form "
    "thinkpad inspiron latitude xps nikon canon eos leica area us i threadripper quadro "
    "tesla arc room suite apartment rm hp lexus infiniti audi hotel unit bus series".split()
)
_YEAR_WORDS = frozenset(
    "in since from until till by of before after around circa about year years to during between "
    "early late mid through spring summer autumn fall winter dated dates and or the january "
    "february march april may june july august september october november december copyright "
    "c ca class".split()
)
_COUNTED = re.compile(rf"{SPACE}([a-z]{{2,20}})")
# Words in -s after a year that are not counted things, and plurals without an s.
_NOT_COUNTED = frozenset(
    "was is has as this its his us pass cross always perhaps towards besides series across "
    "census olympics elections games thus sales plus minus versus miss less unless does goes "
    "saw says its news edition".split()
)
_IRREGULAR_PLURALS = frozenset(
    "people men women children feet mice teeth sheep fish dollars percent deaths".split()
)


def _counts_something(match: Match[str]) -> bool:
    """Return whether a number of four digits counts: "1984 books", not "in 1984 books were"."""
    following = _COUNTED.match(match.string, match.end())
    if not following:
        return False
    word = following[1]
    before = find_previous_word(match.string, match.start()).lower()
    if before in _YEAR_WORDS - {"of", "about", "around", "the", "and", "or", "to", "from", "by"}:
        return False
    is_plural = word in _IRREGULAR_PLURALS or (
        word.endswith("s") and not word.endswith("ss") and word not in _NOT_COUNTED
    )
    return is_plural and word not in FUNCTION_WORDS


def _verbalize_year(match: Match[str]) -> list[str] | None:
    text = match[0]
    if "1100" <= text < "2100":
        return to_cardinal(text) if _counts_something(match) else to_year(text)
    if "1000" < text < "1100":
        before = find_previous_word(match.string, match.start()).lower()
        is_year = before in _YEAR_WORDS - {"of", "about", "around", "the", "and", "or", "to", "by"}
        return to_year(text) if is_year and not _counts_something(match) else None
    return None


def _verbalize_labelled_code(match: Match[str]) -> list[str] | None:
    """Read "PIN is 4821", "ISBN 978-0-14-043908-4", "ZIP code 02139" digit by digit."""
    start = match.start()
    if not _CODE_LINK.search(match.string, max(start - 40, 0), start):
        return None
    return [*spell_digits(match[0]), *(["X"] if match[0][-1] == "X" else [])]


def say_pairs(digits: str) -> list[str]:
    """Read the number of a product: 747 is seven forty seven, 4090 forty ninety."""
    if len(digits) == 3 and digits[1:] != "00" and digits[0] != "0":
        rest = ["oh", *to_cardinal(digits[2])] if digits[1] == "0" else to_cardinal(digits[1:])
        return [*to_cardinal(digits[0]), *rest]
    if len(digits) == 4 and digits[2:] != "00" and digits[0] != "0":
        rest = ["oh", *to_cardinal(digits[3])] if digits[2] == "0" else to_cardinal(digits[2:])
        return [*to_cardinal(digits[:2]), *rest]
    if len(digits) == 4 and digits[1:] != "000" and digits[0] != "0":
        return [*to_cardinal(digits[:2]), "hundred"]
    return to_cardinal(digits)


_PRODUCT_WORD = re.compile(r"([A-Za-z]+)[\s-]$")


def _verbalize_product(match: Match[str]) -> list[str] | None:
    start = match.start()
    before = _PRODUCT_WORD.search(match.string, max(start - 20, 0), start)
    if not before or before[1].lower() not in _PRODUCTS:
        return None
    if before[1].lower() in (
        "us",
        "i",
        "core",
        "bus",
        "area",
        "tesla",
        "arc",
        "hotel",
        "unit",
        "series",
        "latitude",
        "canon",
        "form",
    ):
        is_name = before[1][0].isupper() and before[1] != "I"
        if not is_name or before[1] in ("Us",):
            return None
    if before[1].lower() in ("call", "dial", "text"):
        return spell_digits(match["digits"])
    words = say_pairs(match["digits"])
    return [*words, *match["model"].upper()] if match["model"] else words


def _verbalize_resolution(match: Match[str]) -> list[str]:
    return [*say_pairs(match["digits"]), match["kind"]]


def _verbalize_magnitude(match: Match[str]) -> list[str] | None:
    """Read "2.5M views", "10k followers", "1.2B users"."""
    magnitude = match["magnitude"]
    following = _COUNTED.match(match.string, match.end())
    word = following[1] if following else ""
    is_counted = word.endswith("s") or word in _IRREGULAR_PLURALS or word == "of"
    is_decimal = magnitude == "M" and "." in match["amount"]
    if magnitude != "k" and not is_counted and not is_decimal:
        return None
    return [*to_number(match["amount"]), MAGNITUDES[magnitude.lower()]]


def _verbalize_door(match: Match[str]) -> list[str] | None:
    """Read a number with a letter: "Apt. 4B", "a 7B model", "gate 12A"."""
    digits, letters = match["digits"], match["letters"]
    words = to_cardinal(digits) if digits[0] != "0" else spell_digits(digits)
    return [*words, *letters.upper()]


_NUMBERED = frozenset(
    "chapter lesson episode part day week level round season track section unit step module page "
    "volume act scene no number item question exercise season stage season phase week".split()
)


def _verbalize_padded(match: Match[str]) -> list[str] | None:
    """Read "Chapter 01" without the zero."""
    if find_previous_word(match.string, match.start()).rstrip(".").lower() not in _NUMBERED:
        return None
    return to_cardinal(match[0])


_LETTERS_ON_KEYS = r"\+?1[-. ]8\d\d[-. ](?P<name>[A-Z][A-Z-]{3,11})"


def _verbalize_toll_free(match: Match[str]) -> list[str]:
    digits, name = match[0][: -len(match["name"])], match["name"]
    words = [word.lower() for word in name.split("-")]
    return [*spell_digits(digits), *words]


def _verbalize_section(match: Match[str]) -> list[str]:
    """Read "401(k)", "501(c)(3)", "Section 5(a)"."""
    digits, letter = match["digits"], match["letter"].upper()
    inner = to_cardinal(match["inner"]) if match["inner"] else []
    return [*say_pairs(digits), letter, *inner]


_SIDES = {"N": "North", "S": "South", "E": "East", "W": "West"}


def _verbalize_wifi(match: Match[str]) -> list[str]:
    return ["eight", "oh", "two", "dot", "eleven", *match["letters"].upper()]


def _verbalize_emergency(match: Match[str]) -> list[str] | None:
    if find_previous_word(match.string, match.start()).lower() == "porsche":
        return None
    return None if _counts_something(match) else spell_digits(match[0])


def say_number_of_name(text: str, at: int) -> tuple[list[str], int] | None:
    """Read digits after the letters of a name: "FY2024", "F-150", "E350", "RTX4090".

    Args:
        text: The whole text.
        at: Where the digits begin, after a letter or a hyphen.

    Returns:
        Their words and the position after them; None if they are read as a number.
    """
    name = _NAME_BEFORE.search(text, max(at - 10, 0), at)
    digits = _NAME_DIGITS.match(text, at)
    if not name or not digits:
        return None
    if digits[0][-1] == "s":  # "F-22s"
        return to_decade(digits[0][:-1]), digits.end()
    if len(digits[0]) == 3:
        is_code = text[at - 1] != "-" or (name[1].isupper() and len(name[1]) < 4)
        return (say_pairs(digits[0]), digits.end()) if is_code and digits[0][0] != "0" else None
    if name[1] in ("RTX", "GTX", "RX"):
        return say_pairs(digits[0]), digits.end()
    is_year = len(name[1]) > 1 and "1900" <= digits[0] < "2100" and name[1] != "PC"
    return (to_year(digits[0]), digits.end()) if is_year else None


_NAME_BEFORE = re.compile(r"(?:^|[^A-Za-z])([A-Za-z]{1,8}(?=-?$)|[A-Z](?=\.$))[-.]?$")
_NAME_DIGITS = re.compile(r"(?:\d{1,3}s|\d{3,4})(?![\w]|[.,/-]\d)")


_THOUSANDS_POINTS = re.compile(r"[1-9]\d{0,2}(?:\.\d{3}){2,7}")


def _verbalize_version(match: Match[str]) -> list[str] | None:
    """Read "3.11.2", and not "1.000.000"."""
    return None if _THOUSANDS_POINTS.fullmatch(match[0]) else to_version(match[0])


CODE_RULES: tuple[Rule, ...] = (
    rule(
        r"(?P<digits>\d{1,4})\((?P<letter>[a-z])\)(?:\((?P<inner>\d{1,2})\))?", _verbalize_section
    ),
    rule(r"(?P<digits>401|403|457)(?P<letter>[kKbB])(?P<inner>)(?!\w)", _verbalize_section),
    rule(r"802\.11(?P<letters>[a-z]{0,2})(?!\w)", _verbalize_wifi),
    rule(r"911(?![\w:/%-]|[.,]\d)", _verbalize_emergency),
    rule(
        r"(?P<digits>\d{4})(?P<model>X3D|XT|X|K|KF|HX|HS|U)(?!\w)",
        lambda match: [*say_pairs(match["digits"]), *match["model"]],
    ),
    rule(
        rf"(?P<house>\d{{1,5}}){SPACE}(?P<side>[NSEW])\.?(?={SPACE}(?:\d{{1,3}}{ORDINAL_ENDING}|[A-Z][a-z]{{1,15}})"
        rf"{SPACE}(?:St|Ave|Blvd|Rd|Dr|Ln|Ct|Street|Avenue|Road|Drive)\b)",
        lambda match: [*to_cardinal(match["house"]), _SIDES[match["side"]]],
    ),
    rule(
        r"(7\d7)(?=\s(?:jets?|airliners?|aircraft|planes?|MAX|Max|Dreamliners?)\b)",
        lambda match: say_pairs(match[1]),
    ),
    rule(r"\d(?:[\d-]{2,30}[\dX]|\d{2,30})(?![\w-])", _verbalize_labelled_code),
    rule(rf"(?<![\d]){_LETTERS_ON_KEYS}\b", _verbalize_toll_free),
    rule(r"(?:\+?1[-. ])?\(?\d{3}\)?[-. ]\d{3}[-.]\d{4}(?![\w-])", say_digits),
    rule(r"\d{3}-\d{4}(?![\w-])", say_digits),
    rule(r"\+\d{1,3}(?:[-. ]\(?\d{1,5}\)?){1,5}(?![\w-])|\+\d{7,15}(?!\d)", say_digits),
    rule(r"0\d{2,4}(?: \d{3,4}){2,3}(?![\w-])|1[38]00 \d{3} \d{3}(?![\w-])", say_digits),
    rule(r"\d{4}[ -]\d{4}[ -]\d{4}[ -]\d{4}(?![\w-])|\d{3}-\d\d-\d{4}(?![\w-])", say_digits),
    rule(r"(\d{1,3}(?:\.\d{1,5}){2,7})(?![\w.]\w)", _verbalize_version),
    rule(r"(?P<digits>\d{3,4})(?P<model>X|XT|Ti|K|S|i|d)?(?![\w.,-]|\s?[%°])", _verbalize_product),
    rule(r"(?P<digits>\d{3,4})(?P<kind>[pi])(?!\w)", _verbalize_resolution),
    rule(rf"(?P<amount>{NUMBER})(?P<magnitude>[kKMB])(?![\w/])", _verbalize_magnitude),
    rule(r"0\d{1,2}(?![\d.,:/-])", _verbalize_padded),
)
LETTER_RULES: tuple[Rule, ...] = (
    rule(r"(?P<digits>\d{1,4})(?P<letters>[A-HJ-Z])(?![\w'’])", _verbalize_door),
)
YEAR_RULES: tuple[Rule, ...] = (rule(r"\d{4}(?!\d|[.,]\d)", _verbalize_year),)
