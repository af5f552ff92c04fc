"""Live text in a command: parts of standard input as they come, and sound as it is made."""

from __future__ import annotations

import codecs
import struct
import sys
from collections.abc import Iterable, Iterator

import numpy as np

from valle.errors import OutputError, TextError
from valle.synthesis.speech import Speech

_MOST_BYTES = 4096  # of one part
_UNKNOWN = 0xFFFFFFFF  # the length of a WAV file that is not finished, as FFmpeg writes it


def read_parts() -> Iterator[str]:
    """Yield what comes on standard input, as soon as it comes.

    Raises:
        TextError: It is closed, cannot be read, or is not UTF-8.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    if sys.stdin is None:
        raise TextError("standard input cannot be read (it is closed)")
    try:
        while data := sys.stdin.buffer.read1(_MOST_BYTES):  # type: ignore[union-attr]
            if part := decoder.decode(data):
                yield part
        decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise TextError(
            f"standard input is not UTF-8 text: {error.reason}; send it as UTF-8"
        ) from error
    except (OSError, ValueError) as error:
        raise TextError(f"standard input cannot be read ({error})") from error


def write_pieces(pieces: Iterable[Speech], gain: float) -> Iterator[Speech]:
    """Write pieces to standard output as one WAV, each as soon as it comes, and pass them on.

    Args:
        pieces: Of one stream.
        gain: A factor of their samples.

    Raises:
        OutputError: Standard output is a terminal or is closed.
    """
    if sys.stdout is None or sys.stdout.isatty():
        raise OutputError("sound is not written to a terminal; send it to a player or a file")
    output = sys.stdout.buffer
    is_first = True
    for piece in pieces:
        if is_first:
            output.write(_make_header(piece.sample_rate))
            is_first = False
        samples = np.clip(piece.audio * np.float32(gain), -1.0, 1.0)
        output.write((samples * 32767.0).round().astype("<i2").tobytes())
        output.flush()
        yield piece


def _make_header(sample_rate: int) -> bytes:
    """Return the header of a mono 16-bit WAV whose length is not known."""
    form = struct.pack("<HHIIHH", 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", _UNKNOWN)
        + b"WAVEfmt "
        + struct.pack("<I", len(form))
        + form
        + b"data"
        + struct.pack("<I", _UNKNOWN)
    )
