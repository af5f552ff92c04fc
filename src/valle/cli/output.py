"""Where a command writes: no existing file is lost, and no input is ever overwritten."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from valle.errors import OutputError
from valle.files import check_target
from valle.trust.provenance import sidecar_path

DEFAULT_OUTPUT = "speech.wav"


def choose_free_name(name: str = DEFAULT_OUTPUT) -> str:
    """Return `name` if neither that file nor its record exists, else the first free numbered one.

    `speech.wav` is followed by `speech-2.wav`, `speech-3.wav` and so on.
    """
    path = Path(name)
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    for candidate in itertools.chain([path], numbered):
        if not (os.path.lexists(candidate) or os.path.lexists(sidecar_path(candidate))):
            return str(candidate)
    raise AssertionError("the count is endless")


def check_output(target: str | Path, force: bool, inputs: Iterable[str | Path | None] = ()) -> None:
    """Check that a file may be written, before any work is done for it.

    Args:
        target: The file to write.
        force: Whether an existing file may be replaced.
        inputs: The files that the command reads; they are never replaced. None is ignored.

    Raises:
        OutputError: The target exists and `force` is False, is one of the inputs, or cannot be
            written.
    """
    path = check_target(target)
    for source in inputs:
        if source is not None and _is_same_file(path, Path(source)):
            raise OutputError(
                f"{target} is a file that this command reads, and would be lost; "
                "choose another name for the output"
            )
    if path.is_file() and not force:
        raise OutputError(
            f"{target} exists already; choose another name, or replace it with --force"
        )


def _is_same_file(first: Path, second: Path) -> bool:
    try:
        return first.samefile(second)
    except (OSError, ValueError):  # one of them does not exist
        return os.path.abspath(first) == os.path.abspath(second)
