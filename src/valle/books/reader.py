"""Reading a book from a file: plain text, Markdown, HTML or EPUB."""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from valle.books.chapters import PagePart, split_by_headings
from valle.books.document import Book, Cover, Omission, identify_cover
from valle.books.epub import read_epub
from valle.books.epub_package import decode_markup
from valle.books.html_text import read_page
from valle.books.plain_text import read_markdown, read_plain_text
from valle.errors import TextError, UsageError
from valle.files import FileTooLargeError, read_regular_file

MAX_BYTES = 64 << 20  # of a text; "War and Peace" has 3 MiB
MAX_COVER_BYTES = 16 << 20
_MARKDOWN = (".md", ".markdown", ".mdown", ".mkd")
_HTML = (".html", ".htm", ".xhtml")
_FOREIGN_SHARE = 0.5  # of letters, above which a book is in another script
_SCRIPT_NAMES = {"CJK": "Chinese", "HIRAGANA": "Japanese", "KATAKANA": "Japanese"}
_RIGHT_TO_LEFT = ("Arabic", "Hebrew", "Syriac", "Thaana")
_OTHER_FORMATS = {
    b"%PDF": "a PDF document",
    b"\xd0\xcf\x11\xe0": "a document of an old word processor",
    b"{\\rtf": "an RTF document",
    b"BOOKMOBI": "a Kindle book",
}


@dataclass(frozen=True)
class ReadingChoices:
    """How a book is read."""

    speak_notes: bool = False
    """Whether footnotes are spoken where they stand."""
    skip_foreign: bool = False
    """Whether a book in another script or language is read for what can be spoken of it."""


def read_book(path: Path, choices: ReadingChoices) -> Book:
    """Read a book.

    Args:
        path: The file; its ending or its first bytes tell what it is.
        choices: How it is read.

    Raises:
        TextError: It cannot be read, has no text, or is in a language that is not spoken here.
        UsageError: It is in a format that is not read.
    """
    head = _read_head(path)
    if head.startswith(b"PK"):
        book = read_epub(path, choices.speak_notes)
    elif path.suffix.lower() == ".epub":
        raise TextError(f"{path} is not an EPUB: it is damaged, or something else; get it again")
    else:
        book = _read_text_file(path, choices)
    book = replace(book, title=book.title or path.stem)
    chapters = [
        chapter if chapter.title else replace(chapter, title=f"Part {number}")
        for number, chapter in enumerate(book.chapters, 1)
    ]
    book = replace(book, chapters=chapters)
    if not any(chapter.text for chapter in chapters):
        raise TextError(f"{path} holds no text")
    if not choices.skip_foreign:
        _check_language(path, book)
    return book


def select_chapters(book: Book, wanted: str) -> Book:
    """Return a book with some of its chapters; the others are listed as left out.

    Args:
        book: The whole book.
        wanted: Numbers and ranges from 1, such as "2-10,12".

    Raises:
        UsageError: It is none of that, or there is no such chapter.
    """
    numbers: set[int] = set()
    count = len(book.chapters)
    for part in wanted.replace(" ", "").split(","):
        first, dash, last = part.partition("-")
        try:
            low = int(first)
            high = (int(last) if last else count) if dash else low
        except ValueError:
            raise UsageError(f"--chapters takes numbers such as 2-10,12, not {wanted!r}") from None
        if not 1 <= low <= high <= count:
            raise UsageError(f"--chapters {part}: the book has chapters 1 to {count}")
        numbers.update(range(low, high + 1))
    chosen = [book.chapters[number - 1] for number in sorted(numbers)]
    omitted = [
        Omission(chapter.text, "a chapter that was not asked for (--chapters)", chapter.title)
        for number, chapter in enumerate(book.chapters, 1)
        if number not in numbers
    ]
    return replace(book, chapters=chosen, omissions=book.omissions + omitted)


def read_cover(path: Path) -> Cover:
    """Read the picture of a book.

    Raises:
        UsageError: It cannot be read, or is neither JPEG nor PNG.
    """
    try:
        cover = identify_cover(read_regular_file(path, MAX_COVER_BYTES))
    except (OSError, ValueError) as error:
        raise UsageError(f"the cover {path} cannot be read ({_reason(error)})") from error
    if cover is None:
        raise UsageError(f"the cover {path} is neither a JPEG nor a PNG picture; save it as one")
    return cover


def _read_head(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise TextError(f"{path} is a folder; give the file of a book")
        with path.open("rb") as file:
            head = file.read(68)
    except (OSError, ValueError) as error:
        raise TextError(f"{path} cannot be read ({_reason(error)})") from error
    for magic, name in _OTHER_FORMATS.items():
        if head.startswith(magic) or head[60:68] == magic:
            raise UsageError(
                f"{path} is {name}; valle reads EPUB, HTML, Markdown and plain text, so convert it "
                "to one of them first, with Calibre for example"
            )
    return head


def _read_text_file(path: Path, choices: ReadingChoices) -> Book:
    try:
        data = read_regular_file(path, MAX_BYTES)
    except (OSError, FileTooLargeError) as error:
        raise TextError(f"{path} cannot be read ({_reason(error)})") from error
    suffix = path.suffix.lower()
    if suffix in _HTML:
        return _read_html(decode_markup(data), path, choices)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise TextError(f"{path} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if "\0" in text:
        raise TextError(f"{path} is not text: it holds null characters")
    if suffix in _MARKDOWN:
        return read_markdown(text, choices.speak_notes)
    return read_plain_text(text)


def _read_html(markup: str, path: Path, choices: ReadingChoices) -> Book:
    page = read_page(markup, path.name, choices.speak_notes)
    chapters = split_by_headings([PagePart(path.name, page.blocks)])
    if chapters and not chapters[0].title:
        chapters[0] = replace(chapters[0], title=page.title)
    author = page.metadata.get("author", "")
    return Book(page.title, author, chapters, page.omissions, None, page.language)


def _check_language(path: Path, book: Book) -> None:
    """Refuse a book that is not in English.

    Raises:
        TextError: Most of its letters are of another script, or it states another language.
    """
    scripts = _count_scripts(book)
    total = sum(scripts.values())
    name, count = max(scripts.items(), key=lambda item: item[1], default=("Latin", 0))
    advice = "; valle speaks English. To speak what is in English in it, use --foreign skip"
    if name != "Latin" and count > _FOREIGN_SHARE * total:
        direction = " (right to left)" if name in _RIGHT_TO_LEFT else ""
        raise TextError(f"{path} is mostly in {name} writing{direction}{advice}")
    language = book.language.replace("_", "-").lower().partition("-")[0]
    if language not in ("", "en", "eng", "und", "mul", "zxx"):
        raise TextError(f"{path} says that its language is {book.language!r}{advice}")


def _count_scripts(book: Book) -> Counter[str]:
    """Return how many letters of each script a book has."""
    signs: Counter[str] = Counter()
    for chapter in book.chapters:
        signs.update(chapter.text)
    scripts: Counter[str] = Counter()
    for sign, count in signs.items():
        if sign.isalpha():
            word = unicodedata.name(sign, "UNKNOWN").split()[0]
            scripts[_SCRIPT_NAMES.get(word, word.capitalize())] += count
    return scripts


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
