"""The object store: voice files, recordings and results, in a folder or a bucket (fsspec)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from valle.errors import OutputError, UsageError

_KEY = re.compile(r"[a-z]+/[A-Za-z0-9_-]{1,96}(\.[a-z0-9]{1,16})?")
_BLOCK = 1 << 18
_PART = ".part"  # ending of a file that is still being written


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
                with self._part(path) as part:
                    self._files.pipe_file(part, data)
            else:
                self._files.pipe_file(path, data)
        except OSError as error:
            raise _failure("written", error) from error

    def put_file(self, key: str, file: BinaryIO) -> None:
        """Write an object from an open file, however long it is. Raises what `put` raises."""
        path = self._path(key)
        try:
            if self._is_local:
                self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
                with self._part(path) as part, open(part, "wb") as copy:
                    shutil.copyfileobj(file, copy, _BLOCK)
            else:
                with self._files.open(path, "wb") as copy:
                    shutil.copyfileobj(file, copy, _BLOCK)
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

    def list(self, folder: str, prefix: str = "") -> dict[str, float]:
        """Return the keys of a folder that begin with `prefix`, and when each was written.

        Raises:
            OutputError: The store cannot be reached.
        """
        return {
            key: modified
            for key, (_, modified) in self._find(folder, prefix).items()
            if _KEY.fullmatch(key)
        }

    def delete_parts(self, before: float) -> None:
        """Delete what processes had begun to write when they were killed, before a time.

        Raises:
            OutputError: It cannot be deleted.
        """
        if not self._is_local:  # an upload that is not complete is not an object there
            return
        for key, (path, modified) in self._find("", "").items():
            if key.endswith(_PART) and modified < before:
                Path(path).unlink(missing_ok=True)

    def _find(self, folder: str, prefix: str) -> dict[str, tuple[str, float]]:
        """Return the path and time of every file below a folder, by what it would be as a key."""
        try:
            self._files.invalidate_cache()
            within = f"{self._root}/{folder}".rstrip("/")
            # Stores that can look for a prefix do; others ignore it.
            found = self._files.find(within, detail=True, **({"prefix": prefix} if prefix else {}))
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _failure("read", error) from error
        files = {path[len(self._root) + 1 :]: (path, info) for path, info in found.items()}
        return {
            key: (path, _read_time(info))
            for key, (path, info) in files.items()
            if key.rpartition("/")[2].startswith(prefix)
        }

    @contextlib.contextmanager
    def _part(self, path: str) -> Iterator[str]:
        """Yield a file that takes the place of `path` after the block, or is gone if it fails."""
        part = f"{path}.{secrets.token_hex(4)}{_PART}"
        try:
            yield part
            os.replace(part, path)
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise

    def _path(self, key: str) -> str:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} is not the key of an object")
        return f"{self._root}/{key}"


def _options(url: str) -> dict[str, Any]:
    return {"use_listings_cache": False} if url.startswith("s3:") else {}


def _as_tuple(protocol: str | tuple[str, ...]) -> tuple[str, ...]:
    return (protocol,) if isinstance(protocol, str) else protocol


def _read_time(info: dict[str, Any]) -> float:
    """Return when a file was written: seconds since 1970, as each kind of store says it."""
    written = info.get("mtime", info.get("LastModified", info.get("created", 0.0)))
    return written.timestamp() if isinstance(written, datetime) else float(written)


def _failure(what: str, error: OSError) -> OutputError:
    reason = error.strerror or type(error).__name__
    return OutputError(
        f"the object store cannot be {what} now ({reason}); see that it is reachable and has room"
    )
