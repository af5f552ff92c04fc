"""The private folder that holds the key, the ledger and open challenges, and its lock."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

import filelock
from pydantic import BaseModel, ConfigDict

from valle.errors import ConsentError, OutputError
from valle.files import data_folder, sweep_temporary_files

FOLDER_MODE, FILE_MODE = 0o700, 0o600
LOCK_TIMEOUT = 30.0  # seconds to wait for another process; work under the lock takes milliseconds


class StrictModel(BaseModel):
    """Base of what is read back from disk: exactly the fields and types that were written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def folder() -> Path:
    """Return the private folder, `safety` in the user's data folder. It need not exist yet."""
    return data_folder() / "safety"


@contextlib.contextmanager
def lock_folder() -> Iterator[Path]:
    """Yield the private folder, created if need be, while no other thread or process uses it.

    Calls may be nested.

    Raises:
        OutputError: The folder cannot be written, or stays locked for `LOCK_TIMEOUT` seconds.
        ConsentError: Other users can read the folder.
    """
    path = folder()
    try:
        path.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)
        check_private(path, FOLDER_MODE)
        _check_place(path)
        # A singleton per path and thread: acquiring it again in a nested call does not block.
        lock = filelock.FileLock(path / "lock", mode=FILE_MODE, is_singleton=True)
        lock.acquire(LOCK_TIMEOUT, poll_interval=0.01)
    except filelock.Timeout:
        raise OutputError(f"{path} is locked by another process; wait for it, or end it") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        sweep_temporary_files(path)
        yield path
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        lock.release()


def check_private(path: Path, mode: int) -> None:
    """Check that only the owner can read or write `path` (POSIX only).

    Raises:
        ConsentError: Other users have access; the message gives the `chmod` to `mode`.
    """
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConsentError(
            f"others can read or write {path}, which must be yours alone: chmod {mode:o} {path}, "
            "and if somebody may have copied the signing key, move the folder away and enroll again"
        )


def _check_place(path: Path) -> None:
    """Check that nobody else can put another folder in the place of `path` (POSIX only).

    Raises:
        ConsentError: It is a link, or others may write to the folder that it is in.
    """
    if path.is_symlink():
        raise ConsentError(f"{path} is a link: put the folder itself in its place")
    status = path.parent.stat()
    others_write = stat.S_IMODE(status.st_mode) & 0o002 and not status.st_mode & stat.S_ISVTX
    if os.name == "posix" and others_write:
        raise ConsentError(
            f"everybody can write to {path.parent}, and so put another key and ledger there: "
            f"chmod o-w {path.parent}"
        )


def write_private(path: Path, data: bytes) -> None:
    """Write a file of the private folder that only its owner can read, atomically and synced.

    The temporary file lies at the top of that folder, where it is swept if a crash leaves it.
    """
    part = folder() / f".{secrets.token_hex(8)}.tmp"
    try:
        with os.fdopen(
            os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), "wb"
        ) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _unwritable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write the ledger in {path} ({error.strerror or error}), and without a ledger "
        "entry nothing is spoken or enrolled: make the folder writable, or name another in "
        "VALLE_HOME"
    )
