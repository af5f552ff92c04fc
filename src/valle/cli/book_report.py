"""What `valle book` shows: its progress, the state of a book, and its worst sentences."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from valle.books.document import Book
from valle.books.outputs import WrittenBook
from valle.books.planning import Plan
from valle.books.preparation import count_by_reason
from valle.books.project import Project
from valle.books.report import SentenceReport
from valle.books.speaking import BookSpeaker

_MAX_TEXT = 60  # characters of a sentence
_MAX_WORDS = 5  # of those that were not recognized
_MAX_REASONS = 8
_CHARACTERS_PER_SECOND = 14  # of speech in English, for the estimate before it is spoken


class BookProgress:
    """A line on the terminal with how far the work is."""

    def __init__(self, speaker: BookSpeaker, quiet: bool) -> None:
        visible = not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._bar = tqdm(disable=not visible, file=sys.stderr, leave=False, bar_format="{desc}")
        self._speaker = speaker
        states = speaker.list_states()
        self._count = len(states)
        self._before = self._done = sum(state.done for state in states)
        self._seconds = 0.0
        self._started = time.monotonic()

    def add(self, report: SentenceReport) -> None:
        """Show that a sentence was spoken."""
        self._done += 1
        self._seconds += report.seconds
        elapsed = time.monotonic() - self._started
        left = elapsed / (self._done - self._before) * (self._count - self._done)
        chapter = report.sentence.planned.chapter + 1
        self._bar.set_description_str(
            f"sentence {self._done} of {self._count} (chapter {chapter} of "
            f"{len(self._speaker.project.chapters)}), {self._seconds / 60:.1f} min of speech, "
            f"{tqdm.format_interval(left)} left"
        )

    def report_section(self, done: int, count: int) -> None:
        """Show that a section was encoded."""
        self._bar.set_description_str(f"writing: part {done} of {count}")

    def describe_interrupt(self) -> str:
        """Say what an interrupt leaves."""
        return (
            f"interrupted after {self._done} of {self._count} sentences, which are kept in "
            f"{self._speaker.project.folder}; the same command again goes on from there"
        )

    def close(self) -> None:
        """Remove the line."""
        self._bar.close()


def describe_book(project: Project, reports: list[SentenceReport]) -> dict[str, Any]:
    """Return the state of a book: values for JSON, and `lines` for people."""
    plan = project.plan
    waiting = sum(report.state == "waiting" for report in reports)
    failed = sum(report.state == "not understood" for report in reports)
    seconds = sum(report.seconds for report in reports)
    by_author = f" by {project.author}" if project.author else ""
    chapters = f"{len(project.chapters)} chapter{'s' * (len(project.chapters) != 1)}"
    lines = [
        f"{project.title}{by_author}: {chapters}, {len(reports):,} sentences",
        f"spoken: {len(reports) - waiting:,} sentences, {_format_length(seconds)}"
        + (f"; {waiting:,} are waiting" if waiting else ""),
        _describe_words(plan),
    ]
    if failed:
        lines.append(f"not understood by the recognizer: {failed:,} sentences")
    return {
        "project": str(project.folder),
        "title": project.title,
        "author": project.author,
        "chapters": project.chapters,
        "sentences_total": len(reports),
        "waiting": waiting,
        "not_understood": failed,
        "seconds": round(seconds, 3),
        "words": plan.words,
        "words_spoken": plan.spoken,
        "omitted": [vars(omission) for omission in plan.omissions],
        "unaccounted": [vars(omission) for omission in plan.unaccounted],
        "outputs": project.outputs,
        "lines": lines,
    }


def describe_plan(book: Book, plan: Plan) -> dict[str, Any]:
    """Return what will be spoken, as values for JSON."""
    return {
        "title": book.title,
        "author": book.author,
        "chapters": [
            {
                "title": chapter.title,
                "sentences": sum(s.chapter == index for s in plan.sentences),
            }
            for index, chapter in enumerate(book.chapters)
        ],
        "words": plan.words,
        "words_spoken": plan.spoken,
        "omitted": [vars(omission) for omission in plan.omissions],
        "unaccounted": [vars(omission) for omission in plan.unaccounted],
    }


def list_omissions(book: Book, plan: Plan) -> list[str]:
    """Return lines on what will be spoken and what will not."""
    characters = sum(len(sentence.text) for sentence in plan.sentences)
    by_author = f" by {book.author}" if book.author else ""
    lines = [
        f"{book.title}{by_author}: {len(book.chapters)} chapters, {len(plan.sentences):,} "
        f"sentences, about {_format_length(characters / _CHARACTERS_PER_SECOND)}"
    ]
    for number, chapter in enumerate(book.chapters, 1):
        count = sum(sentence.chapter == number - 1 for sentence in plan.sentences)
        lines.append(f"{number:5d}  {chapter.title[:_MAX_TEXT]} ({count:,} sentences)")
    lines.append(_describe_words(plan))
    for why, count in list(count_by_reason(plan.omissions).items())[:_MAX_REASONS]:
        example = next(o.text for o in plan.omissions if o.why == why)
        lines.append(f"{count:5d}  {why}: {_shorten(example)!r}")
    return lines


def describe_sentence(report: SentenceReport) -> str:
    """Return a sentence and its state in one line."""
    parts = []
    if report.check is not None:
        for kind in ("missing", "repeated"):
            words = getattr(report.check, kind)
            if words:
                more = " and others" if len(words) > _MAX_WORDS else ""
                parts.append(f"{kind}: {', '.join(map(repr, words[:_MAX_WORDS]))}{more}")
    detail = f" ({'; '.join(parts)})" if parts else ""
    sentence = report.sentence
    return f"sentence {sentence.number}, {report.state}{detail}: {_shorten(sentence.text)}"


def describe_written(written: WrittenBook) -> list[str]:
    """Return lines on the files of a book, and on what ACX would refuse of them."""
    seconds = int(written.seconds)
    length = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    lines = [f"{', '.join(map(str, written.files))}: {length}"]
    refused = {file: levels for file, levels in written.levels.items() if levels.problems}
    lines += [f"{file}: {'; '.join(levels.problems)}" for file, levels in refused.items()]
    if written.levels and not refused:
        lines.append("levels: as ACX asks for")
    return lines


def describe_files(written: WrittenBook) -> dict[str, Any]:
    """Return the files of a book as values for JSON."""
    levels = {str(file): levels.describe() for file, levels in written.levels.items()}
    return {"files": list(map(str, written.files))} | ({"levels": levels} if levels else {})


def _describe_words(plan: Plan) -> str:
    left = plan.words - plan.spoken - len(plan.unaccounted)
    line = f"words: {plan.words:,}, of which {plan.spoken:,} are spoken"
    if left:
        line += f" and {left:,} are left out for a reason (valle book status --omitted)"
    if plan.unaccounted:
        line += f"; {len(plan.unaccounted):,} are lost, which is a fault of valle: please report it"
    return line


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1].rstrip() + "…"


def _format_length(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min of speech"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d} h of speech"
