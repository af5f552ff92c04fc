"""One written word as it is said: acronyms, letters of other alphabets, capitals inside."""

from __future__ import annotations

import re
import unicodedata

from valle.text import lexicon

_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def _script(char: str) -> str:
    """The first word of a letter's Unicode name, which names its script; "" for marks."""
    if not char.isalpha():
        return ""
    plain = unicodedata.normalize("NFKC", char)[:1]
    return unicodedata.name(plain, "UNKNOWN").split()[0]


def script_runs(word: str) -> list[tuple[str, str]]:
    """Stretches of one script; marks and apostrophes belong to the letter before them."""
    runs: list[tuple[str, str]] = []
    for char in word:
        script = _script(char)
        if runs and script in ("", runs[-1][0]):
            runs[-1] = (runs[-1][0], runs[-1][1] + char)
        else:
            runs.append((script, char))
    return runs


def to_ascii(word: str) -> str:
    """A Latin word with what espeak's English knows: ASCII and the common accents."""
    plain: list[str] = []
    for char in unicodedata.normalize("NFC", unicodedata.normalize("NFKC", word)):
        if char.isascii() or char in "éèêëáàâäãåçñíìîïóòôöõúùûüÉ":
            plain.append("'" if char == "’" else char)
            continue
        letter = lexicon.LETTERS.get(char.lower())
        if letter is None:
            letter = "".join(c for c in unicodedata.normalize("NFD", char) if c.isascii())
        plain.append(letter.title() if char.isupper() else letter)
    return "".join(c for c in plain if c.isalpha() or c == "'" or len(c) > 1)


def spoken_word(word: str, capitals: bool) -> list[str]:
    """What is said for one word of letters: itself, its parts, or its letters.

    `capitals` says that the text is written in capitals, so that they mean nothing.
    """
    stem, apostrophe, tail = word.partition("'")
    if len(word) == 1:
        return [word.upper()]
    if not stem:
        return [word]
    plural = stem[:-1] if stem[-1] == "s" and len(stem) > 2 and stem[:-1].isupper() else ""
    if plural and not apostrophe and _spelled(plural, capitals):
        return [*plural[:-1], plural[-1].lower() + "'s"]
    if stem.isupper() and (len(stem) > 1 or tail in ("s", "S")):
        if stem == "OK":
            return ["okay" + apostrophe + tail.lower()]
        if len(stem) > 1 and _spelled(stem, capitals):
            return [*stem[:-1], stem[-1].lower() + "'s"] if tail else list(stem)
        return [word if stem == "I" else word.lower()]
    if stem == "PhD":
        return ["P", "H", "D"]
    parts = _CAMEL.split(stem)
    if len(parts) == 1 or parts[0] in ("Mc", "De", "La", "Le", "O", "Van", "Fitz"):
        # "sooooo" is "soo" to espeak; a capital inside would be spelled
        word = re.sub(r"(.)\1{2,}", r"\1\1", word)
        return [word[0] + word[1:].lower()]
    said = [spoken for part in parts for spoken in spoken_word(part, capitals=False)]
    return [*said[:-1], said[-1] + apostrophe + tail]


def _spelled(capitals: str, shouting: bool) -> bool:
    """Whether a word of capitals is said letter by letter."""
    if capitals in lexicon.SPELLED:
        return True
    if not any(c in "AEIOUYÉ" for c in capitals):
        return len(capitals) < 8
    return len(capitals) <= 3 and capitals not in lexicon.SAID and not shouting
