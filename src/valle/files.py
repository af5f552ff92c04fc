"""Atomic writes, and the folder that holds the user's own data.

A result appears whole or not at all: it is written to a temporary file in the same folder, which
then takes the target's name.
"""

import contextlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from valle.errors import OutputError


def data_folder() -> Path:
    """Return the folder of the user's voices, keys and ledger: `VALLE_HOME` if that is set.

    It need not exist.
    """
    home = os.environ.get("VALLE_HOME")
    return Path(home).expanduser() if home else Path(platformdirs.user_data_dir("valle"))


@contextlib.contextmanager
def temporary_data_folder() -> Iterator[None]:
    """Use an empty data folder inside the block, so that nothing is added to the user's own."""
    before = os.environ.get("VALLE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["VALLE_HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["VALLE_HOME"]
            else:
                os.environ["VALLE_HOME"] = before


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
def write_atomically(target: str | Path, overwrite: bool = True) -> Iterator[Path]:
    """Yield a temporary path to write to; at the end of the block it replaces the target.

    If the block ends early, by Ctrl-C for example, the target stays as it was and the temporary
    file is removed. A device or pipe (`/dev/null`, `>(...)`) cannot be replaced, so the finished
    bytes are copied into it.

    Args:
        target: The file to write; links are followed.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputError: The target cannot be written.
        FileExistsError: The target exists and `overwrite` is False.
    """
    final = check_target(target)
    is_special = final.exists() and not final.is_file()
    folder = Path(tempfile.gettempdir()) if is_special else final.parent
    temporary = folder / f".valle-{secrets.token_hex(8)}.tmp"
    try:
        try:
            # mkstemp would make the file private; here the umask decides, as for any new file.
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield temporary
            if is_special:
                with temporary.open("rb") as source, final.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                _move(temporary, final, overwrite)
        except FileExistsError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _move(temporary: Path, final: Path, overwrite: bool) -> None:
    """Move a finished file to its final name, after its contents have reached the disk."""
    with temporary.open("rb+") as written:
        os.fsync(written.fileno())
    if overwrite:
        if final.exists():
            temporary.chmod(stat.S_IMODE(final.stat().st_mode))
        os.replace(temporary, final)
        return
    try:
        os.link(temporary, final)  # unlike a rename, fails if another process was first
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if final.exists():
            raise FileExistsError(str(final)) from None
        os.replace(temporary, final)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
