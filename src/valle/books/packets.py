"""Encoded audio as packets: what a section is kept as, and what files are made of.

A section lasts whole frames of its format and is encoded by itself. Its packets join those of other
sections: what an encoder adds at the beginning of each (the priming of AAC) is left out except in
the first one, and MP3 is encoded without a bit reservoir, so that no packet needs another one.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from valle.arrays import Samples
from valle.books.options import ACX, BookOptions
from valle.books.project import make_folder
from valle.errors import UsageError
from valle.files import write_atomically

if TYPE_CHECKING:
    from av.audio.codeccontext import AudioCodecContext

_INSTALL = "`pip install 'valle[media]'`, or `pip install '.[media]'` in a checkout"
_GLOBAL_HEADER = 1 << 22  # AV_CODEC_FLAG_GLOBAL_HEADER
_ACX_RATE = 44_100
_ACX_BITRATE = 192
_OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
_DAMAGED = (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class AudioFormat:
    """A format of audiobooks."""

    codec: str
    """FFmpeg's name of the encoder."""
    container: str
    """FFmpeg's name of the file format."""
    bitrate: int
    """Kilobits per second, where none is asked for; 0 for a lossless one."""
    sample_format: str


FORMATS = {
    ".m4b": AudioFormat("aac", "mp4", 64, "fltp"),
    ".mp3": AudioFormat("libmp3lame", "mp3", 64, "fltp"),
    ".opus": AudioFormat("libopus", "ogg", 32, "flt"),
    ".flac": AudioFormat("flac", "flac", 0, "s16"),
}
"""By the ending of the file's name."""


@dataclass(frozen=True)
class Encoding:
    """A format with the settings of one book."""

    format: AudioFormat
    rate: int
    """Hz."""
    bitrate: int
    """Kilobits per second; 0 for a lossless format."""

    @property
    def key(self) -> str:
        """What tells this encoding from others, as part of a file name."""
        options = "".join(f"-{value}" for value in codec_options(self).values())
        return f"{self.format.codec}-{self.rate}-{self.bitrate}{options}"


@dataclass(frozen=True)
class PacketList:
    """The packets of a section."""

    data: bytes
    sizes: list[int]
    """Bytes of each packet."""
    samples: int
    """How many samples of sound they stand for."""


def import_av() -> ModuleType:
    """Return PyAV.

    Raises:
        UsageError: It is not installed, or too old to write chapters.
    """
    try:
        import av
        from av.container import OutputContainer
    except ImportError:
        raise UsageError(f"audiobooks need the extra `media` ({_INSTALL})") from None
    if not hasattr(OutputContainer, "set_chapters"):
        raise UsageError(
            f"audiobooks need PyAV 15.1 or later ({_INSTALL}); this is {av.__version__}"
        )
    module: ModuleType = av
    return module


def choose_encoding(output: Path, options: BookOptions, model_rate: int) -> Encoding:
    """Return how a book is encoded in a file.

    Args:
        output: The file; its ending is the format.
        options: Rate, bitrate and loudness are used.
        model_rate: Hz.

    Raises:
        UsageError: The ending is unknown.
    """
    audio_format = FORMATS.get(output.suffix.lower())
    if audio_format is None:
        known = ", ".join([*FORMATS, ".epub"])
        raise UsageError(
            f"cannot tell the format of {str(output)!r}: end its name in one of {known}"
        )
    is_acx = options.loudness == ACX and audio_format.codec == "libmp3lame"
    rate = options.rate or (_ACX_RATE if is_acx else model_rate)
    if audio_format.codec == "libopus" and rate not in _OPUS_RATES:
        rate = 48_000  # Opus itself knows no other
    bitrate = 0
    if audio_format.bitrate:
        bitrate = options.bitrate or (_ACX_BITRATE if is_acx else audio_format.bitrate)
    return Encoding(audio_format, rate, bitrate)


def make_codec(encoding: Encoding) -> AudioCodecContext:
    """Return an open encoder.

    Raises:
        UsageError: It does not take the bitrate or the rate.
    """
    av = import_av()
    context: Any = av.CodecContext.create(encoding.format.codec, "w")
    context.sample_rate = encoding.rate
    context.layout = "mono"
    context.format = encoding.format.sample_format
    context.time_base = Fraction(1, encoding.rate)
    context.options = codec_options(encoding)
    context.flags |= _GLOBAL_HEADER
    if encoding.bitrate:
        context.bit_rate = encoding.bitrate * 1000
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        raise UsageError(
            f"--bitrate {encoding.bitrate} does not go with {encoding.rate} Hz in this format "
            f"({error})"
        ) from error
    return context


def codec_options(encoding: Encoding) -> dict[str, str]:
    """Return FFmpeg's options of the encoder."""
    # FFmpeg's other coder of AAC takes three times as long, for what nobody hears at these rates.
    options = {"libmp3lame": {"reservoir": "0"}, "aac": {"aac_coder": "fast"}}
    return options.get(encoding.format.codec, {})


def encode_section(samples: Samples, encoding: Encoding) -> PacketList:
    """Encode a section; silence is added until it lasts whole frames.

    Args:
        samples: [N] mono in [-1, 1], silent at both ends.
        encoding: Its rate is that of the samples.
    """
    if not encoding.bitrate:
        pcm = np.round(np.clip(samples, -1.0, 1.0) * 32767).astype("<i2")
        data = pcm.tobytes()
        return PacketList(data, [len(data)], len(pcm))
    av = import_av()
    codec: Any = make_codec(encoding)
    size = codec.frame_size
    padded = np.pad(samples.astype(np.float32), (0, -len(samples) % size))
    packets: list[bytes] = []
    for start in range(0, len(padded), size):
        frame = av.AudioFrame.from_ndarray(
            padded[None, start : start + size], format=encoding.format.sample_format, layout="mono"
        )
        frame.sample_rate, frame.pts = encoding.rate, start
        packets += [bytes(packet) for packet in codec.encode(frame)]
    packets += [bytes(packet) for packet in codec.encode(None)]
    count = len(padded) // size
    # AAC: a packet of priming, and one for each frame. The others are late by their delay at the
    # beginning of the file, so the silence at the end of a section makes room for it.
    kept = packets[: count + (encoding.format.codec == "aac")]
    return PacketList(b"".join(kept), [len(packet) for packet in kept], len(padded))


def save_packets(path: Path, packets: PacketList) -> None:
    """Keep the packets of a section.

    Raises:
        OutputError: They cannot be written.
    """
    data = io.BytesIO()
    np.savez(
        data,
        data=np.frombuffer(packets.data, np.uint8),
        sizes=np.array(packets.sizes, np.int32),
        samples=np.array(packets.samples),
    )
    make_folder(path.parent)
    with write_atomically(path) as part:
        part.write_bytes(data.getvalue())


def load_packets(path: Path) -> PacketList | None:
    """Return the packets of a section, or None if they are not there or damaged."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data, sizes = arrays["data"].tobytes(), arrays["sizes"].tolist()
            samples = int(arrays["samples"])
    except _DAMAGED:
        return None
    return PacketList(data, sizes, samples) if sum(sizes) == len(data) else None
