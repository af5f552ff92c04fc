"""What a text is made of after normalization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Token:
    """A written word, or a border between words or sentences.

    `kind` is "word" (`spoken` holds the words to speak; a single capital is the letter's name),
    "ipa" (`spoken` holds one string of IPA) or "border" (`spoken` holds one of , . ? !).
    `start`, `end` is its span in the source.
    """

    kind: Literal["word", "ipa", "border"]
    spoken: tuple[str, ...]
    start: int
    end: int

    @property
    def is_border(self) -> bool:
        """Whether the token is a border."""
        return self.kind == "border"


@dataclass(frozen=True)
class Skipped:
    """A stretch `text` = source[start:end] that is not spoken, and why."""

    start: int
    end: int
    text: str
    why: str
