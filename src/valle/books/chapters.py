"""Chapters of a book whose pages are in HTML: by its table of contents, or by its headings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from valle.books.document import Block, Chapter
from valle.books.html_text import PageBlock

_SPLIT_LEVELS = 3  # headings below are sections inside a chapter


@dataclass(frozen=True)
class Target:
    """Where an entry of a table of contents leads."""

    title: str
    file: str
    identifier: str = ""
    """The id of an element there; "" for the beginning of the file."""


@dataclass(frozen=True)
class PagePart:
    """A file of the book, and its blocks."""

    file: str
    blocks: list[PageBlock]


def split_by_targets(parts: Sequence[PagePart], targets: Sequence[Target]) -> list[Chapter]:
    """Return chapters that begin where the table of contents says.

    What precedes its first entry is a chapter without a title. Entries that lead to the same place
    are one chapter.
    """
    by_place = {(target.file, target.identifier): target.title for target in reversed(targets)}
    drafts: list[tuple[str, list[PageBlock]]] = [("", [])]
    for part in parts:
        title = by_place.get((part.file, ""))
        if title is not None:
            drafts.append((title, []))
        for block in part.blocks:
            for identifier in sorted(block.ids):
                if (found := by_place.get((part.file, identifier))) is not None:
                    drafts.append((found, []))
            drafts[-1][1].append(block)
    return _make_chapters(drafts)


def split_by_headings(parts: Sequence[PagePart]) -> list[Chapter]:
    """Return chapters that begin at headings of the highest level that occurs more than once.

    Without such headings, every file is a chapter.
    """
    levels = [block.level for part in parts for block in part.blocks if block.level]
    repeated = [n for n in sorted(set(levels)) if levels.count(n) > 1 and n <= _SPLIT_LEVELS]
    drafts: list[tuple[str, list[PageBlock]]] = [("", [])]
    if not repeated:
        for part in parts:
            drafts.append((next((b.text for b in part.blocks if b.level), ""), part.blocks))
        return _make_chapters(drafts)
    for part in parts:
        for block in part.blocks:
            if 0 < block.level <= repeated[0]:
                drafts.append((block.text, []))
            drafts[-1][1].append(block)
    return _make_chapters(drafts)


def _make_chapters(drafts: Sequence[tuple[str, list[PageBlock]]]) -> list[Chapter]:
    """Return the drafts that hold text; one whose only text is a rule joins none."""
    chapters = []
    for title, page_blocks in drafts:
        blocks = [Block(block.kind, block.text) for block in page_blocks]
        if any(block.text for block in blocks):
            heading = next((block.text for block in page_blocks if block.level), "")
            chapters.append(Chapter(" ".join((title or heading).split()), blocks))
    return chapters
