"""The folder for what must not leak or be lost: key, ledger, challenges; one lock for all of it."""

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
from valle.files import data_folder

FOLDER_MODE, FILE_MODE = 0o700, 0o600
LOCK_SECONDS = 30.0  # to wait for another process; its work under the lock takes milliseconds


class Strict(BaseModel):
    """What is read back here has exactly the fields and types that were written."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def folder() -> Path:
    """Where it all lies: `safety` in the user's data folder. It need not exist yet."""
    return data_folder() / "safety"


@contextlib.contextmanager
def locked() -> Iterator[Path]:
    """The folder, made if need be, with no other thread or process in it. May be nested.

    Raises OutputError if it cannot be written, ConsentError if others can read it.
    """
    place = folder()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir(mode=FOLDER_MODE, exist_ok=True)
        check_private(place, FOLDER_MODE)
        # One object a path and thread: taking it again inside, as nested calls do, is free.
        lock = filelock.FileLock(place / "lock", mode=FILE_MODE, is_singleton=True)
        lock.acquire(LOCK_SECONDS, poll_interval=0.01)
    except filelock.Timeout:
        raise OutputError(f"{place} is locked by another process; wait for it, or end it") from None
    except OSError as error:
        raise _unwritable(place, error) from error
    try:
        yield place
    except OSError as error:
        raise _unwritable(place, error) from error
    finally:
        lock.release()


def check_private(path: Path, mode: int) -> None:
    """Raises ConsentError if others than the owner can read or write `path` (POSIX only)."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise ConsentError(
            f"others can read or write {path}, which must be yours alone: chmod {mode:o} {path}, "
            "and if somebody may have copied the signing key, move the folder away and enroll anew"
        )


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all, and on the disk."""
    part = path.parent / f".{secrets.token_hex(8)}.tmp"
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


def _unwritable(place: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot keep the ledger in {place} ({error.strerror or error}), and without a record "
        "nothing is spoken or enrolled: make the folder writable, or name another in VALLE_HOME"
    )
