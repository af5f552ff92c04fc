"""Parts of patterns that money, dates, times and measures share, and the form of a rule.

Every repeat that a later part can refuse is bounded, so no text takes more than linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from re import Match

SPACE = "[ \u00a0\u2009\u202f]"
THOUSANDS_COMMAS = r"\d{1,3}(?:,\d{3}){1,12}"
# "1 250 000", "5 000 km": thousands set apart by spaces
THOUSANDS_SPACES = (
    rf"\d{{1,3}}(?:{SPACE}\d{{3}}){{2,12}}(?![\d])|\d{{1,3}}[\u2009\u202f]\d{{3}}(?!\d)"
    r"|\d{1,3} 000(?! ?\d)"
)
AMOUNT = (
    rf"(?P<amount>(?:{THOUSANDS_SPACES}|{THOUSANDS_COMMAS}|\d{{1,40}})(?:\.\d{{1,40}})?"
    r"|\.\d{1,40})"
)
NUMBER = r"\d{1,12}(?:,\d{3}){0,4}(?:\.\d{1,9})?"
DASH = "[-‐‑‒–—]"
MINUS = r"(?:(?<![\w.)])[-−–+])?"
ORDINAL_ENDING = "(?:st|nd|rd|th)"
HALF = r"(?P<half>[ap]\.m\.|[aApP][mM]\b|[AP]\.M\.)"

Verbalizer = Callable[[Match[str]], "list[str] | None"]
Rule = tuple[re.Pattern[str], Verbalizer]


def rule(pattern: str, verbalize: Verbalizer) -> Rule:
    """Return a rule: where `pattern` matches, `verbalize` gives the words, or None to decline."""
    return re.compile(pattern), verbalize
