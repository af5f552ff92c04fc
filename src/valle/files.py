"""Atomic writes, and the folder that holds the user's own data.

A result appears whole or not at all: it is written to a temporary file in the same folder, which
then takes the target's name.
"""

import contextlib
import functools
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import platformdirs

from valle.errors import OutputError

PRIVATE_MODE = 0o600
PRIVATE_FOLDER_MODE = 0o700
_TEMPORARY_SECONDS = 3600.0  # no file is written to for as long without a change
_PREFIX = ".valle-"  # of temporary files, in folders that are not ours


def data_folder() -> Path:
    """Return the folder of the user's voices, keys and ledger: `VALLE_HOME` if that is set.

    It need not exist.
    """
    home = os.environ.get("VALLE_HOME")
    return Path(home).expanduser() if home else Path(platformdirs.user_data_dir("valle"))


@contextlib.contextmanager
def temporary_data_folder() -> Iterator[None]:
    """Use an empty data folder inside the block, so that nothing is added to the user's own.

    Nor to the folder of witnesses that `VALLE_STATE` names: it is not used inside the block.
    """
    with tempfile.TemporaryDirectory() as folder:
        before = {name: os.environ.pop(name, None) for name in ("VALLE_HOME", "VALLE_STATE")}
        os.environ["VALLE_HOME"] = folder
        try:
            yield
        finally:
            del os.environ["VALLE_HOME"]
            os.environ.update({name: value for name, value in before.items() if value is not None})


class FileTooLargeError(ValueError):
    """A file is larger than what it should be can be."""


def read_regular_file(path: str | Path, max_bytes: int) -> bytes:
    """Read a regular file of at most `max_bytes`; a device or a pipe would never end.

    Raises:
        FileTooLargeError: It is larger.
        OSError: It cannot be read, or is not a regular file.
    """
    with open_regular_file(path) as file:
        data = file.read(max_bytes + 1)  # whatever its size was said to be
    if len(data) > max_bytes:
        raise FileTooLargeError(f"{path} is larger than {max_bytes} bytes")
    return data


@contextlib.contextmanager
def open_regular_file(path: str | Path) -> Iterator[BinaryIO]:
    """Open a regular file to read; a device or a pipe is refused, whatever links lead to it.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe would wait for somebody to write to it.
    descriptor = os.open(
        path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(f"{path} is a folder")
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is not a regular file")
        yield file


def write_private_file(target: str | Path, data: bytes, overwrite: bool = True) -> None:
    """Write a file that only its owner can read, whatever the umask or an earlier file allowed.

    Raises:
        OutputError: The target cannot be written.
        FileExistsError: The target exists and `overwrite` is False.
    """
    with write_atomically(target, overwrite, private=True) as part:
        part.write_bytes(data)


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner can use; one that is there is closed to others.

    Raises:
        OSError: It cannot be created or closed.
    """
    # `parents=True` leaves the mode of the folders above to the umask: the data folder is one.
    folder.parent.mkdir(mode=PRIVATE_FOLDER_MODE, parents=True, exist_ok=True)
    folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
    if os.name == "posix" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        folder.chmod(PRIVATE_FOLDER_MODE)


def sweep_temporary_files(folder: Path) -> None:
    """Delete temporary files that a crash left in a folder of valle more than an hour ago."""
    _sweep(folder, ".*.tmp")


@functools.cache
def _sweep_outputs(folder: Path) -> None:
    """Delete what earlier programs of ours left in a user's folder, once for each folder."""
    _sweep(folder, f"{_PREFIX}*.tmp")


def _sweep(folder: Path, pattern: str) -> None:
    oldest = time.time() - _TEMPORARY_SECONDS
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < oldest:
                path.unlink()


def check_target(target: str | Path) -> Path:
    """Return the path that `write_atomically` would write, with links resolved.

    Call it before long work, so that a wrong path costs nothing.

    Raises:
        OutputError: The target is a folder, is in a folder that does not exist, or is
            write-protected.
    """
    try:
        path = Path(os.path.realpath(target))
        if path.is_dir():
            raise OutputError(f"{target} is a folder; give the name of a file in it")
        if not path.parent.is_dir():
            raise OutputError(
                f"cannot write {target}: the folder {path.parent} does not exist; create it"
            )
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"cannot write {target}: it is write-protected; choose another name")
    except (OSError, ValueError) as error:  # a name that is too long or holds a null character
        raise OutputError(f"cannot write {str(target)!r}: {_reason(error)}") from error
    return path


@contextlib.contextmanager
def write_atomically(
    target: str | Path, overwrite: bool = True, private: bool = False
) -> Iterator[Path]:
    """Yield a temporary path to write to; at the end of the block it replaces the target.

    If the block ends early, by Ctrl-C for example, the target stays as it was and the temporary
    file is removed. A device or pipe (`/dev/null`, `>(...)`) cannot be replaced, so the finished
    bytes are copied into it.

    Args:
        target: The file to write; links are followed.
        overwrite: Whether an existing file is replaced.
        private: Whether only the owner may read it, before it holds anything and after.

    Raises:
        OutputError: The target cannot be written.
        FileExistsError: The target exists and `overwrite` is False.
    """
    final = check_target(target)
    is_special = final.exists() and not final.is_file()
    if not (overwrite or is_special) and final.exists():
        raise FileExistsError(str(final))  # before the work, and before other files are in place
    folder = Path(tempfile.gettempdir()) if is_special else final.parent
    temporary = folder / f"{_PREFIX}{secrets.token_hex(8)}.tmp"
    try:
        try:
            _sweep_outputs(folder)
            # mkstemp would make the file private; here the umask decides, as for any new file.
            mode = PRIVATE_MODE if private else 0o666
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
            yield temporary
            if is_special:
                with temporary.open("rb") as source, final.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                _move(temporary, final, overwrite, keep_mode=not private)
        except FileExistsError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _move(temporary: Path, final: Path, overwrite: bool, keep_mode: bool) -> None:
    """Move a finished file to its final name, after its contents have reached the disk."""
    with temporary.open("rb+") as written:
        os.fsync(written.fileno())
    if overwrite:
        if keep_mode and final.exists():
            temporary.chmod(stat.S_IMODE(final.stat().st_mode))
        os.replace(temporary, final)
        return
    try:
        os.link(temporary, final)  # unlike a rename, fails if another process was first
    except FileExistsError:
        raise FileExistsError(str(final)) from None
    except OSError:  # a file system without hard links
        if final.exists():
            raise FileExistsError(str(final)) from None
        os.replace(temporary, final)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
