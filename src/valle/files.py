"""Results appear whole or not at all: written beside their place, then moved there.

Here too: which folder the user's own data is kept in.
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
    """Where the user's voices, keys and ledger are: VALLE_HOME if it is set; it need not exist."""
    home = os.environ.get("VALLE_HOME")
    return Path(home).expanduser() if home else Path(platformdirs.user_data_dir("valle"))


@contextlib.contextmanager
def home_apart() -> Iterator[None]:
    """A data folder for a while: what is enrolled and spoken in it is not the user's."""
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
    """The path that `replacing` would write, links followed.

    Raises OutputError for a folder, a place inside no folder, or a file without write permission.
    Called before long work, so that a wrong path costs nothing.
    """
    try:
        path = Path(os.path.realpath(target))
        if path.is_dir():
            raise OutputError(f"{target} is a folder; give the name of a file in it")
        if not path.parent.is_dir():
            raise OutputError(f"cannot write {target}: there is no folder {path.parent}; make it")
        if path.exists() and not os.access(path, os.W_OK):
            raise OutputError(f"cannot write {target}: it is write-protected; choose another name")
    except (OSError, ValueError) as error:  # a name too long, a zero byte in it
        raise OutputError(f"cannot write {str(target)!r}: {_reason(error)}") from error
    return path


@contextlib.contextmanager
def replacing(target: str | Path, overwrite: bool = True) -> Iterator[Path]:
    """Yield a path to write to; when the block ends well, its file takes the target's place.

    Whatever ends the block early, Ctrl-C included, leaves the target as it was and nothing beside
    it. A device or pipe (`/dev/null`, `>(...)`) cannot be replaced: it is sent the finished bytes.
    Raises OutputError when the target cannot be written, FileExistsError when it exists and
    `overwrite` is False.
    """
    final = check_target(target)
    special = final.exists() and not final.is_file()
    folder = Path(tempfile.gettempdir()) if special else final.parent
    part = folder / f".valle-{secrets.token_hex(8)}.tmp"
    try:
        try:
            # mkstemp would make the file private; here the umask decides, as for any new file.
            os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            yield part
            if special:
                with part.open("rb") as source, final.open("wb") as sink:
                    shutil.copyfileobj(source, sink)
            else:
                _settle(part, final, overwrite)
        except FileExistsError:
            raise
        except OSError as error:
            raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def _settle(part: Path, final: Path, overwrite: bool) -> None:
    """Move a finished file to its place, on the disk before its name points to it."""
    with part.open("rb+") as written:
        os.fsync(written.fileno())
    if overwrite:
        if final.exists():
            part.chmod(stat.S_IMODE(final.stat().st_mode))
        os.replace(part, final)
        return
    try:
        os.link(part, final)  # unlike a rename, fails if somebody else was quicker
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if final.exists():
            raise FileExistsError(str(final)) from None
        os.replace(part, final)


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
