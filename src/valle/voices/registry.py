"""The user's own voices, kept by name in a folder.

The folder is `voices` in the user's data folder, or in the one that VALLE_HOME names. Names that
differ only in case are the same name, as on file systems that see no difference.
"""

import dataclasses
import difflib
from pathlib import Path

from valle.errors import OutputError, UsageError
from valle.files import data_folder, replacing
from valle.voices.voice import Voice, check_name

_ENDING = ".safetensors"


def folder() -> Path:
    """Where voices are kept; it need not exist yet."""
    return data_folder() / "voices"


def names() -> list[str]:
    """The names of all voices, sorted."""
    found = []
    for file in folder().glob(f"*{_ENDING}"):
        name = file.name.removesuffix(_ENDING)
        try:
            found.append(check_name(name))
        except UsageError:
            continue  # not put there by us
    return sorted(found, key=lambda name: (name.casefold(), name))


def path(name: str) -> Path:
    """The file of a voice that is there.

    Raises UsageError for what cannot be a name, and for an unknown one, naming those like it.
    """
    check_name(name)
    known = names()
    for other in known:
        if other.casefold() == name.casefold():
            return _file(other)
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    if close:
        hint = "did you mean " + " or ".join(repr(folded[match]) for match in close) + "?"
    elif known:
        hint = "`valle voices` lists those there are"
    else:
        hint = "there are none yet; `valle enroll FILE --name NAME` makes one"
    raise UsageError(f"there is no voice named {name!r}: {hint}")


def load(name: str) -> Voice:
    """The voice of that name. Raises UsageError, and what `Voice.load` raises."""
    return Voice.load(path(name))


def check_free(name: str) -> None:
    """Before long work: raises UsageError for what cannot be a name, or one that is taken."""
    check_name(name)
    for other in names():
        if other.casefold() == name.casefold():
            raise _taken(other)


def add(voice: Voice) -> Path:
    """Keep a voice under its own name; returns its file.

    Raises UsageError if the name is taken, OutputError if the folder cannot be written.
    """
    check_free(voice.name)
    file = _file(voice.name)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file, overwrite=False) as part:
            part.write_bytes(voice.to_bytes())
    except FileExistsError:  # somebody else was quicker
        raise _taken(voice.name) from None
    except OSError as error:
        raise OutputError(f"cannot make the folder {file.parent}: {error.strerror}") from error
    return file


def rename(old: str, new: str) -> Path:
    """Give a voice another name; returns its new file.

    Raises UsageError if the old name is unknown or the new one taken. Interrupted, it leaves the
    voice under its old name, or under both.
    """
    before = path(old)
    check_free(new)
    after = add(dataclasses.replace(Voice.load(before), name=new))
    _unlink(before)
    return after


def remove(name: str) -> None:
    """Delete a voice. Raises UsageError if it is unknown, OutputError if it cannot be deleted."""
    _unlink(path(name))


def _file(name: str) -> Path:
    return folder() / f"{name}{_ENDING}"


def _unlink(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot delete {file}: {error.strerror}") from error


def _taken(name: str) -> UsageError:
    return UsageError(
        f"there is a voice named {name!r} already; choose another name, or remove that one first"
    )
