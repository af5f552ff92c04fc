"""Where a text comes from: an argument, standard input, a file."""

from __future__ import annotations

import sys
from pathlib import Path

from valle.errors import TextError

MAX_BYTES = 64 << 20  # of a text: a hundred long novels


def read_text(text: str | None, file: Path | None) -> str:
    """Return the text of an argument, of a file, or of standard input ("-").

    Raises:
        TextError: it cannot be read, is too long, or is not UTF-8.
    """
    if text not in (None, "-"):
        return str(text)
    source = file or "standard input"
    try:
        if file:
            with open(file, "rb") as opened:
                data = opened.read(MAX_BYTES + 1)
        else:
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:  # a device never ends
            raise TextError(f"{source} has more than {MAX_BYTES >> 20} MiB of text; split it")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{source} is not UTF-8 text: {error.reason}; save it as UTF-8") from error
    except (OSError, ValueError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "it is closed"
        raise TextError(f"{source} cannot be read ({reason})") from error
