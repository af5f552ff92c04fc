"""What is known of the sentences of a book: which were spoken, and which are worst."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from valle.books.project import BookSentence, Project
from valle.books.speaking import BookSpeaker
from valle.books.spoken import SpokenRecord
from valle.runtime.check import Check


@dataclass(frozen=True)
class SentenceReport:
    """One sentence, and what is known of it."""

    sentence: BookSentence
    chapter: str
    """The title of its chapter."""
    seconds: float
    """Length of what was spoken; 0 if it was not spoken yet."""
    check: Check | None
    """The recognizer's comparison; None if it was not spoken yet."""

    @property
    def state(self) -> str:
        """One of "waiting", "understood" and "not understood"."""
        if self.check is None:
            return "waiting"
        return "understood" if self.check.passed else "not understood"

    @property
    def badness(self) -> tuple[int, float]:
        """A sort key: wrong words first, then the share of wrong phonemes."""
        if self.check is None:
            return (0, 0.0)
        wrong = len(self.check.missing) + len(self.check.repeated)
        return (wrong, self.check.phoneme_error_rate)

    def describe(self) -> dict[str, Any]:
        """Return all of it as plain values that `json` can write."""
        sentence = self.sentence
        return {
            "number": sentence.number,
            "state": self.state,
            "chapter": self.chapter,
            "text": sentence.text,
            "voice": sentence.voice,
            "rate": sentence.rate,
            "style": sentence.style,
            "redone": sentence.edit.redo,
            "changed": sentence.edit.text is not None,
            "seconds": self.seconds,
            "check": dataclasses.asdict(self.check) if self.check else None,
        }


def report_sentence(
    project: Project, sentence: BookSentence, record: SpokenRecord | None, frame_rate: float
) -> SentenceReport:
    """Return what is known of one sentence."""
    title = project.chapters[sentence.planned.chapter]
    if record is None:
        return SentenceReport(sentence, title, 0.0, None)
    return SentenceReport(sentence, title, len(record.codes) / frame_rate, record.check)


def report_book(speaker: BookSpeaker) -> list[SentenceReport]:
    """Return what is known of all sentences, in their order."""
    frame_rate = speaker.model.frame_rate
    return [
        report_sentence(speaker.project, sentence, speaker.load(sentence), frame_rate)
        for sentence in speaker.project.sentences
    ]


def sort_worst_first(reports: list[SentenceReport]) -> list[SentenceReport]:
    """Return the sentences that were not understood, the worst ones first."""
    failed = [report for report in reports if report.state == "not understood"]
    return sorted(failed, key=lambda report: report.badness, reverse=True)
