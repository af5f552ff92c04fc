"""The sentences of a book, and an account of every word of its text.

A sentence is known by the hash of its text and by how many equal ones precede it. So it stays the
same sentence when other parts of the book are changed, and so does how it is spoken.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from valle.books.document import Book, Chapter, Omission, find_words
from valle.errors import TextError
from valle.text.delivery import DirectedText
from valle.text.markup_tags import parse_tags
from valle.text.normalization import normalize
from valle.text.passages import Segment, read_passages
from valle.text.reading import Reading

_OPENING = re.compile(r"[\"'“‘«‹(\[{¿¡]+\Z")
_CLOSING = re.compile(r"[\"'”’»›)\]}.,;:!?…]+")
_LINE_NUMBER = re.compile(r"^line \d+: ")


@dataclass(frozen=True)
class PlannedSentence:
    """A sentence as the book has it."""

    id: str
    """A hash of its text, and the number of equal sentences before it."""
    text: str
    chapter: int
    """Index of its chapter, from 0."""
    starts_paragraph: bool
    is_heading: bool = False
    ends_scene: bool = False
    """Whether a rule ("* * *") follows."""
    voice: str | None = None
    """The name of the voice that the book asks for ([voice:NAME]); None for the narrator."""
    rate: float = 1.0
    style: str | None = None
    pause_after: float | None = None
    """Seconds that the book asks for ([pause:1s]); None for the usual pause."""


@dataclass
class Plan:
    """The sentences of a book."""

    sentences: list[PlannedSentence] = field(default_factory=list)
    omissions: list[Omission] = field(default_factory=list)
    """All that is not spoken."""
    words: int = 0
    """Words of the source: those of the chapters, and those left out."""
    spoken: int = 0
    """Words of the source that are spoken."""
    unaccounted: list[Omission] = field(default_factory=list)
    """Words that are neither spoken nor left out for a reason; there should be none."""


def plan_book(book: Book, language: str, reading: Reading, plain: bool) -> Plan:
    """Return the sentences of a book.

    Args:
        book: What was read.
        language: Only "en-us" is known.
        reading: The user's lexicon; marks are left out already.
        plain: Whether tags in brackets are text.

    Raises:
        TextError: A tag is unknown, or nothing can be spoken.
    """
    plan = Plan(omissions=list(book.omissions))
    plan.words = sum(len(find_words(omission.text)) for omission in book.omissions)
    seen: Counter[str] = Counter()
    for index, chapter in enumerate(book.chapters):
        _ChapterPlanner(plan, seen, index, chapter).read(language, reading, plain)
    if not plan.sentences:
        raise TextError("there is nothing in this book to speak; valle speaks English")
    return plan


def identify(text: str, seen: Counter[str]) -> str:
    """Return the id of a sentence, given those before it."""
    digest = hashlib.sha256(" ".join(text.split()).encode("utf-8", "surrogatepass")).hexdigest()
    seen[digest] += 1
    return f"{digest[:16]}-{seen[digest]}"


class _ChapterPlanner:
    """Adds the sentences of one chapter to a plan."""

    def __init__(self, plan: Plan, seen: Counter[str], index: int, chapter: Chapter) -> None:
        self._plan = plan
        self._seen = seen
        self._index = index
        self._chapter = chapter
        self._text = chapter.text
        self._covered = bytearray(len(self._text))  # 1 spoken, 2 left out, 3 a tag
        self._headings: list[tuple[int, int]] = []
        self._rules: list[int] = []  # where the text after them begins
        self._locate_blocks()

    def read(self, language: str, reading: Reading, plain: bool) -> None:
        """Add the sentences, and account for the words."""
        directed = self._parse(plain)
        at = 0
        for passage in directed.passages:
            self._cover(at, passage.start, 3)
            at = passage.start + len(passage.text)
        self._cover(at, len(self._text), 3)
        omissions: list[tuple[int, str, str]] = []
        previous_end = 0
        for group in _join_pieces(_read_passages(directed, language, reading)):
            for segment in group:
                for part in segment.skipped:
                    self._cover(part.start, part.end, 2)
                    omissions.append((part.start, part.text, part.why))
                for word in segment.sentence.words if segment.sentence else ():
                    self._cover(word.start, word.end, 1)
            if group[0].sentence is not None:
                previous_end = self._add(group, previous_end)
            elif group[0].pause_after is not None and self._plan.sentences:
                self._extend_pause(group[0].pause_after)
        self._plan.omissions += [
            Omission(text, why, self._chapter.title) for _, text, why in sorted(omissions)
        ]
        self._account()

    def _parse(self, plain: bool) -> DirectedText:
        if plain:
            return DirectedText.without_directions(self._text)
        try:
            return parse_tags(self._text)
        except TextError as error:
            message = _LINE_NUMBER.sub("", str(error))
            raise TextError(
                f"chapter {self._index + 1}, {self._chapter.title!r}: {message}; or have all "
                "brackets of the book read with --plain"
            ) from None

    def _add(self, group: list[Segment], previous_end: int) -> int:
        """Add a sentence, which may be in several pieces; returns where it ends."""
        first, last = group[0].sentence, group[-1].sentence
        assert first is not None
        assert last is not None
        start, end = first.start, last.start + len(last.text)
        if opening := _OPENING.search(self._text, max(previous_end, start - 8), start):
            start = opening.start()
        if closing := _CLOSING.match(self._text, end, end + 8):
            end = closing.end()
        text = self._text[start:end]
        if previous_end and any(previous_end < rule <= start for rule in self._rules):
            self._plan.sentences[-1] = replace(self._plan.sentences[-1], ends_scene=True)
        delivery = group[0].delivery
        self._plan.sentences.append(
            PlannedSentence(
                identify(text, self._seen),
                text,
                self._index,
                starts_paragraph=previous_end == 0 or "\n\n" in self._text[previous_end:start],
                is_heading=any(low <= start < high for low, high in self._headings),
                voice=delivery.voice,
                rate=delivery.rate,
                style=delivery.style,
                pause_after=group[-1].pause_after,
            )
        )
        return end

    def _extend_pause(self, seconds: float) -> None:
        last = self._plan.sentences[-1]
        self._plan.sentences[-1] = replace(last, pause_after=(last.pause_after or 0.0) + seconds)

    def _locate_blocks(self) -> None:
        at = 0
        for block in self._chapter.blocks:
            if block.kind == "rule":
                self._rules.append(at)
            elif block.text:
                if block.kind == "heading":
                    self._headings.append((at, at + len(block.text)))
                at += len(block.text) + 2

    def _cover(self, start: int, end: int, kind: int) -> None:
        if end > start:
            self._covered[start:end] = bytes([kind]) * (end - start)

    def _account(self) -> None:
        for start, end in find_words(self._text):
            kinds = self._covered[start:end]
            if 3 in kinds and 1 not in kinds:
                continue  # within a tag, which is a direction and no word of the book
            self._plan.words += 1
            if 1 in kinds:
                self._plan.spoken += 1
            elif 2 not in kinds:
                context = self._text[max(0, start - 20) : end + 20]
                self._plan.unaccounted.append(
                    Omission(self._text[start:end], f"near {context!r}", self._chapter.title)
                )


def _read_passages(directed: DirectedText, language: str, reading: Reading) -> Iterator[Segment]:
    """Yield the sentences of a text; of one without words, only what is left out of it."""
    try:
        yield from read_passages(directed, language, reading)
    except TextError:
        for passage in directed.passages:
            yield Segment(None, normalize(passage.text, reading.plain)[1])


def _join_pieces(segments: Iterator[Segment]) -> Iterator[list[Segment]]:
    """Yield sentences; one that is too long to be spoken at once comes in pieces."""
    group: list[Segment] = []
    for segment in segments:
        sentence = segment.sentence
        if group and (sentence is None or segment.delivery != group[0].delivery):
            yield group
            group = []
        group.append(segment)
        ends = sentence is None or sentence.phonemes[-1].symbol != ","
        if ends or segment.pause_after is not None:
            yield group
            group = []
    if group:
        yield group
