"""Signs of arithmetic between words: "!=", "x^2", "m³", "H₂O"."""

from __future__ import annotations

import re
import unicodedata

from valle.text import lexicon
from valle.text.numbers import to_signed_number

_OPERATOR = re.compile("|".join(re.escape(sign) for sign in lexicon.OPERATORS))
_FACTORIAL = re.compile(r"!\s?[=+*/×÷−^]\s?[\w(]")
_POWER = re.compile(r"\^[({]?(-?\d{1,9}|[A-Za-z])[)}]?(?!\w)")
_RAISED = re.compile(r"[⁻⁺]?[⁰¹²³⁴-⁹]{1,9}")
_LOWERED = re.compile(r"[₀-₉]{1,9}")


def verbalize_operator(text: str, at: int) -> tuple[list[str], int] | None:
    """Read an operator of several characters; None in a longer line of signs."""
    if text[at] == "!" and text[at - 1 : at].isalnum() and _FACTORIAL.match(text, at):
        return ["factorial"], at + 1
    operator = _OPERATOR.match(text, at)
    if not operator:
        return None
    repeats = text[operator.end() : operator.end() + 1] in tuple("=<>-") or (
        text[at - 1 : at] in tuple("=<>-")
    )
    return None if repeats else (lexicon.OPERATORS[operator[0]].split(), operator.end())


def verbalize_power(text: str, at: int) -> tuple[list[str], int] | None:
    """Read a raised number or letter, and a lowered number: "x^2", "x²", "H₂O"."""
    if lowered := _LOWERED.match(text, at):
        return to_signed_number(unicodedata.normalize("NFKC", lowered[0])), lowered.end()
    follows = text[at - 1 : at].isalnum() or text[at - 1 : at] == ")"
    if raised := _RAISED.match(text, at):
        exponent = unicodedata.normalize("NFKC", raised[0]).replace("−", "-")
        if not follows:
            return to_signed_number(exponent), raised.end()
        return _say_power(exponent), raised.end()
    power = _POWER.match(text, at)
    return (_say_power(power[1]), power.end()) if power and follows else None


def _say_power(exponent: str) -> list[str]:
    if exponent in ("2", "3"):
        return ["squared" if exponent == "2" else "cubed"]
    is_number = exponent.lstrip("-").isdecimal()
    return ["to", "the", *(to_signed_number(exponent) if is_number else [exponent.upper()])]
