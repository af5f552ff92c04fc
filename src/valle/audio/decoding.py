"""Opening and decoding audio; what is missing, cut off, damaged or not audio is refused."""

from __future__ import annotations

import contextlib
import io
import os
import re
import select
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from valle.audio.containers import MediaAudio, describe_unreadable, identify, read_id3_length
from valle.errors import RecordingError

MIN_RATE = 4_000  # Hz; below it speech is not intelligible
MAX_RATE = 384_000  # Hz; what no microphone needs costs time and memory
MAX_CHANNELS = 8
PIPE_SECONDS = 60.0  # to wait for the first byte of a named pipe
_MAX_PIPE_BYTES = 1 << 30  # taken from a pipe, and kept in a temporary file

# libsndfile silently shortens files that end before their header says; only its log reports it.
# The placeholder lengths that writers to a pipe leave in the header do not count.
_SHORTENED = re.compile(
    r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M
)
_UNKNOWN_LENGTH = 0x7FFFF000
_MAX_OGG_PAGE = 65_307  # bytes
_MP3_TOLERANCE = 2 * 1152  # samples; some encoders count their own first frame


class AudioSource:
    """Audio that can be read in blocks, from any position, more than once."""

    def __init__(
        self,
        name: str,
        rate: int,
        audio: soundfile.SoundFile | NDArray[np.generic] | MediaAudio,
        has_length: bool = True,
    ):
        self.name = name  # in error messages
        self.rate = rate  # Hz
        self._audio = audio
        if isinstance(audio, np.ndarray):
            self.channels, self._stated_frames = audio.shape[1], len(audio)
        elif isinstance(audio, MediaAudio):
            self.channels, self._stated_frames = audio.channels, 0
        else:
            self.channels, self._stated_frames = audio.channels, audio.frames if has_length else 0
        if rate < MIN_RATE:
            raise RecordingError(
                f"{name} is sampled at {rate} Hz, too low for speech; use 16 kHz or more"
            )
        if rate > MAX_RATE:
            raise RecordingError(
                f"{name} is sampled at {rate} Hz, more than any recording of a voice; use 48 kHz"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise RecordingError(f"{name} has {self.channels} channels; use one")

    def read_blocks(self, first: int, last: int, size: int) -> Iterator[NDArray[np.float32]]:
        """Yield samples `first` to `last` in blocks of [size, channels]; the last may be shorter.

        Raises:
            RecordingError: The audio is damaged or ends before it should.
        """
        if isinstance(self._audio, np.ndarray):
            for start in range(first, min(last, len(self._audio)), size):
                yield _to_floats(self._audio[start : min(start + size, last)])
            return
        if isinstance(self._audio, MediaAudio):
            yield from self._audio.read_blocks(first, last, size)
            return
        position = first
        try:
            self._audio.seek(first)
            while position < last:
                with _silence_mp3_decoder(self._audio.format == "MP3"):
                    block = self._audio.read(min(size, last - position), "float32", always_2d=True)
                if not len(block):
                    break
                position += len(block)
                yield block
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise RecordingError(_describe_damage(self.name, error)) from error
        if position < min(last, self._stated_frames - _MP3_TOLERANCE):
            raise RecordingError(
                f"{self.name} is cut off: it should last {self._stated_frames / self.rate:.1f} s, "
                f"but ends at {position / self.rate:.1f} s; copy or export it again"
            )


@contextlib.contextmanager
def open_audio(source: object) -> Iterator[AudioSource]:
    """Open a path, an open binary file or (samples, sample rate).

    Raises:
        RecordingError: The source cannot be read as audio; the message says why.
    """
    if isinstance(source, tuple):
        yield _from_array(source)
        return
    with contextlib.ExitStack() as stack:
        audio: bytes | str | BinaryIO
        if isinstance(source, (str, os.PathLike)):
            name = str(source)
            file, from_pipe = _open_path(name)
            stack.enter_context(file)
            # By its path: through a Python file object, libsndfile would swallow a Ctrl-C.
            audio = file if from_pipe else name if os.name == "nt" else os.fsencode(name)
        else:
            name = "the recording"
            audio = file = _make_seekable(source)
            if file is not source:
                stack.enter_context(file)
        try:
            opened = _open_source(name, file, audio, stack)
        except OSError as error:  # a file of the system that cannot be read or sought
            raise RecordingError(f"cannot read {name}: {error.strerror or error}") from error
        yield opened


def _open_source(
    name: str, file: BinaryIO, audio: bytes | str | BinaryIO, stack: contextlib.ExitStack
) -> AudioSource:
    """Open a file by the decoder of its kind; `audio` is what libsndfile is to open."""
    if not file.seek(0, io.SEEK_END):
        raise RecordingError(f"{name} is empty (0 bytes)")
    if _ogg_is_truncated(file):
        raise RecordingError(f"{name} is cut off: its last page is incomplete; copy it again")
    kind = identify(file)
    if kind.demuxer is not None:
        media = MediaAudio(name, file, kind)
        return AudioSource(name, media.rate, media)
    has_length = _mp3_length_is_known(file)
    file.seek(0)
    try:
        with _silence_mp3_decoder(True):
            opened = stack.enter_context(soundfile.SoundFile(audio))
    except (soundfile.SoundFileError, TypeError, RuntimeError) as error:
        raise RecordingError(describe_unreadable(name, kind)) from error
    for stated, actual in _SHORTENED.findall(opened.extra_info):
        if int(actual) < int(stated) < _UNKNOWN_LENGTH:
            raise RecordingError(
                f"{name} is cut off: {int(stated) - int(actual)} bytes of its audio are "
                "missing; copy or export it again"
            )
    if opened.frames > 1 << 48:  # FLAC from a pipe, which libsndfile reads with errors
        raise RecordingError(f"{name} does not state its length; convert it to WAV")
    return AudioSource(name, opened.samplerate, opened, opened.format != "MP3" or has_length)


def _open_path(name: str) -> tuple[BinaryIO, bool]:
    """Open a file, or what came through a pipe, which is the second that is returned."""
    if not name:
        raise RecordingError("the name of the recording is empty; give the path of an audio file")
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise RecordingError(f"{name} is a folder; give the audio file in it")
        if stat.S_ISREG(mode):
            return open(name, "rb"), False
        if stat.S_ISFIFO(mode):
            with _open_pipe(name) as pipe:
                return _read_all(pipe), True
    except FileNotFoundError:
        raise RecordingError(f"there is no file {name}") from None
    except (OSError, ValueError) as error:  # no permission; a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"cannot open {name!r}: {reason}") from error
    raise RecordingError(f"{name} is neither a file nor a pipe")


def _open_pipe(name: str) -> BinaryIO:
    """Open a named pipe once somebody writes to it."""
    # Without O_NONBLOCK, opening would wait for a writer for ever, and Ctrl-C would be swallowed.
    pipe = os.fdopen(os.open(name, os.O_RDONLY | os.O_NONBLOCK), "rb")
    if not select.select([pipe], [], [], PIPE_SECONDS)[0]:
        pipe.close()
        raise RecordingError(
            f"{name} is a pipe to which nothing was written for {PIPE_SECONDS:.0f} s; start the "
            "program that writes to it, or give the name of a file"
        )
    os.set_blocking(pipe.fileno(), True)
    return pipe


def _make_seekable(source: Any) -> BinaryIO:
    """Return a file object that can be rewound; a pipe is read into memory."""
    try:
        try:
            source.seek(0)
            start = source.read(1)
        except OSError:  # a pipe; for a file not open for reading, this fails as well
            return _read_all(source)
    except (AttributeError, TypeError, ValueError, OSError) as error:
        raise RecordingError(
            "a recording is a path, an open binary file or (samples, sample rate); "
            f"cannot read {type(source).__name__}: {error}"
        ) from error
    if isinstance(start, str):
        raise RecordingError("the recording is open as text; open it with mode 'rb'")
    return source


def _read_all(pipe: BinaryIO) -> BinaryIO:
    """Return what comes through a pipe as a temporary file, which can be rewound."""
    file = tempfile.TemporaryFile()  # noqa: SIM115  (the caller closes it)
    while block := pipe.read(1 << 20):
        if file.tell() + len(block) > _MAX_PIPE_BYTES:
            file.close()
            raise RecordingError(
                "more than 1 GiB came through the pipe; give the name of a file instead"
            )
        file.write(block)
    return file


def _from_array(source: tuple[object, ...]) -> AudioSource:
    try:
        values, rate = source
        array = np.asarray(values)
        whole = int(rate)  # type: ignore[call-overload]
        if whole != rate or isinstance(rate, bool):
            raise ValueError
    except (TypeError, ValueError):
        raise RecordingError("a recording in memory is (samples, sample rate in Hz)") from None
    if array.dtype.kind not in "fiu" or (array.dtype.kind != "f" and array.itemsize > 4):
        raise RecordingError(
            f"samples of type {array.dtype} are not audio; give floats in [-1, 1] or int16"
        )
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise RecordingError(f"samples are [N] or [N, channels], not of shape {array.shape}")
    if not array.size:
        raise RecordingError("the recording is empty: it holds no samples")
    # Time is the longer axis: the shortest usable recording has thousands of samples.
    if array.shape[0] < array.shape[1]:
        array = array.T
    return AudioSource("the recording", whole, array)


def _to_floats(block: NDArray[np.generic]) -> NDArray[np.float32]:
    if block.dtype.kind == "f":
        # What is beyond float32 becomes infinite, which is refused.
        with np.errstate(over="ignore"):
            return block.astype(np.float32)
    half = 2.0 ** (8 * block.itemsize - 1)
    zero = half if block.dtype.kind == "u" else 0.0
    return ((block.astype(np.float64) - zero) / half).astype(np.float32)


def _ogg_is_truncated(file: BinaryIO) -> bool:
    """Whether an Ogg file ends inside a page; libsndfile would read it without an error."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return False
    file.seek(-min(file.seek(0, io.SEEK_END), _MAX_OGG_PAGE), io.SEEK_END)
    tail = file.read()
    page = tail[max(tail.rfind(b"OggS\0"), 0) :]
    if page[:5] != b"OggS\0":
        return False
    segments = page[26] if len(page) > 26 else 256
    return len(page) < 27 + segments + sum(page[27 : 27 + segments])


def _mp3_length_is_known(file: BinaryIO) -> bool:
    """Whether an MP3 file states its number of frames; otherwise its length is an estimate."""
    file.seek(0)
    start = file.read(10)
    at = 0
    if start[:3] == b"ID3" and len(start) == 10:
        at = read_id3_length(start)
    file.seek(at)
    first_frame = file.read(4096)
    return b"Xing" in first_frame or b"Info" in first_frame


def _describe_damage(name: str, error: Exception) -> str:
    detail = getattr(error, "error_string", "") or str(error)
    if "lost sync" in detail:
        return f"{name} is cut off or damaged: its audio cannot be decoded to the end"
    return f"{name} cannot be read as audio to its end: it is damaged; copy or export it again"


_MP3_REMARK = re.compile(rb"\[src/libmpg123|Note: |Warning: Xing")
_stderr_lock = threading.Lock()


@contextlib.contextmanager
def _silence_mp3_decoder(is_mp3: bool) -> Iterator[None]:
    """Keep the remarks of the MP3 decoder off stderr; it writes them even for good files.

    What other threads write to stderr meanwhile comes through, a little later.
    """
    if not is_mp3:
        yield
        return
    with _stderr_lock, tempfile.TemporaryFile() as captured:
        try:
            # Under the lock: what another thread has put there would be put back for good.
            original = os.dup(2)
        except OSError:  # there is no stderr
            yield
            return
        sys.stderr.flush()
        os.dup2(captured.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            captured.seek(0)
            for line in captured:
                if not _MP3_REMARK.match(line):
                    os.write(2, line)
