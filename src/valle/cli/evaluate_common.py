"""What the protocols of `valle evaluate` share: argument groups, and the form of a result."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.cli.arguments import (
    Integer,
    add_bundle,
    add_manifest,
    add_quiet,
    add_threads,
    path,
)
from valle.errors import Error, OutputError, UsageError
from valle.evaluation.material import Speaker, read_speakers
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.files import check_target

if TYPE_CHECKING:
    from valle import Model

COUNT = Integer(1)


@dataclass(frozen=True)
class Outcome:
    """What a protocol measured."""

    report: dict[str, Any]
    """For the JSON file."""
    table: str
    """For standard output."""
    model: Model | None = None
    """The model that was evaluated, if any."""
    failure: Error | None = None
    """Raised once the report is written: the command fails."""


@dataclass(frozen=True)
class Protocol:
    """A protocol of `valle evaluate`."""

    summary: str
    """One line for the help."""
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], Outcome]


def add_output(parser: argparse.ArgumentParser, name: str) -> None:
    """`-o`, `--output` and `-q`, `--quiet`."""
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        default=Path(f"runs/{name}.json"),
        metavar="FILE.json",
        help="where to write all results (default: %(default)s)",
    )
    add_quiet(parser, "show no progress bar")


def add_model(
    parser: argparse.ArgumentParser,
    summary: str = "the model to evaluate (default: the built-in one)",
) -> None:
    """`--bundle` and `--threads`."""
    add_bundle(parser, summary)
    add_threads(parser)


def add_speakers(parser: argparse.ArgumentParser) -> None:
    """`--manifest`, `--heldout` and `--speakers`."""
    add_heldout(parser)
    add_speaker_limit(parser)


def add_heldout(parser: argparse.ArgumentParser) -> None:
    """`--manifest` and `--heldout`."""
    add_manifest(parser, several=True)
    parser.add_argument(
        "--heldout",
        type=path,
        action="append",
        required=True,
        metavar="FILE",
        help="list of speakers that no model was trained on, one name per line; may be given "
        "several times",
    )


def add_speaker_limit(parser: argparse.ArgumentParser) -> None:
    """`--speakers`."""
    parser.add_argument(
        "--speakers", type=COUNT, metavar="N", help="evaluate only N speakers (default: all)"
    )


def add_sentences(parser: argparse.ArgumentParser) -> None:
    """`--text`: sentences to synthesize."""
    parser.add_argument(
        "--text",
        type=path,
        required=True,
        metavar="FILE.tsv",
        help="sentences to choose new ones from, one per line: source, tab, sentence",
    )


def add_plot(parser: argparse.ArgumentParser, summary: str) -> None:
    """`--picture`: an image file."""
    parser.add_argument("--picture", type=path, metavar="FILE", help=f"{summary} (png, svg, pdf)")


def limit_speakers(arguments: argparse.Namespace, available: int, least: int = 1) -> int:
    """How many speakers to evaluate.

    Raises:
        UsageError: fewer than `least`, or more than are available.
    """
    count = available if arguments.speakers is None else int(arguments.speakers)
    if not least <= count <= available:
        raise UsageError(f"--speakers must be {least} to {available}, not {count}")
    return count


def check_output(output: Path) -> None:
    """Make the folder of an output file and check that the file can be written.

    Called before the work, so that a wrong path does not cost an hour.

    Raises:
        OutputError: it cannot be written.
    """
    make_folder(output.parent)
    check_target(output)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}") from error


def read_limited_speakers(arguments: argparse.Namespace) -> list[Speaker]:
    """The held-out speakers to evaluate, with four recordings each.

    Raises:
        UsageError: a file or a package is missing, or there are too few speakers or recordings.
    """
    speakers = read_speakers(arguments.manifest, arguments.heldout, SentenceIdentifier().knows)
    return speakers[: limit_speakers(arguments, len(speakers))]
