"""Audiobooks in Python: made, continued, repaired and written, as `valle book` does it.

A project is held by one process at a time, so both functions are context managers:

    with make_audiobook(model, "rain.epub", "Ada", "rain.m4b", title="Rain") as book:
        for sentence in book.speak():
            print(sentence.sentence.number, sentence.state)
        book.write()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.arrays import Samples
from valle.books.export import BookWriter
from valle.books.options import BookKeywords, BookOptions
from valle.books.outputs import Outputs, WrittenBook, keep_outputs, read_outputs
from valle.books.preparation import lock_project, prepare_project
from valle.books.project import Edit, Project, load_project, project_folder
from valle.books.report import SentenceReport, report_book, report_sentence, sort_worst_first
from valle.books.speaking import BookSpeaker, keep_voice
from valle.errors import OutputError, UsageError
from valle.synthesis.model import Model, find_voice
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Audiobook:
    """A book that is held by this process; from `make_audiobook` or `open_audiobook`."""

    def __init__(self, model: Model, project: Project, overwrite: bool = True) -> None:
        """Work on a project whose lock is held.

        Args:
            model: From `valle.load()`.
            project: The project.
            overwrite: Whether its own outputs are replaced.
        """
        self.model = model
        self.project = project
        self._overwrite = overwrite
        self._opened: BookSpeaker | None = None

    @property
    def speaker(self) -> BookSpeaker:
        """What speaks its sentences, with the voices that they have now.

        Raises:
            UsageError: It has no narrator, there is no voice of a name, or the lexicon is wrong.
            RecordingError: A voice file is damaged.
        """
        if not self.project.narrator:
            raise UsageError("give the voice: --voice NAME|FILE or --ref-audio FILE")
        if self._opened is None:
            self._opened = BookSpeaker(self.model, self.project)
        return self._opened

    def set_narrator(self, voice: Voice | str | Path) -> None:
        """Have the book spoken in a voice, which is copied into the project.

        Raises:
            UsageError: There is no such voice.
            OutputError: The project cannot be written.
        """
        found = find_voice(voice)
        self.project.narrator = keep_voice(self.project, found, f"narrator {found.name}")
        self._opened = None
        self.project.save()

    def speak(self) -> Iterator[SentenceReport]:
        """Speak the sentences that were not spoken yet; yields each when it is kept.

        Whoever stops iterating, or is interrupted, loses at most the sentences that are being
        spoken.

        Raises:
            TextError: Nothing of a sentence can be spoken.
            ConsentError: A voice may not be used.
            OutputError: The disk is full.
        """
        for sentence, record in self.speaker.speak_all():
            yield report_sentence(self.project, sentence, record, self.model.frame_rate)

    @property
    def is_complete(self) -> bool:
        """Whether all sentences were spoken."""
        return all(state.done for state in self.speaker.list_states())

    def report(self) -> list[SentenceReport]:
        """Return what is known of all sentences, in their order."""
        return report_book(self.speaker)

    def find_worst(self) -> list[SentenceReport]:
        """Return the sentences that the recognizer did not understand, the worst first."""
        return sort_worst_first(self.report())

    def fix(self, number: int, **changes: Any) -> SentenceReport:
        """Change a sentence and speak it again.

        Args:
            number: Of the sentence, from 1.
            changes: `text`, `voice` (a name in the registry), `rate`, `style` or `pause_after`.

        Raises:
            UsageError: There is no such sentence or voice, or a value is out of range.
            TextError: Nothing of it can be spoken.
            ConsentError: Its voice may not be used.
            OutputError: It cannot be kept.
        """
        return self._change(number, lambda: self.project.change(number, **changes))

    def redo(self, number: int) -> SentenceReport:
        """Speak a sentence again in another way. Raises what `fix` raises."""
        return self._change(number, lambda: self.project.change(number, redo=True))

    def restore(self, number: int) -> SentenceReport:
        """Take back all changes of a sentence. Raises what `fix` raises."""
        return self._change(number, lambda: self.project.restore(number))

    def render_sentence(self, number: int) -> tuple[Samples, int]:
        """Return the samples [N] of one sentence by itself, and their rate in Hz.

        Raises:
            UsageError: There is no such sentence.
            ConsentError: Its voice may not be used.
        """
        return BookWriter(self.speaker).render_sentence(number)

    def write(
        self,
        outputs: Outputs | None = None,
        overwrite: bool = False,
        progress: Callable[[int, int], None] = lambda _done, _count: None,
    ) -> WrittenBook:
        """Write the book; nothing is spoken again, and only changed parts are encoded again.

        Args:
            outputs: The files; None for those that the book was made with, which are replaced
                where it was opened, or made with `overwrite`.
            overwrite: Whether existing files of `outputs` are replaced.
            progress: Called with how many parts are encoded, and how many there are.

        Raises:
            UsageError: A sentence was not spoken yet, or a format is unknown.
            ConsentError: A voice may not be used.
            OutputError: A file cannot be written, or exists and may not be replaced.
        """
        if outputs is None:
            outputs, overwrite = read_outputs(self.project), self._overwrite
        return BookWriter(self.speaker, progress).write(outputs, overwrite)

    def _change(self, number: int, change: Callable[[], None]) -> SentenceReport:
        """Change a sentence and speak it; where that fails, it stays as it was."""
        before: dict[str, Edit] = dict(self.project.edits)
        try:
            change()
            self._opened = None  # the sentence may have another voice
            sentence = self.project.find(number)
            record = self.speaker.load(sentence) or self.speaker.speak(sentence)
            self.project.save()
        except BaseException:
            self.project.edits, self._opened = before, None
            raise
        return report_sentence(self.project, sentence, record, self.model.frame_rate)


@contextmanager
def make_audiobook(  # noqa: PLR0913 - public options
    model: Model,
    source: str | Path,
    voice: Voice | str | Path | None,
    outputs: Outputs | str | Path,
    folder: str | Path | None = None,
    overwrite: bool = False,
    **options: Unpack[BookKeywords],
) -> Iterator[Audiobook]:
    """Begin a book, or go on with it: what was spoken before is not spoken again.

    Args:
        model: From `valle.load()`.
        source: An EPUB, HTML, Markdown or text file.
        voice: The narrator; None keeps that of a book that is continued.
        outputs: What it is written to, such as `book.m4b`.
        folder: The project; None for `book.valle` next to `book.m4b`.
        overwrite: Whether existing outputs are replaced.
        options: Fields of `valle.books.options.BookOptions`.

    Yields:
        The book; `speak` and `write` are what is left to do.

    Raises:
        TextError: The book cannot be read, or has nothing to speak.
        UsageError: An option is wrong, or there is no such voice.
        OutputError: Another process holds the project, it cannot be written, or an output exists.
    """
    chosen = BookOptions.from_keywords(**options)
    wanted = outputs if isinstance(outputs, Outputs) else Outputs([Path(outputs)])
    if not wanted.files:
        raise UsageError("name the file to write with -o, such as -o book.m4b")
    wanted.check()
    found = None if voice is None else find_voice(voice)
    place = project_folder(wanted.files[0]) if folder is None else Path(folder)
    with lock_project(place):
        project = prepare_project(Path(source), place, chosen)
        for path in wanted.list_all(len(project.spoken_chapters)):
            if path.exists() and not overwrite:
                raise OutputError(f"{path} exists already; replace it with --force")
        keep_outputs(project, wanted)
        book = Audiobook(model, project, overwrite)
        if found is not None:
            book.set_narrator(found)
        project.save()
        yield book


@contextmanager
def open_audiobook(model: Model, folder: str | Path) -> Iterator[Audiobook]:
    """Open the project of a book, to repair it or to write it again.

    Raises:
        UsageError: The folder is none.
        OutputError: Another process holds it.
    """
    place = Path(folder)
    load_project(place)  # before the lock, which would make the folder
    with lock_project(place):
        yield Audiobook(model, load_project(place))
