"""Web and mail addresses as they are read aloud: "me at site dot org"."""

from __future__ import annotations

import re

from valle.text import lexicon
from valle.text.numbers import spell_digits, to_cardinal
from valle.text.spelling import verbalize_word

_TOP_LEVEL_DOMAINS = "com|org|net|edu|gov|io|co|uk|us|de|fr|ca|au|eu|info|dev|app|ai|me|tv|fm|ly|be"
_ADDRESS = re.compile(
    r"(?:https?://(?:www\.)?|www\.)(?P<url>[^\s<>\"“”]{1,2000})"
    r"|[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,5}"
    rf"|(?:[\w-]{{1,63}}\.){{1,5}}(?:{_TOP_LEVEL_DOMAINS})(?![\w-]|\.\w)"
    r"(?:/[^\s<>\"“”]{0,2000})?",
    re.IGNORECASE,
)
_PART = re.compile(r"[A-Za-z]+|\d+|[^A-Za-z\d]")


def verbalize_address(text: str, at: int) -> tuple[list[str], int] | None:
    """Read the address at `at`, without its scheme and "www.".

    Returns:
        Its words and the position after it; None if there is no address.
    """
    match = _ADDRESS.match(text, at)
    if not match or not any(char.isascii() and char.isalnum() for char in match[0]):
        return None
    end = at + len(match[0].rstrip(".,;:!?)]}'\"’”"))
    body = text[match.start("url") if match["url"] else at : end]
    words: list[str] = []
    for part in _PART.findall(body.rstrip("/")):
        if part.isdecimal():
            is_number = len(part) < 5 and part[0] != "0"
            words += to_cardinal(part) if is_number else spell_digits(part)
        elif part.lower() == "www" or (len(part) == 2 and words[-1:] == ["dot"]):
            words += part.upper()  # "uk", "io"
        elif part.isascii() and part.isalpha():
            if len(part) < 5 and not any(char in "aeiouy" for char in part.lower()):
                part = part.upper()  # "bbc"
            words += verbalize_word(part, all_capitals=False)
        elif part in lexicon.ADDRESS_SIGNS:
            words += lexicon.ADDRESS_SIGNS[part].split()
    return (words, end) if words else None
