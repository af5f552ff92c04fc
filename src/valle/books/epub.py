"""Books in EPUB 2 and 3."""

from __future__ import annotations

from pathlib import Path

from valle.books.chapters import PagePart, split_by_headings, split_by_targets
from valle.books.document import Book, Chapter, Cover, Omission, identify_cover
from valle.books.epub_package import Archive, Package, read_contents, read_package
from valle.books.html_text import read_page
from valle.errors import TextError

_PAGE_TYPES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document", "application/xml")
_CONTENTS_DEPTH = 2  # chapters within parts; sections within chapters are not chapters


def read_epub(path: Path, speak_notes: bool) -> Book:
    """Read an EPUB.

    Args:
        path: The file.
        speak_notes: Whether footnotes are spoken where they stand.

    Raises:
        TextError: It is damaged, encrypted, no EPUB, or has pictures in place of text.
    """
    with Archive(path) as archive:
        archive.check_open()
        package = read_package(archive)
        parts, omissions, pictures = _read_spine(archive, package, speak_notes)
        if not any(block.text for part in parts for block in part.blocks):
            _refuse_without_text(path, archive, pictures)
        targets = read_contents(archive, package, _CONTENTS_DEPTH)
        cover = _read_cover(archive, package)
    read = {part.file for part in parts}
    targets = [target for target in targets if target.file in read]
    chapters = split_by_targets(parts, targets) if len(targets) > 1 else split_by_headings(parts)
    title = package.titles[0] if package.titles else ""
    if chapters and not chapters[0].title:
        chapters[0] = Chapter(title, chapters[0].blocks)
    author = ", ".join(package.authors)
    return Book(title, author, chapters, omissions, cover, package.language)


def _read_spine(
    archive: Archive, package: Package, speak_notes: bool
) -> tuple[list[PagePart], list[Omission], int]:
    """Return the pages in the order of reading, what is left out, and how many pictures."""
    parts: list[PagePart] = []
    omissions: list[Omission] = []
    pictures = 0
    for identifier, linear in package.spine:
        item = package.items.get(identifier)
        markup = archive.read_markup(item.path) if item else None
        if item is None or markup is None:
            name = item.path if item else identifier
            omissions.append(Omission("", f"{name} is named in the EPUB and missing from it"))
            continue
        if item.media_type not in _PAGE_TYPES:
            pictures += item.media_type.startswith("image/")
            continue
        page = read_page(markup, item.path, speak_notes)
        pictures += page.pictures
        omissions += page.omissions
        if linear or speak_notes:
            parts.append(PagePart(item.path, page.blocks))
        else:
            why = "a page beside the order of reading (linear=no), such as one of notes"
            omissions += [Omission(b.text, why, item.path) for b in page.blocks if b.text]
    return parts, omissions, pictures


def _refuse_without_text(path: Path, archive: Archive, pictures: int) -> None:
    has_pictures = pictures or any(
        name.lower().endswith((".jpg", ".jpeg", ".png")) for name in archive.names
    )
    if has_pictures:
        raise TextError(
            f"{path} holds pictures of pages and no text; run a text recognition (OCR) program "
            "on it first"
        )
    raise TextError(f"{path} holds no text")


def _read_cover(archive: Archive, package: Package) -> Cover | None:
    for identifier, item in package.items.items():
        is_cover = "cover-image" in item.properties.split() or identifier == package.cover
        cover = identify_cover(archive.read(item.path) or b"") if is_cover else None
        if cover is not None:
            return cover
    return None
