"""Chapter marks are where the chapters are: read by readers that share nothing with the writer."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from book_files import JPEG, read_chpl, read_id3_chapters, read_vorbis_chapters
from valle.books.document import Cover
from valle.books.muxing import BookTags, ChapterMark, read_size, write_audiobook
from valle.books.options import BookOptions
from valle.books.packets import (
    Encoding,
    choose_encoding,
    encode_section,
    load_packets,
    save_packets,
)
from valle.errors import UsageError

av = pytest.importorskip("av", reason="needs the extra [media]")

RATE, HEAD, CHAPTERS = 16_000, 0.16, 60
OWN_READERS = {
    ".m4b": read_chpl,
    ".mp3": read_id3_chapters,
    ".opus": read_vorbis_chapters,
    ".flac": read_vorbis_chapters,
}


def make_sections(encoding: Encoding):
    """Sections of uneven lengths with a tone after `HEAD` seconds of silence."""
    rng = np.random.default_rng(0)
    for _ in range(CHAPTERS):
        tone = 0.5 * np.sin(np.arange(round(0.1 * encoding.rate)) * 2 * np.pi * 800 / encoding.rate)
        tail = np.zeros(round(rng.uniform(0.3, 0.5) * encoding.rate))
        head = np.zeros(round(HEAD * encoding.rate))
        yield encode_section(np.concatenate([head, tone, tail]).astype(np.float32), encoding)


def write(path: Path) -> tuple[Encoding, list[ChapterMark]]:
    encoding = choose_encoding(path, BookOptions.from_keywords(), RATE)
    sections = list(make_sections(encoding))
    ends = np.cumsum([section.samples for section in sections]) / encoding.rate
    starts = [0.0, *ends[:-1]]
    marks = [
        ChapterMark(f"Chapter {number} é", float(start), float(end))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1)
    ]
    cover = Cover(JPEG, "image/jpeg")
    tags = BookTags("A Book", "Ada", "Bob", "made by valle", marks, cover)
    write_audiobook(path, encoding, sections, tags)
    return encoding, marks


def read_with_ffprobe(path: Path) -> list[tuple[float, str]]:
    command = ["ffprobe", "-v", "error", "-show_chapters", "-of", "json", str(path)]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    chapters = json.loads(output)["chapters"]
    return [(float(chapter["start_time"]), chapter["tags"]["title"]) for chapter in chapters]


def read_with_mediainfo(path: Path) -> list[tuple[float, str]]:
    output = subprocess.run(
        ["mediainfo", "--Output=JSON", str(path)], capture_output=True, check=True
    ).stdout
    tracks = json.loads(output)["media"]["track"]
    menu = next(track for track in tracks if track["@type"] == "Menu")
    chapters = []
    for clock, title in menu["extra"].items():
        if clock.startswith("_"):
            hours, minutes, seconds, thousandths = clock[1:].split("_")
            start = 3600 * int(hours) + 60 * int(minutes) + int(seconds) + int(thousandths) / 1000
            chapters.append((start, title))
    return chapters


def decode(path: Path) -> tuple[np.ndarray, int]:
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("flt", "mono", stream.rate)
        frames = [
            converted.to_ndarray().ravel()
            for frame in container.decode(stream)
            for converted in resampler.resample(frame)
        ]
        return np.concatenate(frames), stream.rate


@pytest.mark.parametrize("suffix", OWN_READERS)
def test_sixty_chapters_are_within_a_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    encoding, marks = write(path)
    frame = {"aac": 1024, "libmp3lame": 576, "libopus": 320, "flac": 1}[encoding.format.codec]
    expected = [(mark.start, mark.title) for mark in marks]
    readers = [OWN_READERS[suffix]]
    results = [reader(path.read_bytes()) for reader in readers]
    if shutil.which("ffprobe"):
        results.append(read_with_ffprobe(path))
    if shutil.which("mediainfo") and suffix == ".m4b":  # it knows no chapters of the others
        results.append(read_with_mediainfo(path))
    for chapters in results:
        assert [title for _, title in chapters] == [title for _, title in expected]
        for (start, _), (wanted, _) in zip(chapters, expected, strict=True):
            assert abs(start - wanted) < 0.002
    samples, rate = decode(path)  # Opus is decoded at 48 kHz
    assert abs(len(samples) / rate - marks[-1].end) < 4 * frame / 16_000 + 0.001
    loud = np.flatnonzero(np.abs(samples) > 0.1)
    onsets = loud[np.diff(loud, prepend=-rate) > 0.2 * rate]
    assert len(onsets) == CHAPTERS
    errors = onsets / rate - HEAD - np.array([mark.start for mark in marks])
    assert np.ptp(errors) < 0.002, "the sound drifts from the marks"
    assert np.abs(errors).max() <= frame / 16_000 + 0.002


@pytest.mark.parametrize("suffix", [".m4b", ".flac", ".mp3"])
def test_tags_and_cover_are_read_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"book{suffix}"
    write(path)
    with av.open(str(path)) as container:
        tags = {name.lower(): value for name, value in container.metadata.items()}
        assert (tags["title"], tags["artist"], tags["composer"]) == ("A Book", "Ada", "Bob")
        assert bytes(next(container.demux(container.streams.video[0]))) == JPEG


def test_the_same_book_has_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.m4b", "b.m4b"):
        write(tmp_path / name)
    assert (tmp_path / "a.m4b").read_bytes() == (tmp_path / "b.m4b").read_bytes()


def test_packets_are_kept(tmp_path: Path) -> None:
    encoding = choose_encoding(Path("x.mp3"), BookOptions.from_keywords(loudness="acx"), RATE)
    assert (encoding.rate, encoding.bitrate) == (44_100, 192)
    packets = encode_section(np.zeros(5000, np.float32), encoding)
    save_packets(tmp_path / "a.npz", packets)
    assert load_packets(tmp_path / "a.npz") == packets
    (tmp_path / "a.npz").write_bytes(b"PK")
    assert load_packets(tmp_path / "a.npz") is None


def test_unknown_formats_and_bitrates_are_refused() -> None:
    with pytest.raises(UsageError, match="end its name in one of .m4b, .mp3"):
        choose_encoding(Path("x.wma"), BookOptions.from_keywords(), RATE)


def test_sizes_of_pictures_are_read() -> None:
    assert read_size(Cover(JPEG, "image/jpeg")) == (1, 1)
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\1\0\0\0\0\2"
    assert read_size(Cover(png, "image/png")) == (256, 2)
