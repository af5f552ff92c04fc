"""The user's own voices, saved by name in a folder.

The folder is `voices` in the user's data folder, or in the one that VALLE_HOME names. Names that
differ only in case are the same name, as they are on case-insensitive file systems.
"""

from __future__ import annotations

import contextlib
import difflib
from pathlib import Path

from valle.errors import ConsentError, OutputError, UsageError
from valle.files import (
    data_folder,
    make_private_folder,
    sweep_temporary_files,
    write_private_file,
)
from valle.voices.names import check_name
from valle.voices.voice import Voice

_SUFFIX = ".safetensors"


def folder() -> Path:
    """Return the folder of the voices, which need not exist yet."""
    return data_folder() / "voices"


def names() -> list[str]:
    """Return the names of all voices, sorted. Files whose names cannot name a voice are ignored."""
    return sorted(_files(), key=lambda name: (name.casefold(), name))


def path(name: str) -> Path:
    """Return the file of a voice.

    Raises:
        UsageError: The name is not allowed, or there is no such voice; similar names are suggested.
    """
    name = check_name(name)
    files = _files()
    folded = {known.casefold(): known for known in files}
    if name.casefold() in folded:
        return files[folded[name.casefold()]]
    close = difflib.get_close_matches(name.casefold(), folded, n=3, cutoff=0.6)
    if close:
        hint = "did you mean " + " or ".join(repr(folded[match]) for match in close) + "?"
    elif files:
        hint = "`valle voices` lists the voices"
    else:
        hint = "there are none yet; `valle enroll FILE --name NAME` makes one"
    raise UsageError(f"there is no voice named {name!r}: {hint}")


def load(name: str) -> Voice:
    """Load a voice by its name.

    Raises:
        UsageError: The name is not allowed, or there is no such voice.
        RecordingError: Its file is damaged.
        ConsentError: Its file was altered, or is that of a voice of another name.
    """
    file = path(name)
    voice = Voice.load(file)
    # Otherwise somebody's file, copied under another name, would speak as that name, and be
    # revoked in its place.
    if voice.name.casefold() != check_name(name).casefold():
        raise ConsentError(
            f"{file} holds the voice {voice.name!r}, not {name!r}: rename voices by "
            "`valle voices rename`, and move this file away"
        )
    return voice


def check_free(name: str) -> None:
    """Refuse a name that is not allowed or is taken, before long work.

    Raises:
        UsageError: The name is not allowed, or a voice has it.
    """
    name = check_name(name)
    for known in names():
        if known.casefold() == name.casefold():
            raise _taken(known)


def add(voice: Voice) -> Path:
    """Save a voice under its own name, and return its file.

    Raises:
        UsageError: The name is taken.
        OutputError: The folder cannot be written.
    """
    check_free(voice.name)
    file = _file(voice.name)
    try:
        make_private_folder(file.parent)
        sweep_temporary_files(file.parent)
    except OSError as error:
        raise OutputError(f"cannot make the folder {file.parent}: {error.strerror}") from error
    try:
        write_private_file(file, voice.to_bytes(), overwrite=False)
    except FileExistsError:  # another process took the name in the meantime
        raise _taken(voice.name) from None
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}") from error
    return file


def rename(old: str, new: str) -> Path:
    """Rename a voice, and return its new file.

    If interrupted, the voice is left under its old name, or under both.

    Raises:
        UsageError: There is no voice of the old name, or the new name is not allowed or taken.
        OutputError: The folder cannot be written.
    """
    old_file = path(old)
    check_free(new)
    new_file = add(load(old).with_name(check_name(new)))
    _delete(old_file)
    return new_file


def remove(name: str) -> None:
    """Delete a voice.

    Raises:
        UsageError: There is no such voice.
        OutputError: Its file cannot be deleted.
    """
    _delete(path(name))


def _files() -> dict[str, Path]:
    """Return the files of all voices by their names."""
    files = {}
    for file in folder().glob(f"*{_SUFFIX}"):
        with contextlib.suppress(UsageError):
            files[check_name(file.name.removesuffix(_SUFFIX))] = file
    return files


def _file(name: str) -> Path:
    return folder() / f"{name}{_SUFFIX}"


def _delete(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot delete {file}: {error.strerror}") from error


def _taken(name: str) -> UsageError:
    return UsageError(
        f"there is a voice named {name!r} already; choose another name, or remove that voice first"
    )
