"""What is asked of the pipeline: a text as it comes, in one or several voices."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from valle.options import SpeakOptions
from valle.synthesis.source_text import SourceText
from valle.synthesis.timing import TimedPhrase
from valle.text.delivery import Mark
from valle.text.passages import Segment
from valle.voices.voice import Voice


@dataclass(frozen=True)
class SpeechRequest:
    """A text to be synthesized."""

    segments: Iterable[Segment]
    """Its sentences, as they come."""
    text: str | None
    """The whole text, or None where it comes in parts."""
    source: SourceText
    """The text as far as it has come."""
    count: int | None
    """Number of sentences, or None where the text comes in parts."""
    find_voice: Callable[[str | None], Voice]
    """Returns the voice that a tag names; None is the voice of the text."""
    options: SpeakOptions
    marks: Sequence[Mark] = ()
    """Places of the text whose times are reported, in order."""
    phrases: Sequence[TimedPhrase] | None = None
    """When each of the sentences is said; None leaves that to the model."""
