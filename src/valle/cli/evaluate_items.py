"""Test lists on the command line: folders of voices, and the lists that papers publish."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from valle.cli.arguments import path
from valle.errors import UsageError
from valle.evaluation.items import Item, read_folder, read_sentences
from valle.evaluation.published_lists import (
    TASKS,
    read_f5_list,
    read_librispeech,
    read_seed_list,
)

FORMATS = ("folder", "seed", "f5", "librispeech")


def add_items(parser: argparse.ArgumentParser) -> None:
    """A test list and its format."""
    parser.add_argument(
        "source",
        type=path,
        metavar="FOLDER|LIST",
        help="a folder with a recording of each voice (NAME.wav, its transcript in NAME.txt, "
        "further recordings and transcripts in NAME/), or a test list",
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="of the test list: folder (the default of a folder), seed (seed-tts-eval's meta.lst, "
        "the default of a file), f5 (F5-TTS's LibriSpeech-PC list), librispeech (test-clean)",
    )
    parser.add_argument(
        "--librispeech", type=path, metavar="FOLDER", help="LibriSpeech/test-clean, for --format f5"
    )
    parser.add_argument(
        "--task",
        choices=TASKS,
        help="of --format librispeech: cross (3 s of another utterance as the prompt, the "
        "default), continual (its own first 3 s), utterance (another whole one)",
    )
    parser.add_argument(
        "--text",
        type=path,
        metavar="FILE",
        help="of a folder: new sentences for every voice to speak, one per line (default: six of "
        "ours, for voices without further recordings)",
    )


def read_items(arguments: argparse.Namespace) -> list[Item]:
    """The items of the list that was given.

    Raises:
        UsageError: the list or a recording is missing, or an option does not fit the format.
    """
    source: Path = arguments.source
    name = arguments.format or ("folder" if source.is_dir() else "seed")
    if name != "folder" and arguments.text:
        raise UsageError("--text is for a folder of voices; a list has its own texts")
    if name != "librispeech" and arguments.task:
        raise UsageError("--task is for --format librispeech; other lists say what the prompts are")
    if name != "f5" and arguments.librispeech:
        raise UsageError("--librispeech is for --format f5; other lists have their recordings")
    if name == "folder":
        sentences = read_sentences(arguments.text) if arguments.text else None
        return read_folder(source, sentences)
    if name == "librispeech":
        return read_librispeech(source, arguments.task or TASKS[0])
    if name == "seed":
        return read_seed_list(source)
    if arguments.librispeech is None:
        raise UsageError("--format f5 needs the recordings: --librispeech LibriSpeech/test-clean")
    return read_f5_list(source, arguments.librispeech)


def add_systems(parser: argparse.ArgumentParser) -> None:
    """`--system`: the clips of other systems."""
    parser.add_argument(
        "--system",
        type=_parse_system,
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="clips of another system, KEY.wav for each text; may be given several times",
    )


def _parse_system(word: str) -> tuple[str, Path]:
    name, equals, folder = word.partition("=")
    if not (name.strip() and equals and folder.strip()):
        raise argparse.ArgumentTypeError(f"must be NAME=FOLDER, not {word!r}")
    return name.strip(), path(folder)


def name_systems(given: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """The folders of other systems by their names.

    Raises:
        UsageError: a name occurs twice.
    """
    systems = dict(given)
    if len(systems) < len(given):
        raise UsageError("two systems have the same name; give each --system its own")
    return systems
