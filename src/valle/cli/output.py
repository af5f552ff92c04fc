"""Where a command writes: no existing file is lost, and no input is ever overwritten."""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from valle.errors import OutputError
from valle.files import check_target, write_atomically
from valle.trust.provenance import sidecar_path

DEFAULT_OUTPUT = "speech.wav"


class Captioned(Protocol):
    """What has subtitles: a speech, or a dialogue."""

    def to_srt(self) -> str: ...  # noqa: D102
    def to_vtt(self) -> str: ...  # noqa: D102
    def to_words(self) -> str: ...  # noqa: D102


CAPTIONS: dict[str, tuple[str, Callable[[Captioned], str]]] = {
    "srt": (".srt", lambda captioned: captioned.to_srt()),
    "vtt": (".vtt", lambda captioned: captioned.to_vtt()),
    "words": (".words.json", lambda captioned: captioned.to_words()),
}
"""The ending of each kind of file with the text and its times, and what makes it."""


def companions(output: str | Path, captions: Iterable[str] = ()) -> dict[str, Path]:
    """Return the files that are written next to the audio: "record" and those of `CAPTIONS`."""
    paths = {kind: Path(output).with_suffix(CAPTIONS[kind][0]) for kind in captions}
    return {"record": sidecar_path(output)} | paths


def write_captions(
    speech: Captioned, output: str, captions: Iterable[str], overwrite: bool
) -> list[Path]:
    """Write the files of `CAPTIONS` that were asked for, next to the audio.

    Raises:
        OutputError: A file cannot be written, or exists and `overwrite` is False.
    """
    paths = companions(output, captions)
    for kind in captions:
        text = CAPTIONS[kind][1](speech)
        try:
            with write_atomically(paths[kind], overwrite) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except FileExistsError as error:
            raise OutputError(f"{paths[kind]} exists already; replace it with --force") from error
    return [paths[kind] for kind in captions]


def choose_free_name(name: str = DEFAULT_OUTPUT, captions: Sequence[str] = ()) -> str:
    """Return `name` if neither that file nor a companion exists, else the first free numbered one.

    `speech.wav` is followed by `speech-2.wav`, `speech-3.wav` and so on.
    """
    path = Path(name)
    numbered = (path.with_stem(f"{path.stem}-{number}") for number in itertools.count(2))
    for candidate in itertools.chain([path], numbered):
        files = [candidate, *companions(candidate, captions).values()]
        if not any(map(os.path.lexists, files)):
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


def describe_interrupt(resumable: bool) -> str:
    """Say what an interrupt leaves of a film that takes long."""
    if resumable:
        return "interrupted; nothing was written, but the same command goes on from here"
    return "interrupted; nothing was written, and nothing is kept, because of --no-cache"


def add_no_cache(parser: argparse.ArgumentParser, kept: str) -> None:
    """`--no-cache`: keep nothing for a later run.

    Args:
        parser: Of the command.
        kept: What is kept otherwise.
    """
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help=f"do not keep {kept}, from which a later run goes on",
    )
