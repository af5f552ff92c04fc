"""A text with directions for speaking it: what every notation is parsed to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from valle.errors import TextError, UsageError

MAX_PAUSE = 60.0  # seconds
MIN_RATE, MAX_RATE = 0.25, 4.0

_SENTENCE_END = re.compile(r"[.!?…。！？:;][\"'”’»›)\]}*_]{0,80}\Z")
_NUMBER = r"(\d{1,6}(?:\.\d{0,6})?|\.\d{1,6})"
_TIME = re.compile(rf"\+?{_NUMBER}\s*(s|ms|sec|seconds?|milliseconds?)?", re.IGNORECASE)
_RATE = re.compile(rf"{_NUMBER}\s*([%x]?)", re.IGNORECASE)


@dataclass(frozen=True)
class Delivery:
    """How a passage is spoken, where that differs from the rest."""

    voice: str | None = None
    """The name of a saved voice; None for that of the whole text."""
    rate: float = 1.0
    """Factor of the speaking rate, 0.25 to 4."""
    style: str | None = None
    """As `valle.styles.parse_style` takes it; None keeps that of the whole text."""


@dataclass(frozen=True)
class Passage:
    """A stretch of a text that is delivered in one way."""

    text: str
    start: int
    """Where it begins in the whole text, in characters."""
    delivery: Delivery = field(default_factory=Delivery)
    pause: float | None = None
    """Seconds of silence after it; None for the usual pause."""
    continues: bool = False
    """Whether the sentence at its end goes on in the next passage."""
    line: int = 1
    """Line of the source that it begins in, for messages."""


@dataclass(frozen=True)
class Mark:
    """A place in a text whose time is reported."""

    name: str
    position: int
    """In characters of the whole text."""
    before_pause: bool = False
    """Whether a pause follows that the text asks for."""


@dataclass(frozen=True)
class DirectedText:
    """A text, and its passages in order.

    `text` is what the spans of sentences, words and phonemes count in. It is the source itself
    where the tags stand in brackets, and the text that was rendered from it for SSML.
    """

    text: str
    passages: list[Passage]
    marks: tuple[Mark, ...] = ()
    """In order."""

    @classmethod
    def without_directions(cls, text: str) -> DirectedText:
        """Return a text that has none."""
        return cls(text, [Passage(text, 0)])

    @property
    def voices(self) -> list[str]:
        """Names of the voices that passages ask for, in the order of their first use."""
        named = (passage.delivery.voice for passage in self.passages)
        return list(dict.fromkeys(name for name in named if name is not None))

    @property
    def is_plain(self) -> bool:
        """Whether there are no directions at all."""
        return not self.marks and all(
            passage.delivery == Delivery() and passage.pause is None for passage in self.passages
        )


def ends_sentence(text: str) -> bool:
    """Return whether a sentence ends with a text, so that what follows it is another one."""
    tail = text[-80:]
    words = tail.rstrip()
    return tail.count("\n", len(words)) > 1 or _SENTENCE_END.search(words) is not None


def parse_pause(value: str) -> float:
    """Return the seconds of "1.5s", "500ms" or "1.5".

    Raises:
        UsageError: It is not a time, or longer than `MAX_PAUSE`.
    """
    match = _TIME.fullmatch(value.strip())
    if match:
        unit = (match[2] or "s").lower()
        seconds = float(match[1]) / (1000.0 if unit.startswith("m") else 1.0)
        if seconds <= MAX_PAUSE:
            return seconds
    raise UsageError(f"{value!r} is not a pause; use 0s to {MAX_PAUSE:g}s, such as 1.5s or 500ms")


def parse_rate(value: str) -> float:
    """Return the factor of "1.1", "1.1x" or "110%".

    Raises:
        UsageError: It is not a factor, or out of range.
    """
    match = _RATE.fullmatch(value.strip())
    if match:
        rate = float(match[1]) / (100.0 if match[2] == "%" else 1.0)
        if MIN_RATE <= rate <= MAX_RATE:
            return rate
    raise UsageError(f"{value!r} is not a rate; use {MIN_RATE:g} to {MAX_RATE:g}, such as 1.1")


def locate_error(line: int, message: object) -> TextError:
    """Return an error that says in which line of the text something is wrong."""
    return TextError(f"line {line}: {message}")
