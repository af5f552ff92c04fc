"""Opening what holds audio, and refusing what is missing, cut off, damaged or no audio."""

import contextlib
import io
import os
import re
import stat
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from valle.errors import RecordingError

MIN_RATE = 4_000  # Hz; below it there is no speech
MAX_CHANNELS = 64
_MAX_PIPE = 1 << 30  # bytes taken from a pipe, which must be held in memory

# libsndfile quietly shortens files that end before their header says; its log tells.
# The lengths that writers to a pipe leave in the header are no claim.
_SHORT = re.compile(
    r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M
)
_UNKNOWN_LENGTH = 0x7FFFF000
_OGG_PAGE = 65_307  # bytes of the longest page
_MP3_SLACK = 2 * 1152  # samples; encoders count their own first frame or do not


class Source:
    """Audio that can be read in blocks, from any place, more than once."""

    def __init__(
        self,
        name: str,
        rate: int,
        audio: "soundfile.SoundFile | NDArray[np.generic]",
        claims_length: bool = True,
    ):
        self.name = name  # how messages call it
        self.rate = rate  # Hz
        self._audio = audio
        if isinstance(audio, np.ndarray):
            self.channels, self._claimed = audio.shape[1], len(audio)
        else:
            self.channels, self._claimed = audio.channels, audio.frames if claims_length else 0
        if rate < MIN_RATE:
            raise RecordingError(
                f"{name} is sampled at {rate} Hz, too few for speech; 16 kHz or more is good"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise RecordingError(f"{name} has {self.channels} channels; one is good")

    def blocks(self, first: int, last: int, size: int) -> Iterator[NDArray[np.float32]]:
        """[size, channels] pieces of samples `first` to `last`, the last one shorter.

        Raises RecordingError where the audio is damaged or ends before it should.
        """
        if isinstance(self._audio, np.ndarray):
            for start in range(first, min(last, len(self._audio)), size):
                yield _as_floats(self._audio[start : min(start + size, last)])
            return
        at = first
        try:
            self._audio.seek(first)
            while at < last:
                with _quiet(self._audio.format == "MP3"):
                    block = self._audio.read(min(size, last - at), "float32", always_2d=True)
                if not len(block):
                    break
                at += len(block)
                yield block
        except (soundfile.SoundFileError, RuntimeError) as error:
            raise RecordingError(_damaged(self.name, error)) from error
        if at < min(last, self._claimed - _MP3_SLACK):
            raise RecordingError(
                f"{self.name} is cut off: it says it lasts {self._claimed / self.rate:.1f} s, "
                f"but ends at {at / self.rate:.1f} s; copy it again or export it anew"
            )


@contextlib.contextmanager
def open_source(source: object) -> Iterator[Source]:
    """Open a path, an open binary file or (samples, sample rate).

    Raises RecordingError with what is wrong with it.
    """
    if isinstance(source, tuple):
        yield _from_array(source)
        return
    with contextlib.ExitStack() as stack:
        audio: bytes | str | BinaryIO
        if isinstance(source, (str, os.PathLike)):
            name = str(source)
            file = stack.enter_context(_open_path(name))
            # By its path: through a Python file object, libsndfile would swallow a Ctrl-C.
            by_path = not isinstance(file, io.BytesIO)
            audio = (name if os.name == "nt" else os.fsencode(name)) if by_path else file
        else:
            name = "the recording"
            audio = file = _seekable(source)
        if not file.seek(0, io.SEEK_END):
            raise RecordingError(f"{name} is empty (0 bytes)")
        if _ogg_is_cut(file):
            raise RecordingError(f"{name} is cut off: its last page is incomplete; copy it again")
        claims_length = _mp3_length_is_known(file)
        file.seek(0)
        try:
            with _quiet(True):
                opened = stack.enter_context(soundfile.SoundFile(audio))
        except (soundfile.SoundFileError, TypeError, RuntimeError) as error:
            raise RecordingError(_damaged(name, error)) from error
        for claimed, found in _SHORT.findall(opened.extra_info):
            if int(found) < int(claimed) < _UNKNOWN_LENGTH:
                raise RecordingError(
                    f"{name} is cut off: {int(claimed) - int(found)} bytes of its audio are "
                    "missing; copy it again or export it anew"
                )
        if opened.frames > 1 << 48:  # FLAC from a pipe, which libsndfile reads with errors
            raise RecordingError(f"{name} does not tell its length; convert it to WAV")
        yield Source(name, opened.samplerate, opened, opened.format != "MP3" or claims_length)


def _open_path(name: str) -> BinaryIO:
    try:
        mode = os.stat(name).st_mode
        if stat.S_ISDIR(mode):
            raise RecordingError(f"{name} is a folder; give the audio file in it")
        if stat.S_ISREG(mode):
            return open(name, "rb")
        if stat.S_ISFIFO(mode):
            with open(name, "rb") as pipe:
                return _read_all(pipe)
    except FileNotFoundError:
        raise RecordingError(f"there is no file {name}") from None
    except (OSError, ValueError) as error:  # no permission; a name with a zero byte
        reason = error.strerror if isinstance(error, OSError) else error
        raise RecordingError(f"cannot open {name!r}: {reason}") from error
    raise RecordingError(f"{name} is neither a file nor a pipe")


def _seekable(source: Any) -> BinaryIO:
    """A file object that can go back to its beginning; a pipe is held in memory."""
    try:
        try:
            source.seek(0)
            start = source.read(1)
        except OSError:  # a pipe, or not for reading: then this fails as well
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
    data = pipe.read(_MAX_PIPE + 1)
    if len(data) > _MAX_PIPE:
        raise RecordingError("more than 1 GiB came through the pipe; give the file's name instead")
    return io.BytesIO(data)


def _from_array(source: tuple[object, ...]) -> Source:
    try:
        values, rate = source
        array = np.asarray(values)
        whole = int(rate)  # type: ignore[call-overload]
        if whole != rate or isinstance(rate, bool):
            raise ValueError
    except (TypeError, ValueError):
        raise RecordingError("a recording as array is (samples, sample rate in Hz)") from None
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
    return Source("the recording", whole, array)


def _as_floats(block: NDArray[np.generic]) -> NDArray[np.float32]:
    if block.dtype.kind == "f":
        with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which is refused
            return block.astype(np.float32)
    half = 2.0 ** (8 * block.itemsize - 1)
    zero = half if block.dtype.kind == "u" else 0.0
    return ((block.astype(np.float64) - zero) / half).astype(np.float32)


def _ogg_is_cut(file: BinaryIO) -> bool:
    """Whether an Ogg file ends inside a page; libsndfile would read up to there and say nothing."""
    file.seek(0)
    if file.read(4) != b"OggS":
        return False
    file.seek(-min(file.seek(0, io.SEEK_END), _OGG_PAGE), io.SEEK_END)
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
        at = 10 + sum(byte << shift for byte, shift in zip(start[6:], (21, 14, 7, 0), strict=True))
    file.seek(at)
    first_frame = file.read(4096)
    return b"Xing" in first_frame or b"Info" in first_frame


def _damaged(name: str, error: Exception) -> str:
    detail = getattr(error, "error_string", "") or str(error)
    if "lost sync" in detail:
        return f"{name} is cut off or damaged: its audio cannot be decoded to the end"
    return f"{name} cannot be read as audio; give a WAV, FLAC, MP3 or Ogg file, whole and undamaged"


_NOISE = re.compile(rb"\[src/libmpg123|Note: |Warning: Xing")
_stderr_lock = threading.Lock()


@contextlib.contextmanager
def _quiet(decoding_mp3: bool) -> Iterator[None]:
    """Keep the MP3 decoder's own remarks off stderr; it writes them even for good files.

    What others write to stderr meanwhile comes through, a little later.
    """
    try:
        kept = os.dup(2) if decoding_mp3 else None
    except OSError:  # no stderr, nothing to keep clean
        kept = None
    if kept is None:
        yield
        return
    with _stderr_lock, tempfile.TemporaryFile() as said:
        sys.stderr.flush()
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            for line in said:
                if not _NOISE.match(line):
                    os.write(2, line)
