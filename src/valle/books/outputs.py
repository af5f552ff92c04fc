"""What a book is written to: its files, what stands beside them, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from valle.books.acx import AcxLevels
from valle.books.options import BookOptions
from valle.books.packets import choose_encoding
from valle.books.project import Project
from valle.books.timeline import CAPTIONS
from valle.errors import UsageError
from valle.trust import provenance

READ_ALONG = ".epub"


@dataclass(frozen=True)
class Outputs:
    """What a book is written to."""

    files: list[Path]
    """Their endings are the formats."""
    captions: list[str] = field(default_factory=list)
    """Kinds of `CAPTIONS`, written beside the first file."""
    split: bool = False
    """Whether each file stands for one of every chapter: `book-01.mp3` for `book.mp3`."""

    def check(self) -> None:
        """Check the names, before any work.

        Raises:
            UsageError: A format is unknown, two files would have one name, or options exclude each
                other.
        """
        for output in self.files:
            if output.suffix.lower() != READ_ALONG:
                choose_encoding(output, BookOptions.from_keywords(), 16_000)
            elif self.split:
                raise UsageError("--split makes a file of every chapter, and an e-book is one file")
        if self.split and self.captions:
            raise UsageError(
                f"--split and --{self.captions[0].replace('_', '-')} exclude each other: their "
                "times are those of the whole book"
            )
        targets = self.list_all(1)
        if len(set(targets)) < len(targets):
            raise UsageError("two of the outputs would be written to the same file")

    def list_audio(self, output: Path, chapters: int) -> list[Path]:
        """Return the files that one of `files` stands for, in a book of so many chapters."""
        if not self.split:
            return [output]
        width = max(2, len(str(chapters)))
        return [
            output.with_stem(f"{output.stem}-{number:0{width}d}")
            for number in range(1, chapters + 1)
        ]

    def list_all(self, chapters: int) -> list[Path]:
        """Return all files that are written: with their records and captions."""
        paths = []
        for output in self.files:
            for path in self.list_audio(output, chapters):
                paths += [path, provenance.sidecar_path(path)]
        first = self.files[0] if self.files else Path()
        return paths + [first.with_suffix(CAPTIONS[kind][0]) for kind in self.captions]


def read_outputs(project: Project) -> Outputs:
    """Return what the book of a project is written to."""
    return Outputs([Path(output) for output in project.outputs], project.captions, project.split)


def keep_outputs(project: Project, outputs: Outputs) -> None:
    """Have the book of a project written to these files from now on."""
    project.outputs = [str(output.absolute()) for output in outputs.files]
    project.captions, project.split = list(outputs.captions), outputs.split


@dataclass(frozen=True)
class WrittenBook:
    """What was written."""

    files: list[Path]
    """The audiobooks and e-books, without what stands beside them."""
    seconds: float
    levels: dict[Path, AcxLevels]
    """What was measured of each file, where the levels of ACX were asked for."""
