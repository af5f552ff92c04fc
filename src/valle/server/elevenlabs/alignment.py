"""When each character is spoken: the times of words, spread over the text as it was sent."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from valle.synthesis.speech import SpokenWord

_AFTER_WORD = re.compile(r"[^\w\s]*\s*")  # what belongs to a word: its punctuation, and the space
_SEARCH = 1000  # characters; a word that is not found within them is spelled in another way


@dataclass(frozen=True)
class Alignment:
    """Consecutive characters of a text, and when each is spoken."""

    characters: list[str] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)
    """Seconds."""
    ends: list[float] = field(default_factory=list)
    """Seconds."""

    def spread(self, text: str, start: float, end: float) -> None:
        """Add characters that share a stretch of time evenly."""
        end = max(start, end)
        step = (end - start) / max(1, len(text))
        self.characters.extend(text)
        self.starts.extend(start + step * index for index in range(len(text)))
        self.ends.extend(start + step * index for index in range(1, len(text)))
        if text:
            self.ends.append(end)

    def in_seconds(self) -> dict[str, Any]:
        """Return the fields of an answer over HTTP."""
        return {
            "characters": self.characters,
            "character_start_times_seconds": [round(start, 3) for start in self.starts],
            "character_end_times_seconds": [round(end, 3) for end in self.ends],
        }

    def in_milliseconds(self, since: float) -> dict[str, Any]:
        """Return the fields of a message over a WebSocket, with times that count from `since`."""
        origin = round(1000 * since)
        starts = [round(1000 * start) for start in self.starts]
        ends = [round(1000 * end) for end in self.ends]
        return {
            "chars": self.characters,
            "charStartTimesMs": [start - origin for start in starts],
            "charDurationsMs": [end - start for start, end in zip(starts, ends, strict=True)],
        }


class TextAligner:
    """Aligns a text, which may still be written, with the words that are spoken of it.

    All alignments in order hold the text, each character once. A word has its own time; the
    characters between words have that between them.
    """

    def __init__(self, text: str = "") -> None:
        self._text = text
        self._position = 0
        self.end = 0.0
        """Seconds: where the last alignment ended."""

    def write(self, text: str) -> None:
        """Add to the text."""
        self._text += text

    def align(self, words: Iterable[SpokenWord]) -> Alignment | None:
        """Return the text up to the last of the next words; None if there is none of them in it."""
        alignment = Alignment()
        for word in words:
            index = self._text.find(word.word, self._position, self._position + _SEARCH)
            if index < 0:
                continue  # its characters come with those of the next word
            start = max(self.end, word.start)
            alignment.spread(self._text[self._position : index], self.end, start)
            alignment.spread(word.word, start, word.end)
            self.end = max(start, word.end)
            self._position = index + len(word.word)
        if not alignment.characters:
            return None
        rest = _AFTER_WORD.match(self._text, self._position)
        if rest is not None:
            alignment.spread(rest[0], self.end, self.end)
            self._position = rest.end()
        return alignment

    def finish(self, seconds: float) -> Alignment | None:
        """Return the rest of the text, which lasts until the end of the speech; None if none is."""
        rest = self._text[self._position :]
        if not rest:
            return None
        alignment = Alignment()
        alignment.spread(rest, self.end, seconds)
        self._position, self.end = len(self._text), max(self.end, seconds)
        return alignment
