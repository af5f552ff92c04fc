"""The project of a book: a folder from which it is continued, repaired and written again.

```
book.valle/
  book.json        what the book is, its sentences, the options, what is left out
  edits.json       what the user changed of single sentences
  voices/          the voices that speak it
  sentences/       what was spoken: one file for each sentence, by all that decides how it sounds
  sections/        minutes of encoded audio, so that a changed sentence costs only its own
```

A sentence is done when its file is there. So a run that was killed goes on where it stopped, and
nothing can disagree with what is on the disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from valle.books.document import Book, Cover, Omission, identify_cover
from valle.books.options import BookOptions
from valle.books.planning import Plan, PlannedSentence
from valle.errors import OutputError, UsageError
from valle.files import write_atomically
from valle.options import MAX_PAUSE

SUFFIX = ".valle"
FORMAT = 1
_BOOK, _EDITS, _COVER = "book.json", "edits.json", "cover"
_OWN = (_EDITS, _COVER, "voices", "sentences", "sections")  # what a project writes before that


class Edit(BaseModel):
    """What the user changed of a sentence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str | None = None
    voice: str | None = None
    rate: float | None = Field(None, ge=0.25, le=4.0)
    style: str | None = None
    pause_after: float | None = Field(None, ge=0.0, le=MAX_PAUSE)
    redo: int = Field(0, ge=0)
    """How often another reading of it was asked for."""


@dataclass(frozen=True)
class BookSentence:
    """A sentence as it is to be spoken: that of the book, with the user's changes."""

    number: int
    """From 1."""
    planned: PlannedSentence
    edit: Edit

    @property
    def text(self) -> str:
        """What is spoken."""
        return self.planned.text if self.edit.text is None else self.edit.text

    @property
    def voice(self) -> str | None:
        """The name of its voice; None for the narrator."""
        return self.planned.voice if self.edit.voice is None else self.edit.voice

    @property
    def rate(self) -> float:
        """Factor of the speaking rate."""
        return self.planned.rate if self.edit.rate is None else self.edit.rate

    @property
    def style(self) -> str | None:
        """As `valle.styles.parse_style` takes it; None keeps the voice's."""
        return self.planned.style if self.edit.style is None else self.edit.style

    @property
    def pause_after(self) -> float | None:
        """Seconds of silence after it; None for the usual pause."""
        own = self.edit.pause_after
        return self.planned.pause_after if own is None else own


class _StoredBook(BaseModel):
    """The content of `book.json`."""

    model_config = ConfigDict(extra="forbid")

    format: int
    source: str
    source_sha256: str
    modified: str
    """When the source was last changed, which is the date in files that need one."""
    title: str
    author: str
    chapters: list[str]
    narrator: str
    """The file name of the narrator's voice in `voices/`."""
    bundle: str = ""
    options: dict[str, Any]
    outputs: list[str] = Field(default_factory=list)
    captions: list[str] = Field(default_factory=list)
    split: bool = False
    words: int
    spoken: int
    sentences: list[dict[str, Any]]
    omissions: list[dict[str, str]]
    unaccounted: list[dict[str, str]] = Field(default_factory=list)


@dataclass
class Project:
    """A project as it is on the disk, with the changes that `save` writes."""

    folder: Path
    source: str
    source_sha256: str
    modified: str
    title: str
    author: str
    chapters: list[str]
    """Their titles."""
    narrator: str
    """The file name of the narrator's voice in `voices/`; empty before there is one."""
    options: BookOptions
    plan: Plan
    edits: dict[str, Edit] = field(default_factory=dict)
    """By the ids of sentences."""
    bundle: str = ""
    """The model's folder or address; empty for the default one."""
    outputs: list[str] = field(default_factory=list)
    """The files that the book was last written to."""
    captions: list[str] = field(default_factory=list)
    """What was last written next to the first of them: "srt", "vtt", "words", "chapters"."""
    split: bool = False
    """Whether each of them is a file for every chapter."""

    @property
    def sentences(self) -> list[BookSentence]:
        """All sentences in order, as they are to be spoken."""
        none = Edit.model_validate({})
        return [
            BookSentence(number, planned, self.edits.get(planned.id, none))
            for number, planned in enumerate(self.plan.sentences, 1)
        ]

    @property
    def spoken_chapters(self) -> list[int]:
        """The indices of the chapters that have sentences."""
        return sorted({planned.chapter for planned in self.plan.sentences})

    @property
    def sentences_folder(self) -> Path:
        """Where what was spoken is kept."""
        return self.folder / "sentences"

    @property
    def sections_folder(self) -> Path:
        """Where encoded sections are kept."""
        return self.folder / "sections"

    @property
    def voices_folder(self) -> Path:
        """Where the voices of the book are kept."""
        return self.folder / "voices"

    def find(self, number: int) -> BookSentence:
        """Return a sentence by its number.

        Raises:
            UsageError: There is none.
        """
        sentences = self.sentences
        if not 1 <= number <= len(sentences):
            raise UsageError(f"there is no sentence {number}; the book has 1 to {len(sentences)}")
        return sentences[number - 1]

    def change(self, number: int, **changes: Any) -> None:
        """Change a sentence, or (with `redo=True`) ask for another reading of it.

        Raises:
            UsageError: There is no such sentence, or a value is out of range.
        """
        sentence = self.find(number)
        if changes.pop("redo", False):
            changes["redo"] = sentence.edit.redo + 1
        try:
            edit = Edit(**sentence.edit.model_dump() | changes)
        except ValidationError as error:
            raise UsageError(f"sentence {number}: {error.errors()[0]['msg']}") from None
        self.edits[sentence.planned.id] = edit

    def restore(self, number: int) -> None:
        """Take back all changes of a sentence.

        Raises:
            UsageError: There is no such sentence.
        """
        self.edits.pop(self.find(number).planned.id, None)

    def save(self) -> None:
        """Write `book.json` and `edits.json`, each whole.

        Raises:
            OutputError: They cannot be written.
        """
        stored = _StoredBook(
            format=FORMAT,
            options=self.options.model_dump(mode="json"),
            words=self.plan.words,
            spoken=self.plan.spoken,
            sentences=[_shorten(asdict(planned)) for planned in self.plan.sentences],
            omissions=[_shorten(asdict(part)) for part in self.plan.omissions],
            unaccounted=[_shorten(asdict(part)) for part in self.plan.unaccounted],
            **{name: getattr(self, name) for name in _COPIED},
        )
        edits = {key: edit.model_dump(exclude_defaults=True) for key, edit in self.edits.items()}
        _write_json(self.folder / _EDITS, edits)
        _write_json(self.folder / _BOOK, stored.model_dump(mode="json"))

    def save_cover(self, cover: Cover | None) -> None:
        """Keep the cover of the book; None removes it.

        Raises:
            OutputError: It cannot be written.
        """
        path = self.folder / _COVER
        if cover is None:
            path.unlink(missing_ok=True)
            return
        with write_atomically(path) as part:
            part.write_bytes(cover.data)

    def load_cover(self) -> Cover | None:
        """Return the cover of the book, if it has one."""
        try:
            return identify_cover((self.folder / _COVER).read_bytes())
        except OSError:
            return None


_COPIED = (
    "source",
    "source_sha256",
    "modified",
    "title",
    "author",
    "chapters",
    "narrator",
    "bundle",
    "outputs",
    "captions",
    "split",
)


def load_project(folder: Path) -> Project:
    """Read a project.

    Raises:
        UsageError: The folder is none, or one of a later version.
    """
    try:
        data = json.loads((folder / _BOOK).read_bytes())
        if isinstance(data, dict) and data.get("format", 0) > FORMAT:
            raise UsageError(f"{folder} was made by a later version of valle; use that one")
        stored = _StoredBook.model_validate(data)
        edits_path = folder / _EDITS
        raw_edits = json.loads(edits_path.read_bytes()) if edits_path.exists() else {}
        edits = {str(key): Edit.model_validate(value) for key, value in raw_edits.items()}
        plan = Plan(
            [PlannedSentence(**sentence) for sentence in stored.sentences],
            _read_omissions(stored.omissions),
            stored.words,
            stored.spoken,
            _read_omissions(stored.unaccounted),
        )
        options = BookOptions(**stored.options)
    except FileNotFoundError:
        raise UsageError(
            f"{folder} is not a book project; name the folder that `valle book` made, ending in "
            f"{SUFFIX}"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"the project {folder} is damaged: {_first_line(error)}") from error
    names = {name: getattr(stored, name) for name in _COPIED}
    return Project(folder=folder, options=options, plan=plan, edits=edits, **names)


def make_project(
    folder: Path, source: Path, book: Book, plan: Plan, options: BookOptions
) -> Project:
    """Return a new project; nothing is written yet.

    Raises:
        OutputError: The folder exists and is not a project, or cannot be made.
    """
    # A disk that was full may have left the folder without its `book.json`.
    foreign = [p for p in folder.glob("[!.]*") if p.name not in _OWN] if folder.exists() else []
    if foreign and not (folder / _BOOK).exists():
        raise OutputError(f"{folder} exists and is not a book project; move it away")
    make_folder(folder)
    return Project(
        folder=folder,
        source=str(source.absolute()),
        source_sha256=hash_file(source),
        modified=read_modified(source),
        title=options.title or book.title,
        author=options.author or book.author,
        chapters=[chapter.title for chapter in book.chapters],
        narrator="",
        options=options,
        plan=plan,
    )


def find_project(named: Path | None) -> Path:
    """Return the folder of a project: the one named, that of a named output, or the only one.

    Raises:
        UsageError: There is none, or more than one.
    """
    if named is not None:
        return named if named.is_dir() else project_folder(named)
    found = sorted(path.parent for path in Path().glob(f"*{SUFFIX}/{_BOOK}"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError("there is no book project in this folder; name it with --project")
    names = ", ".join(map(str, found))
    raise UsageError(f"there are several projects here ({names}); name one with --project")


def project_folder(output: Path) -> Path:
    """Return the project that belongs to an output: `book.valle` for `book.m4b`."""
    return output.with_suffix(SUFFIX)


def make_folder(folder: Path) -> None:
    """Create a folder where there is none.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def read_modified(path: Path) -> str:
    """Return when a file was last changed, in UTC as EPUB writes it."""
    moment = datetime.fromtimestamp(int(path.stat().st_mtime), timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _shorten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what has its usual value, so that the file can be read by people."""
    usual = {
        "is_heading": False,
        "ends_scene": False,
        "voice": None,
        "rate": 1.0,
        "style": None,
        "pause_after": None,
    }
    return {name: value for name, value in values.items() if usual.get(name, ...) != value}


def _read_omissions(values: list[dict[str, str]]) -> list[Omission]:
    return [Omission(**value) for value in values]


def _write_json(path: Path, value: Any) -> None:
    with write_atomically(path) as part:
        text = json.dumps(value, ensure_ascii=False, indent=1) + "\n"
        part.write_text(text, encoding="utf-8", errors="surrogatepass")


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0]
