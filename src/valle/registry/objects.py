"""The object store: voice files, recordings and results, in a folder or a bucket (fsspec)."""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from valle.errors import OutputError, UsageError

_KEY = re.compile(r"[a-z]+/[A-Za-z0-9_-]{1,96}(\.[a-z0-9]{1,16})?")
_BLOCK = 1 << 18


class ObjectStore:
    """Whole objects under keys such as `voices/voice_12ab.safetensors`.

    Keys are made here from identifiers of the registry, never from what a request says. An object
    appears whole or not at all.
    """

    def __init__(self, url: str) -> None:
        """Open a store.

        Args:
            url: A folder, or a URL of fsspec such as `s3://BUCKET/PREFIX`.

        Raises:
            UsageError: No installed package can open such a URL.
            OutputError: The store cannot be reached.
        """
        import fsspec

        try:
            self._files, self._root = fsspec.core.url_to_fs(url, **_options(url))
        except (ImportError, ValueError) as error:
            raise UsageError(f"--objects {url.partition('://')[0]}://...: {error}") from error
        self._root = str(self._root).rstrip("/")
        self._is_local = "file" in _as_tuple(self._files.protocol)

    def put(self, key: str, data: bytes) -> None:
        """Write an object.

        Raises:
            OutputError: It cannot be written.
        """
        path = self._path(key)
        try:
            if self._is_local:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                part = f"{path}.{secrets.token_hex(4)}.part"
                self._files.pipe_file(part, data)
                self._files.mv(part, path)
            else:
                self._files.pipe_file(path, data)
        except OSError as error:
            raise _failure("written", error) from error

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Write an object from an open file, however long it is. Raises what `put` raises."""
        path = self._path(key)
        try:
            target = path
            if self._is_local:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                target = f"{path}.{secrets.token_hex(4)}.part"
            with self._files.open(target, "wb") as copy:
                shutil.copyfileobj(file, copy, _BLOCK)
            if target != path:
                self._files.mv(target, path)
        except OSError as error:
            raise _failure("written", error) from error

    def put_json(self, key: str, value: Any) -> None:
        """Write an object as JSON. Raises what `put` raises."""
        self.put(key, json.dumps(value).encode())

    def get_file(self, key: str, target: Path) -> None:
        """Copy an object to a file. Raises what `get` raises."""
        with target.open("wb") as copy:
            for block in self.stream(key):
                copy.write(block)

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises:
            OutputError: It is missing, or cannot be read.
        """
        try:
            # From the store itself: another process may have written it since the last listing.
            data: bytes = self._files.cat_file(self._path(key))
        except OSError as error:
            raise _failure("read", error) from error
        return data

    def stream(self, key: str) -> Iterator[bytes]:
        """Yield an object in blocks. Raises what `get` raises."""
        try:
            with self._files.open(self._path(key), "rb") as file:
                while block := file.read(_BLOCK):
                    yield block
        except OSError as error:
            raise _failure("read", error) from error

    def size(self, key: str) -> int:
        """Return the length of an object in bytes. Raises what `get` raises."""
        try:
            self._files.invalidate_cache()
            return int(self._files.size(self._path(key)))
        except OSError as error:
            raise _failure("read", error) from error

    def delete(self, key: str) -> None:
        """Delete an object, if it is there.

        Raises:
            OutputError: It cannot be deleted.
        """
        try:
            self._files.rm_file(self._path(key))
        except FileNotFoundError:
            pass
        except OSError as error:
            raise _failure("deleted", error) from error

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not the key of an object")
        return f"{self._root}/{key}"


def _options(url: str) -> dict[str, Any]:
    return {"use_listings_cache": False} if url.startswith("s3:") else {}


def _as_tuple(protocol: str | tuple[str, ...]) -> tuple[str, ...]:
    return (protocol,) if isinstance(protocol, str) else protocol


def _failure(what: str, error: OSError) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(
        f"the object store cannot be {what} now ({reason}); see that it is reachable and has room"
    )
