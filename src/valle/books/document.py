"""A book as it was read from its file: chapters of blocks of text, and what is left out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_LIGATURES = {
    "\ufb00": "ff",
    "\ufb01": "fi",
    "\ufb02": "fl",
    "\ufb03": "ffi",
    "\ufb04": "ffl",
    "\ufb05": "st",
    "\ufb06": "st",
}
# Soft hyphens, joiners and marks of direction: they are invisible and not part of a word.
_INVISIBLE = dict.fromkeys(
    [0xAD, 0xFEFF, 0x2060, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)
_CLEAN = _INVISIBLE | {ord(sign): letters for sign, letters in _LIGATURES.items()}
_SPACE = re.compile(r"[^\S\n]+")
_LINE_END = re.compile(r" *\n *")

BlockKind = Literal["heading", "paragraph", "rule"]


@dataclass(frozen=True)
class Block:
    """A stretch of text that stands by itself: a heading, a paragraph, a row of a table."""

    kind: BlockKind
    """A rule is a break between scenes; its text is empty."""
    text: str


@dataclass(frozen=True)
class Omission:
    """Text of the source that is not spoken, and why."""

    text: str
    why: str
    where: str = ""
    """The chapter or file that it stands in."""


@dataclass(frozen=True)
class Chapter:
    """A chapter with its heading, which is its first block where it has one."""

    title: str
    blocks: list[Block]

    @property
    def text(self) -> str:
        """All blocks, with a blank line between them."""
        return "\n\n".join(block.text for block in self.blocks if block.text)


@dataclass(frozen=True)
class Cover:
    """The picture of a book."""

    data: bytes
    media_type: Literal["image/jpeg", "image/png"]


@dataclass(frozen=True)
class Book:
    """A book as it was read from its file."""

    title: str
    author: str
    chapters: list[Chapter]
    omissions: list[Omission] = field(default_factory=list)
    cover: Cover | None = None
    language: str = ""
    """As the file states it ("en-GB"), or empty."""


def clean_text(text: str) -> str:
    """Remove what is not seen (soft hyphens, joiners), and spell ligatures out."""
    text = _SPACE.sub(" ", text.translate(_CLEAN).replace("\r\n", "\n").replace("\r", "\n"))
    return _LINE_END.sub("\n", text).strip()


def find_words(text: str) -> list[tuple[int, int]]:
    """Return the spans of the words of a text: letters and digits, with apostrophes inside."""
    return [match.span() for match in _WORD.finditer(text)]


def identify_cover(data: bytes) -> Cover | None:
    """Return a picture as a cover, or None if it is neither JPEG nor PNG."""
    if data.startswith(b"\xff\xd8\xff"):
        return Cover(data, "image/jpeg")
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Cover(data, "image/png")
    return None
