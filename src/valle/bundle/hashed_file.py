"""Hash a file and then use that very file, without a copy of it in memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from valle.files import open_regular_file

_CHUNK = 1 << 20  # bytes read at once


@contextlib.contextmanager
def open_hashed(path: Path) -> Iterator[tuple[str, bytes | str]]:
    """Yield the SHA-256 (hex) of a file, and a path to the file or its bytes.

    The path is valid inside the block. It names the open file rather than the directory entry, so
    that the file that was hashed is the one that is read, even if another file has taken its name
    meanwhile. Only Linux has such paths; elsewhere the bytes are yielded.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    with open_regular_file(path) as file:
        descriptor_path = Path(f"/proc/self/fd/{file.fileno()}")
        if not descriptor_path.exists():
            data = file.read()
            yield hashlib.sha256(data).hexdigest(), data
            return
        digest = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        yield digest.hexdigest(), str(descriptor_path)
