"""Which names a voice may have: words of any script that are safe as file names."""

from __future__ import annotations

import re
import unicodedata

from valle.errors import UsageError

MAX_CHARACTERS = 64
MAX_BYTES = 200  # in UTF-8: file systems allow 255 with the ending

_PUNCTUATION = " _.-"
# Windows reserves these, with any ending.
_RESERVED = re.compile(r"(CON|PRN|AUX|NUL|COM\d|LPT\d)(\..*)?", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return the name of a voice in Unicode normal form C, in which equal names are equal strings.

    A name begins with a letter or digit of any script, followed by letters, their combining marks,
    digits, spaces and any of `_ . -`. So it is never a path, and has no invisible characters.

    Raises:
        UsageError: The name is not allowed.
    """
    if not isinstance(name, str):
        raise UsageError(f"{name!r} cannot name a voice: it is not text")
    normalized = unicodedata.normalize("NFC", name)
    if (
        not 1 <= len(normalized) <= MAX_CHARACTERS
        or not all(map(_is_allowed, normalized))
        or unicodedata.category(normalized[0])[0] not in "LN"
        or len(normalized.encode()) > MAX_BYTES
    ):
        raise UsageError(
            f"{name!r} cannot name a voice: begin with a letter or digit, then at most "
            f"{MAX_CHARACTERS - 1} letters, digits, spaces or any of _ . -"
        )
    if _RESERVED.fullmatch(normalized):
        raise UsageError(f"{name!r} cannot name a voice: Windows reserves it; choose another name")
    return normalized


def _is_allowed(character: str) -> bool:
    return character in _PUNCTUATION or unicodedata.category(character)[0] in "LMN"
