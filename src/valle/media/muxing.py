"""Writing a film with a new soundtrack; everything else of it is copied packet by packet.

Nothing is decoded and encoded again: pictures keep their bytes and times, and so do the original
sound and the subtitles, whose text is only wrapped again where the container asks for another form.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from valle.errors import OutputError, UsageError
from valle.files import write_atomically
from valle.media.films import Film, Track, import_av, open_film
from valle.media.soundtrack import RATE, EncodedPacket

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""FFmpeg's name of the format for each ending."""
_AHEAD = RATE  # samples that the soundtrack is written ahead of the rest
_TEXT_CODECS = ("subrip", "srt", "ass", "ssa", "webvtt", "mov_text", "text")
# What FFmpeg makes the sample description of MP4's subtitles from; players choose the look.
_ASS_HEADER = b"""[Script Info]
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, BackColour, BorderStyle, Outline, Alignment
Style: Default,Arial,16,&Hffffff,&H0,1,1,2
"""
# MOV has codes of its own for languages: those that its writer knows by another name.
_MOV_LANGUAGES = {
    "deu": "ger",
    "nld": "dut",
    "ell": "gre",
    "isl": "ice",
    "zho": "chi",
    "fre": "fra",
}


@dataclass(frozen=True)
class NewSound:
    """A soundtrack to be added to a film."""

    packets: Iterator[EncodedPacket]
    """AAC, as `valle.media.soundtrack.encode_aac` makes it; the first is at time 0."""
    language: str = "eng"
    """ISO 639-2."""
    title: str = "Dub"


def check_film_name(target: str | Path) -> str:
    """Return FFmpeg's name of the format that the ending of a name stands for.

    Raises:
        UsageError: The ending is none of `CONTAINERS`.
    """
    ending = Path(target).suffix.lower()
    if ending not in CONTAINERS:
        raise UsageError(
            f"{target} ends with {ending or 'nothing'}; a film is written as "
            + ", ".join(CONTAINERS)
        )
    return CONTAINERS[ending]


def write_film(
    film: Film,
    target: str | Path,
    sound: NewSound,
    kept_sounds: Collection[Track] = (),
    overwrite: bool = True,
) -> list[str]:
    """Write a film with a new soundtrack, which becomes the default one.

    Args:
        film: The film; its pictures and subtitles are copied, and its chapters and tags.
        target: The file to write; its ending is the format, one of `CONTAINERS`.
        sound: The new soundtrack.
        kept_sounds: Those of `film.sounds` that are copied too, after the new one.
        overwrite: Whether an existing file is replaced.

    Returns:
        What could not be copied, and why.

    Raises:
        UsageError: The ending is none of `CONTAINERS`, or PyAV is not installed.
        RecordingError: The film is damaged.
        OutputError: The file cannot be written, or the container does not take a codec.
        FileExistsError: The target exists, and `overwrite` is False.
    """
    av = import_av()
    name = check_film_name(target)
    with write_atomically(target, overwrite) as temporary, open_film(film.path) as (source, _):
        try:
            with av.open(str(temporary), "w", format=name) as output:
                writer = _Writer(av, film, source, output, name)
                writer.add_streams(sound, {track.index for track in kept_sounds})
                writer.copy(source)
                return writer.notes
        except (av.error.FFmpegError, ValueError) as error:
            detail = getattr(error, "strerror", None) or str(error)
            raise OutputError(
                f"cannot write {target} ({detail}): its format may not take a codec of "
                f"{film.path}; write .mkv instead, which takes nearly all"
            ) from error


class _Writer:
    """Copies the packets of one film, with those of the new soundtrack between them."""

    def __init__(self, av: Any, film: Film, source: Any, output: Any, name: str) -> None:
        self.notes: list[str] = []
        self._av, self._film, self._source, self._output, self._name = (
            av,
            film,
            source,
            output,
            name,
        )
        self._targets: dict[int, tuple[Any, Callable[[bytes], bytes] | None]] = {}

    def add_streams(self, sound: NewSound, kept: Collection[int]) -> None:
        """Create the streams of the output: pictures, the new sound, other sounds, the rest."""
        output, source = self._output, self._source
        output.metadata.update(
            {k: v for k, v in source.metadata.items() if k not in ("encoder", "major_brand")}
        )
        order = {"video": 0, "audio": 1}
        streams = sorted(source.streams, key=lambda stream: order.get(stream.type, 2))
        pictures = [stream for stream in streams if stream.type == "video"]
        for stream in pictures:
            self._add_copy(stream)
        self._sound = output.add_stream("aac", rate=RATE, layout="stereo")
        self._sound.metadata.update(language=sound.language, title=sound.title)
        self._sound.metadata["handler_name"] = sound.title  # what MP4 has in place of a title
        self._sound.disposition = self._av.stream.Disposition.default
        self._packets = iter(sound.packets)
        for stream in streams[len(pictures) :]:
            if stream.type == "audio":
                if stream.index in kept:
                    self._add_copy(stream)
            elif stream.type == "subtitle":
                self._add_subtitles(stream)
            elif stream.type == "attachment" and self._name == "matroska":
                name = stream.metadata.get("filename", "attachment")
                output.add_attachment(
                    name, stream.mimetype or "application/octet-stream", stream.data
                )
            elif not (stream.type == "data" and source.chapters()):  # MP4's chapters are data
                self._leave_out(stream, "a film here has no place for it")
        if chapters := source.chapters():
            output.set_chapters([self._move_chapter(chapter) for chapter in chapters])

    def copy(self, source: Any) -> None:
        """Copy all packets, in the order of their times."""
        following = next(self._packets, None)
        streams = [source.streams[index] for index in self._targets]
        for packet in source.demux(streams) if streams else ():
            if packet.dts is None and packet.pts is None:
                continue  # the end of a stream
            time = packet.dts if packet.dts is not None else packet.pts
            now = float(time * packet.time_base - self._film.origin) * RATE
            while following is not None and following.start < now + _AHEAD:
                self._mux_sound(following)
                following = next(self._packets, None)
            self._mux_copy(packet)
        while following is not None:
            self._mux_sound(following)
            following = next(self._packets, None)

    def _mux_copy(self, packet: Any) -> None:
        stream, convert = self._targets[packet.stream_index]
        shift = int(self._film.origin / packet.time_base)
        if convert is not None:
            text = convert(bytes(packet))
            if not text:
                return  # the gap between two subtitles, which only MP4 has
            copied = self._av.Packet(text)
            copied.time_base, copied.duration = packet.time_base, packet.duration
            copied.pts, copied.dts = packet.pts, packet.dts
            packet = copied
        if shift:
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift
        is_delay = stream.type == "audio" and (packet.pts or 0) + (packet.duration or 0) <= 0
        if self._name == "matroska" and is_delay:
            return  # with a negative time, which Matroska does not have, all would be shifted
        packet.stream = stream
        self._output.mux(packet)

    def _mux_sound(self, encoded: EncodedPacket) -> None:
        packet = self._av.Packet(encoded.data)
        packet.stream, packet.time_base = self._sound, Fraction(1, RATE)
        packet.pts = packet.dts = encoded.start
        packet.duration = encoded.samples
        packet.is_keyframe = True
        self._output.mux(packet)

    def _add_copy(self, stream: Any) -> None:
        try:
            copy = self._output.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            if stream.type in ("video", "audio"):
                raise
            self._leave_out(stream, str(error))
            return
        self._describe(stream, copy)
        self._targets[stream.index] = copy, None

    def _add_subtitles(self, stream: Any) -> None:
        codec = stream.codec_context.name
        is_matroska = self._name == "matroska"
        if not is_matroska and codec not in _TEXT_CODECS:
            self._leave_out(stream, "these subtitles are pictures; .mkv can hold them")
            return
        if codec not in _TEXT_CODECS or (codec == "mov_text") != is_matroska:
            self._add_copy(stream)
            return
        form = "subrip" if is_matroska else "mov_text"
        if form == "mov_text":
            copy = self._output.add_stream(form)
            copy.codec_context.subtitle_header = _ASS_HEADER
            copy.codec_context.time_base = Fraction(1, 1000)
        else:
            copy = self._output.add_mux_stream(form)
        self._describe(stream, copy)
        self._targets[stream.index] = copy, lambda data: _wrap(_unwrap(data, codec), form)

    def _describe(self, stream: Any, copy: Any) -> None:
        copy.metadata.update(stream.metadata)
        if self._name == "mov" and (language := stream.metadata.get("language")) is not None:
            copy.metadata["language"] = _MOV_LANGUAGES.get(language, language)
        disposition = stream.disposition
        if stream.type == "audio":
            disposition &= ~self._av.stream.Disposition.default
        copy.disposition = disposition
        copy.time_base = stream.time_base

    def _leave_out(self, stream: Any, why: str) -> None:
        self.notes.append(f"stream {stream.index} ({stream.type}) was not copied: {why}")

    def _move_chapter(self, chapter: Any) -> Any:
        shift = int(self._film.origin / chapter["time_base"])
        moved = {"start": chapter["start"] - shift, "end": chapter["end"] - shift}
        return chapter | moved


def _unwrap(data: bytes, codec: str) -> str:
    """Return the plain text of a packet of subtitles."""
    if codec == "mov_text":
        length = int.from_bytes(data[:2], "big")
        return data[2 : 2 + length].decode("utf-8", "replace")
    text = data.decode("utf-8", "replace")
    if codec in ("ass", "ssa"):
        text = text.split(",", 8)[-1]
        text = re.sub(r"\{[^{}]*\}", "", text)
        return re.sub(r"\\[Nn]", "\n", text).replace("\\h", " ")
    return text


def _wrap(text: str, form: str) -> bytes:
    if form == "subrip":
        return text.encode()
    data = re.sub(r"</?[A-Za-z][^<>]*>|\{[^{}]*\}", "", text).encode()[:65_535]
    return len(data).to_bytes(2, "big") + data if data else b""
