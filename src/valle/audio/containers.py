"""Audio in the containers of phones, browsers and videos, decoded by FFmpeg (PyAV, extra `media`).

The first bytes of a file say what it is; its name does not count. FFmpeg is given an open file and
the demuxer to use: otherwise it would guess among hundreds of demuxers, some of which open other
files or addresses. Nothing is held in memory but one block: a file is decoded again for
every read.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from valle.errors import RecordingError

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler

MAX_FRAME_VALUES = 1 << 24  # samples of all channels that one frame may decode to
_HEAD_BYTES = 4096
_INSTALL = "`pip install 'valle[media]'`, or `pip install '.[media]'` in a checkout"
_CONVERT = "save it as WAV, FLAC, MP3, Ogg or M4A"


@dataclass(frozen=True)
class Kind:
    """What a file is."""

    name: str
    """With its article, as error messages say it."""
    demuxer: str | None = None
    """FFmpeg's name of the format; None for what is not read by FFmpeg here."""


_MP4_BRANDS = {
    b"M4A ": Kind("an M4A file", "mov"),
    b"M4B ": Kind("an M4B audiobook", "mov"),
    b"M4V ": Kind("an M4V video", "mov"),
    b"qt  ": Kind("a QuickTime (MOV) file", "mov"),
    b"heic": Kind("a HEIC picture"),
    b"heix": Kind("a HEIC picture"),
    b"mif1": Kind("a HEIF picture"),
    b"avif": Kind("an AVIF picture"),
}
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (rb"#!AMR", Kind("an AMR file", "amr")),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Kind("a Windows Media (WMA) file", "asf")),
    (rb"RIFF....AVI ", Kind("an AVI video", "avi")),
    (rb"\x47.{187}\x47.{187}\x47", Kind("an MPEG transport stream", "mpegts")),
    (rb"RIFF....WEBP", Kind("a WebP picture")),
    (rb"RIFF....WAVE", Kind("a WAV file")),
    (rb"fLaC", Kind("a FLAC file")),
    (rb"OggS", Kind("an Ogg file")),
    (rb"ID3", Kind("an MP3 file")),
    (rb"FORM....AIF", Kind("an AIFF file")),
    (rb"\x89PNG", Kind("a PNG picture")),
    (rb"\xff\xd8\xff", Kind("a JPEG picture")),
    (rb"GIF8", Kind("a GIF picture")),
    (rb"%PDF", Kind("a PDF document")),
    (rb"PK\x03\x04", Kind("a ZIP archive, or an office document")),
    (rb"\x1f\x8b|7z\xbc\xaf|Rar!", Kind("a compressed archive")),
    (rb"MThd", Kind("a MIDI file: notes, not sound")),
    (rb"\s*<(?i:!doctype html|html)", Kind("a web page")),
)
_AAC = Kind("an AAC file", "aac")
_UNKNOWN = Kind("")
_PCM_KINDS = ("WAV", "FLAC", "Ogg", "MP3", "AIFF")  # read by libsndfile, when they are whole


def identify(file: BinaryIO) -> Kind:
    """Tell what a file is from its first bytes; the name is empty if they tell nothing."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand.startswith((b"3gp", b"3g2")):
            return Kind("a 3GP file", "mov")
        return _MP4_BRANDS.get(brand, Kind("an MP4 file", "mov"))
    if head[4:8] in (b"moov", b"mdat", b"wide"):  # QuickTime before there were brands
        return Kind("a QuickTime (MOV) file", "mov")
    if head[:4] == b"\x1a\x45\xdf\xa3":
        name = "a WebM file" if b"webm" in head[:64] else "a Matroska (MKV) file"
        return Kind(name, "matroska")
    if head[:3] == b"ID3" and len(head) > 10:  # a tag of MP3, which AAC files have too
        file.seek(read_id3_length(head))
        if _begins_with_adts_frames(file.read(_HEAD_BYTES)):
            return _AAC
    for pattern, kind in _MAGIC:
        if re.match(pattern, head, re.DOTALL):
            return kind
    if _begins_with_adts_frames(head):
        return _AAC
    if len(head) > 16 and _is_text(head):
        return Kind("a text file")
    return _UNKNOWN


def read_id3_length(head: bytes) -> int:
    """Return the length in bytes of the ID3v2 tag that a file begins with."""
    return 10 + sum(byte << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))


def describe_unreadable(name: str, kind: Kind) -> str:
    """Say what a file is that no decoder here can read, and what to do."""
    if kind is _UNKNOWN:
        return (
            f"{name} cannot be read as audio: it is none of the known formats, or damaged; "
            f"copy it again, or {_CONVERT}"
        )
    if any(known in kind.name for known in _PCM_KINDS):
        return (
            f"{name} is {kind.name} that cannot be read as audio: it is damaged, cut off or in an "
            f"unusual codec; copy it again, or {_CONVERT}"
        )
    return f"{name} cannot be read as audio: it is {kind.name}; give a recording of the voice"


class MediaAudio:
    """The first audio stream of a container. [N, channels] float32, decoded again at every read."""

    def __init__(self, name: str, file: BinaryIO, kind: Kind) -> None:
        """Read the headers and the first frame.

        Args:
            name: In error messages.
            file: Seekable; stays open as long as this is used.
            kind: From `identify`, with a demuxer.

        Raises:
            RecordingError: PyAV is not installed, or the file has no sound that can be decoded.
        """
        self._name, self._file, self._kind = name, file, kind
        self._av = _import_av(name, kind)
        if reason := find_truncation(file, kind):
            raise RecordingError(
                f"{name} is {kind.name} that is cut off: {reason}; copy or export it again"
            )
        self.codec = ""
        first = next(self._decode(), None)
        if first is None:
            raise RecordingError(f"{name} is {kind.name} that is empty: it holds no samples")
        self.rate, self.channels = first.sample_rate, first.layout.nb_channels

    def read_blocks(self, first: int, last: int, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield samples `first` to `last` in blocks of [size, channels]; the last may be shorter.

        Raises:
            RecordingError: The audio is damaged.
        """
        position, wanted = 0, first
        pending: list[NDArray[np.float32]] = []
        count = 0
        for samples in self._convert():
            start, position = position, position + len(samples)
            if position <= wanted:
                continue
            part = samples[wanted - start : last - start]
            wanted += len(part)
            pending.append(part)
            count += len(part)
            while count >= size:
                joined = np.concatenate(pending)
                yield joined[:size]
                pending, count = [joined[size:]], count - size
            if wanted >= last:
                break
        if count:
            yield np.concatenate(pending)

    def _convert(self) -> Iterator[NDArray[np.float32]]:
        """Yield all samples, [n, channels] in the rate and layout of the first frame."""
        resampler: AudioResampler | None = None
        layout = ""
        for frame in self._decode():
            # HE-AAC may change its layout after the first frames.
            properties = f"{frame.format.name} {frame.layout.name} {frame.sample_rate}"
            if resampler is None or properties != layout:
                if resampler is None:
                    target = frame.layout.name
                resampler, layout = self._av.AudioResampler("fltp", target, self.rate), properties
            frame.pts = None
            for converted in resampler.resample(frame):
                yield np.ascontiguousarray(converted.to_ndarray().T)

    def _decode(self) -> Iterator[AudioFrame]:
        self._file.seek(0)
        try:
            with self._av.open(_InsideFile(self._file), format=self._kind.demuxer) as container:
                if not container.streams.audio:
                    raise RecordingError(
                        f"{self._name} is {self._kind.name} without sound; "
                        "give a recording of the voice"
                    )
                stream = container.streams.audio[0]
                self.codec = stream.codec_context.name
                for frame in container.decode(stream):
                    if frame.samples * frame.layout.nb_channels > MAX_FRAME_VALUES:
                        raise RecordingError(
                            f"{self._name} is {self._describe()} with frames of "
                            f"{frame.samples} samples, too large to be sound; {_CONVERT}"
                        )
                    if frame.samples:
                        yield frame
        except (self._av.error.FFmpegError, ValueError, RuntimeError, AttributeError) as error:
            detail = getattr(error, "strerror", None) or str(error)
            raise RecordingError(
                f"{self._name} is {self._describe()} that cannot be decoded ({detail}): it is "
                f"damaged, protected against copying, or in an unusual codec; {_CONVERT}"
            ) from error

    def _describe(self) -> str:
        return f"{self._kind.name} ({self.codec})" if self.codec else self._kind.name


class _InsideFile:
    """A file in which every position can be sought.

    Headers that lie make FFmpeg seek before the beginning, and PyAV prints what a file then raises.
    Such a position is taken for the end of the file, where there is nothing to read.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.read, self.tell = file.read, file.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self._file.seek(0, io.SEEK_END)


def _import_av(name: str, kind: Kind) -> ModuleType:
    try:
        import av
    except ImportError:
        raise RecordingError(
            f"{name} is {kind.name}; reading it needs the extra `media` ({_INSTALL}). "
            "Without it, save the recording as WAV, FLAC, MP3 or Ogg"
        ) from None
    return av


def _begins_with_adts_frames(head: bytes) -> bool:
    """Tell whether two ADTS headers (ISO 13818-7) follow each other: one alone may be chance."""
    at = 0
    for _ in range(2):
        frame = head[at : at + 7]
        if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
            return False
        length = (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
        if length < 7:
            return False
        at += length
        if at >= len(head):
            return True
    return True


def _is_text(head: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        text = head[: len(head) - 4].decode("utf-8")
        return all(character.isprintable() or character.isspace() for character in text)
    return False


def find_truncation(file: BinaryIO, kind: Kind) -> str | None:
    """Say what a container lacks that ends before its headers say; FFmpeg would read the rest.

    Returns:
        None for a whole file, and for kinds that do not state their length.
    """
    size = file.seek(0, io.SEEK_END)
    if kind.demuxer == "mov":
        return _find_mp4_truncation(file, size)
    if kind.demuxer == "matroska":
        return _find_matroska_truncation(file, size)
    return None


def _find_mp4_truncation(file: BinaryIO, size: int) -> str | None:
    """Walk the boxes at the top of a file (ISO 14496-12, section 4.2)."""
    at, has_index = 0, False
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        has_index = has_index or header[4:8] == b"moov"
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:  # to the end of the file
            length = size - at
        if length < 8:
            break  # not a box; FFmpeg ignores what follows
        at += length
    if at > size:
        return f"{at - size} bytes are missing"
    return None if has_index else "its index, which is written last, is missing"


def _find_matroska_truncation(file: BinaryIO, size: int) -> str | None:
    """Compare the stated size of the segment (RFC 8794) with the file; live ones state none."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    at = head.find(b"\x18\x53\x80\x67") + 4
    if at < 4 or at >= len(head) or not head[at]:
        return None
    width = 9 - head[at].bit_length()
    stated = int.from_bytes(head[at : at + width], "big") & ((1 << 7 * width) - 1)
    end = at + width + stated
    if stated == (1 << 7 * width) - 1 or end <= size:
        return None
    return f"{end - size} bytes are missing"
