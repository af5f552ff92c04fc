"""A file that is checked before it is used, without a copy of it in memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

_PIECE = 1 << 20  # bytes read at once


@contextlib.contextmanager
def open_hashed(path: Path) -> Iterator[tuple[str, bytes | str]]:
    """The SHA-256 (hex) of a file, and the file: a path good while this is open, or its bytes.

    The path is that of the opened file, not of its name, so that what was hashed is what is read
    even if another file has taken the name meanwhile. Only Linux has such paths.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        opened = Path(f"/proc/self/fd/{file.fileno()}")
        if not opened.exists():
            data = file.read()
            yield hashlib.sha256(data).hexdigest(), data
            return
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
        yield digest.hexdigest(), str(opened)
