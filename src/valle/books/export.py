"""Writing a book: its audiobook files, what stands beside them, and their signed records."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from valle.arrays import Samples
from valle.books.acx import AcxLevels, measure_levels
from valle.books.muxing import BookTags, ChapterMark, write_audiobook
from valle.books.options import ACX
from valle.books.outputs import READ_ALONG, Outputs, WrittenBook
from valle.books.packets import (
    Encoding,
    PacketList,
    choose_encoding,
    encode_section,
    load_packets,
    save_packets,
)
from valle.books.read_along import ReadAlongChapter, write_read_along
from valle.books.sections import Section, SectionRenderer, SentenceSound, divide
from valle.books.speaking import THREADS, BookSpeaker
from valle.books.spoken import SpokenRecord
from valle.books.timeline import (
    CAPTIONS,
    TimedSentence,
    Timeline,
    make_timeline,
    time_sentences,
)
from valle.consent.validity import check_usable
from valle.errors import OutputError, UsageError
from valle.files import write_atomically
from valle.options import describe_options
from valle.trust import ledger, provenance
from valle.version import __version__

_AUDIO_OF_READ_ALONG = ".m4b"  # AAC in MP4, which all reading systems play

Report = Callable[[int, int], None]
"""Called with how many sections are encoded, and how many there are."""


@dataclass(frozen=True)
class _EncodedBook:
    sections: list[Section]
    files: list[Path]
    """The packets of each section."""
    lengths: list[int]
    """Samples of each section."""
    encoding: Encoding

    @property
    def starts(self) -> list[float]:
        """When each section begins, in seconds."""
        starts, at = [], 0
        for length in self.lengths:
            starts.append(at / self.encoding.rate)
            at += length
        return starts

    @property
    def seconds(self) -> float:
        return sum(self.lengths) / self.encoding.rate


class BookWriter:
    """Writes the book of a project."""

    def __init__(self, speaker: BookSpeaker, report: Report = lambda _done, _count: None) -> None:
        self._speaker = speaker
        self._project = speaker.project
        self._options = speaker.project.options
        self._renderer = SectionRenderer(speaker.model, self._options)
        self._report = report

    def write(self, outputs: Outputs, overwrite: bool) -> WrittenBook:
        """Write the book to files.

        Args:
            outputs: The files.
            overwrite: Whether existing files are replaced.

        Raises:
            UsageError: A sentence was not spoken yet, or a format is unknown.
            ConsentError: A voice may not be used.
            OutputError: A file cannot be written, or exists and `overwrite` is False.
        """
        outputs.check()
        for voice in self._speaker.voices.values():
            check_usable(voice, language=self._speaker.model.bundle.config.language)
        sections = self._divide()
        used: set[Path] = set()
        files: list[Path] = []
        seconds = 0.0
        for index, output in enumerate(outputs.files):
            is_read_along = output.suffix.lower() == READ_ALONG
            model_rate = self._speaker.model.sample_rate
            named = output.with_suffix(_AUDIO_OF_READ_ALONG) if is_read_along else output
            encoding = choose_encoding(named, self._options, model_rate)
            book = self._encode(sections, encoding)
            used.update(book.files)
            seconds = book.seconds
            wanted = outputs.captions if index == 0 else []
            timed = self._time(book) if wanted or is_read_along else []
            written = outputs.list_audio(output, len(self._project.spoken_chapters))
            if is_read_along:
                write = partial(self._write_read_along, book=book, timed=timed)
                self._save(output, overwrite, book.seconds, write)
            elif outputs.split:
                self._write_chapters(written, book, overwrite)
            else:
                write = partial(self._write_audio, book=book)
                self._save(output, overwrite, book.seconds, write)
            files += written
            self._write_captions(output, wanted, make_timeline(timed, seconds), book, overwrite)
        self._prune(used)
        return WrittenBook(files, seconds, self._measure_levels(files))

    def _measure_levels(self, files: Sequence[Path]) -> dict[Path, AcxLevels]:
        if self._options.loudness != ACX:
            return {}
        audio = [file for file in files if file.suffix.lower() != READ_ALONG]
        with ThreadPoolExecutor(THREADS, thread_name_prefix="level") as pool:
            return dict(zip(audio, pool.map(measure_levels, audio), strict=True))

    def render_sentence(self, number: int, rate: int | None = None) -> tuple[Any, int]:
        """Return the samples of one sentence by itself, and their rate in Hz.

        Raises:
            UsageError: There is no such sentence, or it was not spoken yet.
            ConsentError: Its voice may not be used.
        """
        sentence = self._project.find(number)
        voice = self._speaker.voice(sentence)
        check_usable(voice, language=self._speaker.model.bundle.config.language)
        key = self._speaker.key(sentence)
        section = divide([(sentence, key)], self._options)[0]
        rate = rate or self._speaker.model.sample_rate
        return self._render(section, rate), rate

    def _divide(self) -> list[Section]:
        states = self._speaker.list_states()
        missing = [state.sentence.number for state in states if not state.done]
        if missing:
            raise UsageError(
                f"{len(missing)} sentences were not spoken yet, the first is {missing[0]}; "
                "give the command that began the book again"
            )
        return divide([(state.sentence, state.key) for state in states], self._options)

    def _load(self, section: Section) -> list[SpokenRecord]:
        records = []
        for item in section.sentences:
            record = self._speaker.store.load(item.key)
            if record is None:  # damaged, or removed by somebody
                record = self._speaker.speak(item.sentence)
            records.append(record)
        return records

    def _encode(self, sections: list[Section], encoding: Encoding) -> _EncodedBook:
        """Encode the sections that are not kept yet, several at once."""
        folder = self._project.sections_folder
        level = f"{encoding.key}-{self._options.loudness}"
        files = [folder / f"{section.key}-{level}.npz" for section in sections]
        lengths: list[int] = []

        def encode(index: int) -> int:
            packets = load_packets(files[index])
            if packets is None:
                packets = self._encode_section(sections[index], encoding)
                save_packets(files[index], packets)
            return packets.samples

        with ThreadPoolExecutor(THREADS, thread_name_prefix="section") as pool:
            try:
                for length in pool.map(encode, range(len(sections))):
                    lengths.append(length)
                    self._report(len(lengths), len(sections))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return _EncodedBook(sections, files, lengths, encoding)

    def _encode_section(self, section: Section, encoding: Encoding) -> PacketList:
        return encode_section(self._render(section, encoding.rate), encoding)

    def _render(self, section: Section, rate: int) -> Samples:
        records = self._load(section)
        sounds = [
            SentenceSound(
                self._speaker.load_sound(item.sentence, record),
                self._speaker.voice(item.sentence).consent["id"],
            )
            for item, record in zip(section.sentences, records, strict=True)
        ]
        return self._renderer.render(section, records, sounds, rate)

    def _read_packets(self, book: _EncodedBook, indices: Sequence[int]) -> Iterator[PacketList]:
        for index in indices:
            packets = load_packets(book.files[index])
            if packets is None:
                packets = self._encode_section(book.sections[index], book.encoding)
            yield packets

    def _time(self, book: _EncodedBook) -> list[TimedSentence]:
        timed: list[TimedSentence] = []
        for section, start in zip(book.sections, book.starts, strict=True):
            records = self._load(section)
            timed += time_sentences(
                section, records, self._renderer.measure(section, records), start
            )
        return timed

    def _mark_chapters(self, book: _EncodedBook) -> list[ChapterMark]:
        starts: dict[int, float] = {}
        for section, start in zip(book.sections, book.starts, strict=True):
            starts.setdefault(section.chapter, start)
        ends = [*list(starts.values())[1:], book.seconds]
        return [
            ChapterMark(self._project.chapters[chapter], start, end)
            for (chapter, start), end in zip(starts.items(), ends, strict=True)
        ]

    def _write_audio(self, part: Path, book: _EncodedBook) -> None:
        tags = self._make_tags(self._mark_chapters(book))
        packets = self._read_packets(book, range(len(book.sections)))
        write_audiobook(part, book.encoding, packets, tags)

    def _write_chapters(self, files: Sequence[Path], book: _EncodedBook, overwrite: bool) -> None:
        """Write a file for every chapter."""
        marks = self._mark_chapters(book)
        chapters = list(dict.fromkeys(section.chapter for section in book.sections))
        whole = self._make_tags([])
        for number, (file, mark, chapter) in enumerate(zip(files, marks, chapters, strict=True), 1):
            title = mark.title or f"{whole.title}, part {number}"
            tags = replace(whole, title=title, album=whole.title, track=f"{number}/{len(files)}")
            own = [i for i, section in enumerate(book.sections) if section.chapter == chapter]
            write = partial(
                write_audiobook,
                encoding=book.encoding,
                sections=self._read_packets(book, own),
                tags=tags,
            )
            self._save(file, overwrite, mark.end - mark.start, write)

    def _write_read_along(self, part: Path, book: _EncodedBook, timed: list[TimedSentence]) -> None:
        marks = self._mark_chapters(book)
        chapters = list(dict.fromkeys(section.chapter for section in book.sections))
        with tempfile.TemporaryDirectory(prefix="valle-") as folder:
            read_along = []
            for mark, chapter in zip(marks, chapters, strict=True):
                audio = Path(folder, f"{chapter}.m4a")
                own = [i for i, section in enumerate(book.sections) if section.chapter == chapter]
                tags = BookTags(mark.title, self._project.author, self._narrator, "")
                write_audiobook(audio, book.encoding, self._read_packets(book, own), tags)
                sentences = [each for each in timed if each.sentence.planned.chapter == chapter]
                read_along.append(ReadAlongChapter(mark, sentences, audio))
            identity = f"urn:sha256:{self._project.source_sha256}", self._project.modified
            write_read_along(part, read_along, self._make_tags(marks), identity)

    @property
    def _narrator(self) -> str:
        return self._options.narrator or self._speaker.voices[None].name

    def _make_tags(self, marks: list[ChapterMark]) -> BookTags:
        consent = self._speaker.voices[None].consent
        comment = (
            f"synthetic speech made by valle {__version__}; "
            f"model {self._speaker.model.bundle.config.name}; "
            f"consent {consent['kind']}, receipt {consent['id']}"
        )
        project = self._project
        cover = project.load_cover()
        return BookTags(project.title, project.author, self._narrator, comment, marks, cover)

    def _save(
        self,
        output: Path,
        overwrite: bool,
        seconds: float,
        write: Callable[[Path], None],
    ) -> None:
        """Write an output and its record, both or neither."""
        key = ledger.get_signing_key().private
        try:
            with (
                write_atomically(provenance.sidecar_path(output), overwrite) as sidecar_part,
                write_atomically(output, overwrite) as part,
            ):
                write(part)
                record = self._describe(seconds) | {"file_sha256": provenance.file_sha256(part)}
                signed = provenance.sign(record, key)
                sidecar_part.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")
        except FileExistsError as error:
            raise OutputError(f"{output} exists already; replace it with --force") from error

    def _describe(self, seconds: float) -> dict[str, Any]:
        voices = list(self._speaker.voices.values())
        described = [
            {"voice": v.name, "consent": {"kind": v.consent["kind"], "id": v.consent["id"]}}
            for v in voices
        ]
        return {
            "made_by": f"valle {__version__}",
            "model": self._speaker.model.bundle.config.name,
            **described[0],
            "voices": described[1:],
            "options": describe_options(self._options),
            "source_sha256": self._project.source_sha256,
            "seconds": round(seconds, 3),
        }

    def _write_captions(
        self,
        output: Path,
        captions: Sequence[str],
        timeline: Timeline,
        book: _EncodedBook,
        overwrite: bool,
    ) -> None:
        marks = self._mark_chapters(book)
        for kind in captions:
            suffix, make = CAPTIONS[kind]
            path = output.with_suffix(suffix)
            try:
                with write_atomically(path, overwrite) as part:
                    part.write_text(make(timeline, marks), encoding="utf-8")
            except FileExistsError as error:
                raise OutputError(f"{path} exists already; replace it with --force") from error

    def _prune(self, used: set[Path]) -> None:
        """Remove encoded sections that the book has no longer."""
        for path in self._project.sections_folder.glob("*.npz"):
            if path not in used:
                with contextlib.suppress(OSError):
                    path.unlink()
