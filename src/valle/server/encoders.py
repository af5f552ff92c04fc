"""Encoders of speech that is still being made: one for each response, exact to the last sample.

`feed` returns the bytes that are complete, and `finish` the rest. A stream has one header, and what
it cannot know at that time it leaves open as its format says; a whole file states its length.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol

import numpy as np
import soxr

from valle.arrays import Samples
from valle.errors import UsageError

DEFAULT_RATE = 24_000  # Hz; what OpenAI's clients take `pcm` for
RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz
_OPUS_RATES = (8_000, 16_000, 24_000, 48_000)
WAV_HEADER_BYTES = 44
_UNKNOWN = 0xFFFFFFFF  # a WAV file's length, while it is not known
_FLUSH = {"fflags": "+flush_packets"}


class Encoder(Protocol):
    """Encodes the samples of one response."""

    def feed(self, samples: Samples) -> bytes:
        """Return the bytes that samples [N] in [-1, 1] complete; possibly none."""
        ...

    def finish(self) -> bytes:
        """Return the remaining bytes."""
        ...


class PCMEncoder:
    """16-bit little-endian samples without a header."""

    def feed(self, samples: Samples) -> bytes:
        """See `Encoder`."""
        return to_int16(samples).tobytes()

    def finish(self) -> bytes:
        """See `Encoder`."""
        return b""


class WAVEncoder:
    """A WAV file whose length is not known yet: both of its lengths say so."""

    def __init__(self, rate: int) -> None:
        self._header = wav_header(rate, None)

    def feed(self, samples: Samples) -> bytes:
        """See `Encoder`."""
        header, self._header = self._header, b""
        return header + to_int16(samples).tobytes()

    def finish(self) -> bytes:
        """See `Encoder`."""
        header, self._header = self._header, b""
        return header


@dataclass(frozen=True)
class _Codec:
    """How FFmpeg encodes a format."""

    muxer: str
    encoder: str
    sample_format: str
    bit_rate: int | None
    stream_options: dict[str, str]


_CODECS = {
    # A stream's Xing frame could not state its length, and players would stop early.
    "mp3": _Codec("mp3", "libmp3lame", "fltp", 128_000, {"write_xing": "0", "id3v2_version": "0"}),
    "opus": _Codec("ogg", "libopus", "flt", 64_000, {"page_duration": "20000"}),
    "aac": _Codec("adts", "aac", "fltp", 128_000, {}),
    "flac": _Codec("flac", "flac", "s16", None, {}),
}


class FFmpegEncoder:
    """MP3, Opus, AAC or FLAC by PyAV; a stream unless `whole`, which may rewrite its header."""

    def __init__(self, name: str, rate: int, whole: bool, target: BinaryIO | None = None) -> None:
        """Create an encoder; what it writes goes to `target` alone, if there is one."""
        import av

        self._av = av
        codec = _CODECS[name]
        self._format, self._rate, self._position = codec.sample_format, rate, 0
        self._file = _make_sink(whole, target)
        options = {"id3v2_version": "0"} if whole and name == "mp3" else {}
        self._container = av.open(
            self._file,
            "w",
            format=codec.muxer,
            options=options if whole else _FLUSH | codec.stream_options,
        )
        self._stream: Any = self._container.add_stream(codec.encoder, rate=rate)
        context = self._stream.codec_context
        context.layout, context.format = "mono", codec.sample_format
        if codec.bit_rate is not None:
            # The lower sampling rates of MPEG-2.5 have lower bit rates only.
            context.bit_rate = codec.bit_rate if rate >= 16_000 or name != "mp3" else 64_000

    def feed(self, samples: Samples) -> bytes:
        """See `Encoder`."""
        if len(samples):
            data = to_int16(samples) if self._format == "s16" else clip(samples)
            frame = self._av.AudioFrame.from_ndarray(
                np.ascontiguousarray(data[None]), format=self._format, layout="mono"
            )
            frame.sample_rate, frame.pts = self._rate, self._position
            self._position += len(samples)
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        return self._file.take()

    def finish(self) -> bytes:
        """See `Encoder`."""
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()
        return self._file.take(last=True)


class _StreamBuffer:
    """What FFmpeg has written since the last call; it cannot go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self, last: bool = False) -> bytes:  # noqa: ARG002 - as _SeekableBuffer
        parts, self._parts = self._parts, []
        return b"".join(parts)


class _SeekableBuffer(io.BytesIO):
    """A file in memory, which is there once it is finished."""

    def take(self, last: bool = False) -> bytes:
        return self.getvalue() if last else b""


class _KeptFile:
    """Somebody else's file, which keeps what is written."""

    def __init__(self, file: BinaryIO) -> None:
        self.write, self.seek, self.tell = file.write, file.seek, file.tell

    def take(self, last: bool = False) -> bytes:  # noqa: ARG002 - as _SeekableBuffer
        return b""


def _make_sink(whole: bool, target: BinaryIO | None) -> _KeptFile | _SeekableBuffer | _StreamBuffer:
    if target is not None:
        return _KeptFile(target)
    return _SeekableBuffer() if whole else _StreamBuffer()


class FileEncoder:
    """Encodes samples to a file on disk: a whole one, of which memory holds a block at a time."""

    def __init__(self, name: str, rate: int, file: BinaryIO) -> None:
        """Begin a file that is empty and open for reading and writing.

        Raises:
            UsageError: The format cannot have this rate, or needs a package that is missing.
        """
        check_format(name, rate)
        self._file, self._rate, self._is_wav = file, rate, name == "wav"
        self._encoder: Encoder
        if self._is_wav:
            self._encoder = PCMEncoder()
            file.write(wav_header(rate, None))  # until its lengths are known
        else:
            self._encoder = _make_ffmpeg_encoder(name, rate, True, file)

    def feed(self, samples: Samples) -> None:
        """Encode samples [N] in [-1, 1]."""
        self._file.write(self._encoder.feed(samples))

    def finish(self) -> None:
        """Complete the file, and go to its beginning."""
        self._file.write(self._encoder.finish())
        if self._is_wav:
            size = self._file.seek(0, io.SEEK_END)
            self._file.seek(0)
            header = wav_header(self._rate, size - WAV_HEADER_BYTES)
            self._file.write(header)
        self._file.seek(0)


class WholeWAVEncoder:
    """A WAV file that states its length."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._parts: list[bytes] = []

    def feed(self, samples: Samples) -> bytes:
        """See `Encoder`."""
        self._parts.append(to_int16(samples).tobytes())
        return b""

    def finish(self) -> bytes:
        """See `Encoder`."""
        data = b"".join(self._parts)
        return wav_header(self._rate, len(data)) + data


class MuLawEncoder:
    """8-bit mu-law samples (ITU-T G.711) without a header, as telephony takes them."""

    def feed(self, samples: Samples) -> bytes:
        """See `Encoder`."""
        pcm = to_int16(samples).astype(np.int32)
        magnitude = np.minimum(np.abs(pcm), 32_635) + 132
        exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
        mantissa = (magnitude >> (exponent + 3)) & 0x0F
        sign = np.where(pcm < 0, 0x80, 0)
        return (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8).tobytes()

    def finish(self) -> bytes:
        """See `Encoder`."""
        return b""


MEDIA_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
    "ulaw": "audio/basic",
}
"""Content types by the name of the format."""


class SpeechEncoder:
    """Resamples and encodes speech as it comes."""

    def __init__(self, name: str, source_rate: int, rate: int, whole: bool = False) -> None:
        """Create the encoder of one response.

        Args:
            name: A key of `MEDIA_TYPES`.
            source_rate: Hz, of the samples that are fed.
            rate: Hz, of the response.
            whole: Whether all is sent at once, so that headers can state its length.

        Raises:
            UsageError: The format cannot have this rate, or needs a package that is missing.
        """
        check_format(name, rate)
        self._resampler = None
        if source_rate != rate:
            self._resampler = soxr.ResampleStream(source_rate, rate, 1, "float32", "HQ")
        self._encoder = _make_encoder(name, rate, whole)

    def feed(self, samples: Samples) -> bytes:
        """See `Encoder`."""
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        return self._encoder.feed(samples)

    def finish(self) -> bytes:
        """See `Encoder`."""
        data = b""
        if self._resampler is not None:
            rest = self._resampler.resample_chunk(np.zeros(0, np.float32), last=True)
            data = self._encoder.feed(rest)
        return data + self._encoder.finish()


def check_format(name: str, rate: int) -> None:
    """Refuse a format that is not known, or that cannot have a sample rate.

    Raises:
        UsageError: It is refused; the message says what is possible.
    """
    if name not in MEDIA_TYPES:
        raise UsageError(f"the format {name!r} is not known; use {', '.join(MEDIA_TYPES)}")
    rates = _OPUS_RATES if name == "opus" else RATES
    if rate not in rates:
        raise UsageError(f"{name} can have the rates {', '.join(map(str, rates))} Hz, not {rate}")


def _make_encoder(name: str, rate: int, whole: bool) -> Encoder:
    plain: dict[str, Callable[[], Encoder]] = {
        "pcm": PCMEncoder,
        "ulaw": MuLawEncoder,
        "wav": lambda: WholeWAVEncoder(rate) if whole else WAVEncoder(rate),
    }
    return plain[name]() if name in plain else _make_ffmpeg_encoder(name, rate, whole)


def _make_ffmpeg_encoder(
    name: str, rate: int, whole: bool, target: BinaryIO | None = None
) -> FFmpegEncoder:
    try:
        return FFmpegEncoder(name, rate, whole, target)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{name} needs the package av: pip install 'valle[serve]'; wav and pcm do not"
        ) from error


def wav_header(rate: int, data_bytes: int | None) -> bytes:
    """Return the header of a 16-bit mono WAV file; None for a length that is not known."""
    total = _UNKNOWN if data_bytes is None else data_bytes + 36
    size = _UNKNOWN if data_bytes is None else data_bytes
    chunk = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return (
        struct.pack("<4sI4s", b"RIFF", total, b"WAVE") + chunk + struct.pack("<4sI", b"data", size)
    )


def to_int16(samples: Samples) -> Any:
    """Return samples as little-endian 16-bit integers."""
    return np.round(clip(samples) * 32767).astype("<i2")


def clip(samples: Samples) -> Samples:
    """Return samples within [-1, 1]."""
    return np.clip(samples, -1.0, 1.0)
