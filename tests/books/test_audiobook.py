"""Audiobooks in Python: made, repaired, split into chapters, and what a full disk leaves."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import valle
from valle.books.audiobook import Audiobook, make_audiobook, open_audiobook
from valle.books.options import BookKeywords, BookOptions
from valle.books.outputs import Outputs
from valle.errors import OutputError, UsageError

av = pytest.importorskip("av", reason="needs the extra [media]")

TEXT = "# One\n\nIt rains. The house is green.\n\n# Two\n\nThe sun came out. It rains.\n"
QUICK: dict[str, Any] = {"retries": 0}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "book.md"
    path.write_text(TEXT)
    return path


def finish(book: Audiobook) -> None:
    for _ in book.speak():
        pass
    book.write()


def test_keywords_are_the_options() -> None:
    assert get_type_hints(BookKeywords).keys() == BookOptions.model_fields.keys()


def test_a_book_is_made_repaired_and_written(
    source: Path, model: valle.Model, voice: valle.Voice
) -> None:
    output = source.with_name("rain.m4b")
    with make_audiobook(model, source, voice, output, title="Rain", **QUICK) as book:
        assert not book.is_complete
        with pytest.raises(UsageError, match="were not spoken yet"):
            book.write()
        spoken = [report.sentence.number for report in book.speak()]
        assert sorted(spoken) == [1, 2, 3, 4, 5, 6]
        assert book.is_complete
        written = book.write()
        with (
            pytest.raises(OutputError, match="another process"),
            open_audiobook(model, source.with_name("rain.valle")),
        ):
            pass
    assert written.files == [output]
    first = output.read_bytes()
    with open_audiobook(model, source.with_name("rain.valle")) as book:
        assert book.redo(2).sentence.edit.redo == 1
        assert book.fix(5, text="The moon came out.").sentence.text == "The moon came out."
        samples, rate = book.render_sentence(5)
        assert len(samples) > 0.3 * rate
        book.write()
        assert output.read_bytes() != first
        book.restore(2)
        book.restore(5)
        book.write()
    assert output.read_bytes() == first
    with (
        pytest.raises(OutputError, match="exists already"),
        make_audiobook(model, source, None, output),
    ):
        pass


def test_a_repair_that_fails_changes_nothing(
    source: Path, model: valle.Model, voice: valle.Voice
) -> None:
    output = source.with_name("rain.flac")
    with make_audiobook(model, source, voice, output, **QUICK) as book:
        finish(book)
        first = output.read_bytes()
        with pytest.raises(UsageError, match="no voice named 'Nobody'"):
            book.fix(2, voice="Nobody")
        with pytest.raises(valle.Error):
            book.fix(2, text="[[")
        book.write(Outputs([source.with_name("again.flac")]))
    assert source.with_name("again.flac").read_bytes() == first
    with open_audiobook(model, source.with_name("rain.valle")) as book:
        assert book.project.edits == {}
    with (
        pytest.raises(UsageError, match="not a book project"),
        open_audiobook(model, source.with_name("none.valle")),
    ):
        pass
    assert not source.with_name("none.valle").exists()


def test_a_book_needs_a_narrator(source: Path, model: valle.Model) -> None:
    with (
        make_audiobook(model, source, None, source.with_name("rain.m4b")) as book,
        pytest.raises(UsageError, match="give the voice"),
    ):
        finish(book)


def test_chapters_are_files_of_their_own(
    source: Path, model: valle.Model, voice: valle.Voice
) -> None:
    whole, parts = source.with_name("rain.mp3"), Outputs([source.with_name("part.mp3")], split=True)
    with make_audiobook(model, source, voice, whole, title="Rain", loudness="acx", **QUICK) as book:
        finish(book)
        written = book.write(parts)
    names = ["part-01.mp3", "part-02.mp3"]
    assert [file.name for file in written.files] == names
    seconds = 0.0
    for number, file in enumerate(written.files, 1):
        with av.open(str(file)) as container:
            tags = {key.lower(): value for key, value in container.metadata.items()}
            stream = container.streams.audio[0]
            assert (stream.rate, stream.codec_context.bit_rate) == (44_100, 192_000)
        assert tags["title"] == ["One", "Two"][number - 1]
        assert (tags["album"], tags["track"]) == ("Rain", f"{number}/2")
        levels = written.levels[file]
        assert -23 <= levels.rms <= -18
        assert levels.peak <= -3
        assert file.with_name(f"{file.name}.json").exists()
        seconds += levels.seconds
    assert seconds == pytest.approx(written.seconds, abs=0.1)
    with pytest.raises(UsageError, match="--split and --srt"):
        Outputs([whole], ["srt"], split=True).check()
    with pytest.raises(UsageError, match="an e-book is one file"):
        Outputs([Path("book.epub")], split=True).check()


@contextmanager
def limit_files(size: int) -> Iterator[None]:
    """Have every file that grows over a size fail, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_loses_nothing(
    source: Path, model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    """Wherever it is full, it is said; what was kept before is used, and the book is the same."""
    (tmp_path / "whole").mkdir()
    whole = tmp_path / "whole" / "rain.m4b"
    with make_audiobook(model, source, voice, whole, **QUICK) as book:
        finish(book)
    (tmp_path / "full").mkdir()
    full = tmp_path / "full" / "rain.m4b"
    failures = []
    ledger_size = max(f.stat().st_size for f in valle.files.data_folder().rglob("*") if f.is_file())
    for size in (600, 2_000, 5_000, ledger_size + 400, 12_000 + ledger_size, whole.stat().st_size):
        try:
            with (
                limit_files(size),
                make_audiobook(model, source, voice, full, overwrite=True, **QUICK) as book,
            ):
                finish(book)
        except OutputError as error:
            failures.append(str(error))
            assert not full.exists()
            assert not full.with_name("rain.m4b.json").exists()
        else:
            assert full.read_bytes() == whole.read_bytes()
    assert len(failures) >= 3
    assert all("too large" in failure for failure in failures), failures
    assert not list(full.parent.rglob(".valle-*.tmp"))
    with make_audiobook(model, source, voice, full, overwrite=True, **QUICK) as book:
        finish(book)
    assert full.read_bytes() == whole.read_bytes()


def test_a_folder_of_somebody_else_is_kept(
    source: Path, model: valle.Model, voice: valle.Voice
) -> None:
    folder = source.with_name("rain.valle")
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with (
        pytest.raises(OutputError, match="is not a book project"),
        make_audiobook(model, source, voice, source.with_name("rain.m4b")),
    ):
        pass
    assert [path.name for path in folder.iterdir() if path.name[0] != "."] == ["notes.txt"]
