"""The project of a book, new or continued: only what has changed is read and planned again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from valle.books.document import Book, Cover, Omission
from valle.books.options import BookOptions
from valle.books.planning import Plan, plan_book
from valle.books.project import (
    Project,
    hash_file,
    load_project,
    make_project,
    read_modified,
)
from valle.books.reader import ReadingChoices, read_book, read_cover, select_chapters
from valle.errors import OutputError, TextError, UsageError
from valle.text.reading import make_reading

_LANGUAGE = "en-us"
# Of the options, those that decide what the sentences are.
_PLANNING = ("chapters", "notes", "foreign", "plain", "lexicon")
_LOCK = ".lock"


@contextmanager
def lock_project(folder: Path) -> Iterator[None]:
    """Hold a project, so that no other process changes it.

    Raises:
        OutputError: Another process holds it, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK, timeout=0)
        lock.acquire()
    except Timeout:
        raise OutputError(f"another process works on {folder}; wait until it is done") from None
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def read_and_plan(source: Path, options: BookOptions) -> tuple[Book, Plan]:
    """Read a book and plan its sentences.

    Raises:
        TextError: It cannot be read or has nothing to speak.
        UsageError: It is in a format that is not read, or an option does not fit.
    """
    choices = ReadingChoices(options.notes == "speak", options.foreign == "skip")
    book = read_book(source, choices)
    if options.chapters is not None:
        book = select_chapters(book, options.chapters)
    reading = make_reading(True, options.lexicon)
    return book, plan_book(book, _LANGUAGE, reading, options.plain)


def prepare_project(source: Path, folder: Path, options: BookOptions) -> Project:
    """Return the project of a book, which is written: a new one, or that of the folder.

    What was changed of single sentences stays, also where the source is another version of the
    book: sentences are known by their text.

    Raises:
        TextError: The book cannot be read or has nothing to speak.
        UsageError: An option does not fit.
        OutputError: The project cannot be written.
    """
    try:
        digest = hash_file(source)
    except OSError as error:
        raise TextError(f"{source} cannot be read ({error.strerror})") from error
    old = _load_old(folder)
    cover = read_cover(Path(options.cover)) if options.cover else None
    if old is not None and _is_current(old, digest, options):
        project = old
        project.title = options.title or project.title
        project.author = options.author or project.author
        project.options = options
        project.source, project.modified = str(source.absolute()), read_modified(source)
    else:
        book, plan = read_and_plan(source, options)
        project = make_project(folder, source, book, plan, options)
        cover = cover or book.cover
        if old is not None:
            project.edits, project.narrator = old.edits, old.narrator
        project.save_cover(cover)
        cover = None
    if cover is not None:
        project.save_cover(cover)
    project.save()
    return project


def change_options(project: Project, changes: dict[str, object]) -> None:
    """Change options of a project that do not decide what its sentences are.

    Raises:
        UsageError: An option decides that, or a value is out of range.
    """
    for name in changes:
        if name in _PLANNING:
            raise UsageError(
                f"--{name} decides what is read; give it to `valle book {project.source}`"
            )
    cover: Cover | None = None
    project.options = BookOptions.from_keywords(**project.options.model_dump() | changes)
    if changes.get("cover"):
        cover = read_cover(Path(str(project.options.cover)))
        project.save_cover(cover)
    project.title = project.options.title or project.title
    project.author = project.options.author or project.author


def count_by_reason(omissions: list[Omission]) -> dict[str, int]:
    """Return how many parts are left out for each reason, the most frequent first."""
    counts: dict[str, int] = {}
    for omission in omissions:
        counts[omission.why] = counts.get(omission.why, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _load_old(folder: Path) -> Project | None:
    if not (folder / "book.json").exists():
        return None
    try:
        return load_project(folder)
    except UsageError as error:
        raise UsageError(f"{error}; move it away to start again") from None


def _is_current(old: Project, digest: str, options: BookOptions) -> bool:
    return old.source_sha256 == digest and all(
        getattr(old.options, name) == getattr(options, name) for name in _PLANNING
    )
