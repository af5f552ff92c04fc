"""Audio files out: WAV, FLAC, MP3 and Ogg Vorbis; a file appears complete or not at all."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from valle.arrays import Samples
from valle.errors import OutputError, UsageError
from valle.files import write_atomically

FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}
"""Container and encoding of libsndfile, by file name extension."""

_WRITE_BLOCK = 65_536  # samples


def infer_audio_format(target: str | Path) -> str:
    """Return the key of `FORMATS` for a target by its extension; `-` (stdout) is WAV.

    Raises:
        UsageError: The extension is not known.
    """
    if str(target) == "-":
        return "wav"
    extension = Path(target).suffix.lower().removeprefix(".")
    if extension not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(
            f"cannot tell the format of {str(target)!r}: end its name in one of {known}"
        )
    return extension


def save_audio(target: str | Path, samples: Samples, sample_rate: int, comment: str = "") -> None:
    """Write audio in the format of the target's extension.

    An existing file is replaced only when the new one is complete.

    Args:
        target: The path to write: wav or flac (16 bit), mp3, or ogg (Vorbis). `-` is WAV on stdout.
        samples: [N] mono in [-1, 1]; values beyond are clipped.
        sample_rate: In Hz.
        comment: Text of the file's comment tag, in ASCII (MP3 takes nothing else).

    Raises:
        UsageError: The extension is not known.
        OutputError: The target cannot be written.
    """
    name = infer_audio_format(target)
    if str(target) != "-":
        with write_atomically(target) as temporary:
            encode_audio(temporary, name, samples, sample_rate, comment)
        return
    if sys.stdout.isatty():
        raise OutputError("audio is not for the terminal; send it to a program or use -o FILE")
    with tempfile.TemporaryDirectory(prefix="valle-") as folder:
        temporary = Path(folder, "audio.wav")
        encode_audio(temporary, name, samples, sample_rate, comment)
        data = memoryview(temporary.read_bytes())
    _write_to_stdout(data)


def _write_to_stdout(data: memoryview) -> None:
    try:
        while len(data):  # where Python does not buffer stdout, a write may take only a part
            data = data[sys.stdout.buffer.write(data) :]
        sys.stdout.buffer.flush()
    except OSError as error:
        # What is left in the buffer must not raise a second time when Python ends.
        with contextlib.suppress(OSError):
            devnull = os.open(os.devnull, os.O_WRONLY)
            os.dup2(devnull, sys.stdout.fileno())
            os.close(devnull)
        raise OutputError(f"cannot write to stdout: {error.strerror}") from error


def encode_audio(path: Path, name: str, samples: Samples, sample_rate: int, comment: str) -> None:
    """Encode to a file in the format `FORMATS[name]`.

    Unlike `save_audio`, a file that is there is overwritten at once.

    Raises:
        OutputError: A sample is not finite, or the file cannot be written to its end.
    """
    if not np.isfinite(samples).all():
        raise OutputError("the audio holds values that are not numbers; nothing was written")
    container, subtype = FORMATS[name]
    try:
        # By its path: through a file object, libsndfile would swallow a Ctrl-C.
        with soundfile.SoundFile(
            path, "w", sample_rate, 1, subtype=subtype, format=container
        ) as file:
            if comment:
                file.comment = comment
            # Vorbis keeps a whole write on its stack: a long one would end the process.
            for start in range(0, len(samples), _WRITE_BLOCK):
                file.write(np.clip(samples[start : start + _WRITE_BLOCK], -1.0, 1.0))
        with soundfile.SoundFile(path) as file:
            complete = file.frames >= len(samples)
    except soundfile.SoundFileError as error:
        detail = getattr(error, "error_string", str(error)).strip().rstrip(".")
        raise OutputError(f"cannot write {name} at {sample_rate} Hz: {detail}") from error
    if not complete:
        raise OutputError(f"the {name} file could not be written to its end; is the disk full?")
