"""The text that sentences come from: their own punctuation, and where paragraphs begin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from valle.text.segmentation import Sentence

_PARAGRAPH = re.compile(r"\n\s*\n|[\f\u2029]|</(?:p|h[1-6]|li|div|blockquote)\s*>", re.IGNORECASE)
_OPENING = re.compile(r"[\"'“‘«‹(\[{¿¡]+\Z")
_CLOSING = re.compile(r"[\"'”’»›)\]}.,;:!?…]+")


@dataclass(frozen=True)
class WrittenSentence:
    """A sentence as it is written: `text` = source[start:end], with quotes and brackets."""

    text: str
    start: int
    end: int
    begins_paragraph: bool
    """Whether a paragraph ends between it and the sentence before it."""


class SourceText:
    """A text whose parts may still be coming."""

    def __init__(self, text: str | Iterable[str]) -> None:
        """Take a whole text, or its parts as they come."""
        self._parts = [text] if isinstance(text, str) else []
        self._text = text

    def read(self) -> str | Iterator[str]:
        """Return the text to be split into sentences; its parts are remembered as they come."""
        return self._text if isinstance(self._text, str) else self._remember(self._text)

    def _remember(self, parts: Iterable[str]) -> Iterator[str]:
        for part in parts:
            self._parts.append(part)
            yield part

    def locate(self, sentence: Sentence, previous_end: int | None) -> WrittenSentence:
        """Return a sentence as it is written.

        Args:
            sentence: Its span counts from the beginning of the whole text.
            previous_end: Where the sentence before it ends, None for the first one.
        """
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        source = self._parts[0] if self._parts else ""
        start, end = sentence.start, sentence.start + len(sentence.text)
        floor = previous_end or 0
        if opening := _OPENING.search(source, max(floor, start - 8), start):
            start = opening.start()
        if closing := _CLOSING.match(source, end, end + 8):
            end = closing.end()
        paragraph = previous_end is not None and bool(_PARAGRAPH.search(source, floor, start))
        return WrittenSentence(source[start:end], start, end, paragraph)
