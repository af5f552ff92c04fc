"""Audiobook files: encoded sections joined, with chapter marks, metadata and a cover."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from valle.books.document import Cover
from valle.books.packets import Encoding, PacketList, codec_options, import_av
from valle.errors import OutputError

_MILLISECOND = Fraction(1, 1000)
_CONTAINER_OPTIONS = {
    "mp4": {"brand": "M4B ", "movflags": "faststart"},
    # FFmpeg 8 writes the length of the list of chapters wrongly in the tags of version 2.4.
    "mp3": {"id3v2_version": "3"},
}
# In FLAC, FFmpeg writes none. In Ogg, FFmpeg 8 rounds their seconds: 0.7 s becomes 1.7 s.
_CHAPTERS_IN_COMMENTS = ("flac", "ogg")
_FLAC_FRAME = 4096  # samples that are given to the encoder at once


@dataclass(frozen=True)
class ChapterMark:
    """Where a chapter begins and ends."""

    title: str
    start: float
    """Seconds."""
    end: float
    """Seconds."""


@dataclass(frozen=True)
class BookTags:
    """What players show of a book."""

    title: str
    author: str
    narrator: str
    comment: str
    chapters: list[ChapterMark] = field(default_factory=list)
    cover: Cover | None = None
    album: str = ""
    """The book, where the file is one chapter of it; empty for the title."""
    track: str = ""
    """Which of the book's files it is, such as "3/12"; empty for the only one."""


def write_audiobook(
    path: Path, encoding: Encoding, sections: Iterable[PacketList], tags: BookTags
) -> None:
    """Write an audiobook.

    Args:
        path: The file, which is overwritten at once.
        encoding: That of the sections.
        sections: In order.
        tags: What players show.

    Raises:
        OutputError: The file cannot be written.
    """
    av = import_av()
    try:
        with av.open(
            str(path),
            "w",
            format=encoding.format.container,
            options=_CONTAINER_OPTIONS.get(encoding.format.container, {}),
        ) as container:
            container.metadata.update(_make_metadata(encoding, tags))
            if encoding.format.container not in _CHAPTERS_IN_COMMENTS:
                container.set_chapters(_make_chapters(tags.chapters))
            stream: Any = container.add_stream(
                encoding.format.codec, rate=encoding.rate, options=codec_options(encoding)
            )
            stream.codec_context.layout = "mono"
            stream.codec_context.format = encoding.format.sample_format
            if encoding.bitrate:
                stream.codec_context.bit_rate = encoding.bitrate * 1000
            picture = _add_cover(container, encoding, tags.cover)
            container.start_encoding()
            if picture is not None:
                container.mux_one(picture)
            packets = _encode if not encoding.bitrate else _make_packets
            for packet in packets(stream, encoding, sections):
                container.mux_one(packet)
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"cannot write the audiobook: {reason}") from error


def _make_packets(stream: Any, encoding: Encoding, sections: Iterable[PacketList]) -> Iterator[Any]:
    """Yield the packets of all sections with their times."""
    av = import_av()
    size = stream.codec_context.frame_size
    is_aac = encoding.format.codec == "aac"
    time_base = Fraction(1, encoding.rate)
    at = -size if is_aac else 0
    first = True
    for section in sections:
        offset = 0
        for index, length in enumerate(section.sizes):
            data = section.data[offset : offset + length]
            offset += length
            if is_aac and index == 0 and not first:
                continue  # the priming of a section that another one precedes
            packet = av.Packet(data)
            packet.stream, packet.time_base = stream, time_base
            packet.pts = packet.dts = at
            packet.duration = size
            packet.is_keyframe = True
            at += size
            yield packet
        first = False


def _encode(stream: Any, encoding: Encoding, sections: Iterable[PacketList]) -> Iterator[Any]:
    """Yield packets of a lossless format, whose sections are kept as samples."""
    av = import_av()
    at = 0
    for section in sections:
        samples = np.frombuffer(section.data, "<i2")
        for start in range(0, len(samples), _FLAC_FRAME):
            piece = np.ascontiguousarray(samples[None, start : start + _FLAC_FRAME])
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout="mono")
            frame.sample_rate, frame.pts = encoding.rate, at
            frame.time_base = Fraction(1, encoding.rate)
            at += piece.shape[1]
            yield from stream.encode(frame)
    yield from stream.encode(None)


def _make_chapters(marks: Sequence[ChapterMark]) -> list[dict[str, Any]]:
    return [
        {
            "id": index,
            "start": round(mark.start * 1000),
            "end": round(mark.end * 1000),
            "time_base": _MILLISECOND,
            "metadata": {"title": mark.title},
        }
        for index, mark in enumerate(marks)
    ]


def _make_metadata(encoding: Encoding, tags: BookTags) -> dict[str, str]:
    metadata = {
        "title": tags.title,
        "album": tags.album or tags.title,
        "track": tags.track,
        "artist": tags.author,
        "album_artist": tags.author,
        "composer": tags.narrator,
        "genre": "Audiobook",
        "comment": tags.comment,
    }
    if encoding.format.container == "mp4":
        metadata["media_type"] = "2"  # "audiobook" to Apple's players
    if encoding.format.container in _CHAPTERS_IN_COMMENTS:
        for number, mark in enumerate(tags.chapters, 1):
            minutes, seconds = divmod(mark.start, 60)
            clock = f"{minutes // 60:02.0f}:{minutes % 60:02.0f}:{seconds:06.3f}"
            metadata[f"CHAPTER{number:03d}"] = clock
            metadata[f"CHAPTER{number:03d}NAME"] = mark.title
    if encoding.format.container == "ogg" and tags.cover is not None:
        metadata["METADATA_BLOCK_PICTURE"] = _encode_picture(tags.cover)
    return {name: value for name, value in metadata.items() if value}


def _add_cover(container: Any, encoding: Encoding, cover: Cover | None) -> Any:
    """Add a stream for the cover; returns its packet, or None where there is none."""
    if cover is None or encoding.format.container == "ogg":
        return None
    av = import_av()
    width, height = read_size(cover)
    codec = "mjpeg" if cover.media_type == "image/jpeg" else "png"
    stream = container.add_stream(codec, rate=1)
    stream.width, stream.height = width, height
    stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    packet = av.Packet(cover.data)
    packet.stream = stream
    packet.pts = packet.dts = 0
    packet.is_keyframe = True
    return packet


def read_size(cover: Cover) -> tuple[int, int]:
    """Return width and height of a picture in pixels; 1 and 1 if it does not say."""
    data = cover.data
    if cover.media_type == "image/png":
        width, height = struct.unpack(">II", data[16:24]) if len(data) >= 24 else (1, 1)
        return (width, height)
    at = 2
    while at + 9 < len(data):
        marker, length = data[at + 1], struct.unpack(">H", data[at + 2 : at + 4])[0]
        if data[at] != 0xFF:
            break
        if marker in (0xC0, 0xC1, 0xC2, 0xC3):  # the header of a frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return (width, height)
        at += 2 + length
    return (1, 1)


def _encode_picture(cover: Cover) -> str:
    """Return a picture as Vorbis comments hold it: the block of FLAC in base 64."""
    media_type = cover.media_type.encode()
    width, height = read_size(cover)
    block = struct.pack(">II", 3, len(media_type)) + media_type + struct.pack(">I", 0)
    block += struct.pack(">IIIII", width, height, 24, 0, len(cover.data)) + cover.data
    return base64.b64encode(block).decode("ascii")
