"""Results of long work on disk, found by a hash of all that determines them.

What was not used for a month is forgotten. Whatever fails here is as if the cache were empty.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from pathlib import Path

from valle.files import data_folder, write_atomically

MAX_BYTES = 1 << 30
MAX_AGE = 30 * 86_400.0  # seconds since the last use


class DiskCache:
    """A folder of results, readable by its owner only."""

    def __init__(self, name: str, folder: Path | None = None) -> None:
        """Use a folder; None for `cache/<name>` in the user's data folder."""
        self.folder = data_folder() / "cache" / name if folder is None else folder

    @staticmethod
    def make_key(*values: object) -> str:
        """Return a hash of values; bytes and what has an exact `repr`."""
        digest = hashlib.sha256()
        for value in values:
            data = value if isinstance(value, bytes) else repr(value).encode("utf-8", "replace")
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def load(self, key: str) -> bytes | None:
        """Return the result with a key, or None."""
        path = self.folder / key
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        stated, content = data[:32], data[32:]
        return content if hashlib.sha256(content).digest() == stated else None

    def store(self, key: str, content: bytes) -> None:
        """Keep a result."""
        with contextlib.suppress(Exception):  # a full disk, for example, costs only the cache
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            with write_atomically(self.folder / key) as temporary:
                temporary.chmod(0o600)
                temporary.write_bytes(hashlib.sha256(content).digest() + content)

    def prune(self) -> DiskCache:
        """Remove what was not used for `MAX_AGE`, and the oldest beyond `MAX_BYTES`."""
        total, oldest = 0, time.time() - MAX_AGE
        with contextlib.suppress(OSError):
            found = [(path.stat(), path) for path in self.folder.iterdir() if path.is_file()]
            for status, path in sorted(found, key=lambda pair: -pair[0].st_mtime):
                total += status.st_size
                if total > MAX_BYTES or status.st_mtime < oldest:
                    path.unlink(missing_ok=True)
        return self
