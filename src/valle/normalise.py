"""Written text to words that can be said, each with its span in the source."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass


@dataclass(frozen=True)
class Token:
    """A written word, or a border.

    `kind` is "word" (`spoken` holds the words to say), "ipa" (`spoken` holds one string of IPA),
    or "border" (`spoken` holds one of , . ? !). `start`, `end` is its span in the source.
    """

    kind: str
    spoken: tuple[str, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Skipped:
    """A stretch `text` = source[start:end] that is not spoken, and why."""

    start: int
    end: int
    text: str
    why: str


_PATTERN = re.compile(
    r"(?P<ipa>\[\[(?P<inner>[^\[\]]*)\]\])"
    r"|(?P<word>[^\W\d_]+(?:['’][^\W\d_]+)*['’]?)"
    r"|(?P<number>\d)"
    r"|(?P<end>[.!?…]+)"
    r"|(?P<border>[,;:()\[\]{}—–-]+)"
    r"|(?P<paragraph>\n[ \t\r]*\n\s*)"
    r"|(?P<space>\s+)"
    r"|(?P<other>.)",
    re.DOTALL,
)
_DIGITS = "zero one two three four five six seven eight nine".split()


def normalise(text: str) -> tuple[list[Token], list[Skipped]]:
    """Tokens of `text` in order, and what cannot be said. Takes any Unicode string."""
    tokens: list[Token] = []
    skipped: list[Skipped] = []
    for match in _PATTERN.finditer(text):
        start, end = match.span()
        if match["ipa"]:
            tokens.append(Token("ipa", (match["inner"],), start, end))
        elif match["word"]:
            word = match["word"].replace("’", "'")
            if all(unicodedata.name(c, "").startswith("LATIN") for c in word if c.isalpha()):
                tokens.append(Token("word", (word,), start, end))
            else:
                skipped.append(Skipped(start, end, match["word"], "not Latin letters"))
        elif match["number"]:
            tokens.append(
                Token("word", (_DIGITS[unicodedata.digit(match["number"], 0)],), start, end)
            )
        elif match["end"]:
            run = match["end"]
            mark = "?" if "?" in run else "!" if "!" in run else "."
            tokens.append(Token("border", (mark,), start, end))
        elif match["border"]:
            dash = match["border"] == "-" and text[start - 1 : start].isalnum()
            if not dash:
                tokens.append(Token("border", (",",), start, end))
        elif match["paragraph"]:
            tokens.append(Token("border", (".",), start, start))
        elif match["other"] and match["other"] not in "\"'“”‘’«»*_":
            skipped.append(Skipped(start, end, match["other"], "no spoken form"))
    return tokens, skipped
