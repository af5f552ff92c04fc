"""The options of `valle book` and of its actions."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TypeAlias

from valle.books.options import BookOptions
from valle.cli.arguments import Integer, Number, add_common, add_fields, add_voice, nonempty, path

Actions: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_RATE = Number(0.25, 4.0)
_PAUSE = Number(0.0, 60.0)
_NUMBER = Integer(1)
# Options that decide how a book is written, and not how its sentences are spoken.
_WRITING = ("title", "author", "narrator", "cover", "pause", "loudness", "rate", "bitrate")
_CAPTIONS = {
    "srt": "write subtitles (SubRip) next to the first output",
    "vtt": "write subtitles (WebVTT) next to the first output",
    "words": "write the words and their times (JSON) next to the first output",
    "chapters-json": "write the chapters (Podcasting 2.0) next to the first output",
}


def add_book_actions(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle book`."""
    actions = parser.add_subparsers(metavar="ACTION", parser_class=type(parser), required=True)
    _add_make(actions)
    _add_status(actions)
    _add_fix(actions)
    _add_redo(actions)
    _add_export(actions)


def _add_action(actions: Actions, name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(
        name, help=summary, description=summary, allow_abbrev=False
    )
    parser.set_defaults(action=name)
    return parser


def _add_make(actions: Actions) -> None:
    parser = _add_action(
        actions, "make", "speak a book and write it (the default: valle book INPUT -o book.m4b)"
    )
    parser.add_argument(
        "input", type=path, metavar="INPUT", help="an EPUB, HTML, Markdown or text file"
    )
    _add_output(parser, "may be given several times")
    add_voice(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the chapters and what will not be spoken, and speak nothing",
    )
    _add_project(parser)
    _add_options(parser, BookOptions.model_fields)
    add_common(parser)


def _add_status(actions: Actions) -> None:
    parser = _add_action(actions, "status", "say how far a book is, the worst sentences first")
    parser.add_argument(
        "numbers", nargs="*", type=_NUMBER, metavar="N", help="sentences to show, by their numbers"
    )
    parser.add_argument("--all", action="store_true", help="show all sentences")
    parser.add_argument(
        "--worst",
        type=Integer(0),
        default=10,
        metavar="N",
        help="how many of the sentences that were not understood to show (default: %(default)s)",
    )
    parser.add_argument("--omitted", action="store_true", help="list all that is not spoken")
    _add_project(parser)
    add_common(parser)


def _add_fix(actions: Actions) -> None:
    parser = _add_action(actions, "fix", "change sentences, speak them again, write the book")
    _add_numbers(parser)
    parser.add_argument(
        "--text", type=nonempty, metavar="TEXT", help="what to say instead; [[...]] is IPA"
    )
    parser.add_argument("--voice", type=nonempty, metavar="NAME", help="a saved voice")
    parser.add_argument(
        "--speed", type=_RATE, metavar="X", help="speaking rate: 2 is twice as fast; 0.25 to 4"
    )
    parser.add_argument(
        "--style", type=nonempty, metavar="STYLE", help="such as soft or low, as in [style:...]"
    )
    parser.add_argument(
        "--pause-after", type=_PAUSE, metavar="SECONDS", help="silence after the sentence"
    )
    parser.add_argument("--restore", action="store_true", help="take back all changes of them")
    _add_repair(parser)


def _add_redo(actions: Actions) -> None:
    parser = _add_action(
        actions, "redo", "speak sentences again, each in another way, and write the book"
    )
    _add_numbers(parser)
    _add_repair(parser)


def _add_export(actions: Actions) -> None:
    parser = _add_action(
        actions, "export", "write a book again, or to other files, without speaking it again"
    )
    _add_output(parser, "(default: the files that the book was last written to)")
    parser.add_argument(
        "--sentence",
        type=_NUMBER,
        metavar="N",
        help="write this sentence alone, to a .wav, .flac, .mp3 or .ogg file",
    )
    _add_project(parser)
    fields = {name: BookOptions.model_fields[name] for name in _WRITING}
    _add_options(parser, fields)
    add_common(parser)


def _add_numbers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "numbers", nargs="+", type=_NUMBER, metavar="N", help="numbers of sentences, from 1"
    )


def _add_repair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-export", action="store_true", help="speak them, and do not write the book yet"
    )
    _add_project(parser)
    add_common(parser)


def _add_output(parser: argparse.ArgumentParser, more: str) -> None:
    parser.add_argument(
        "-o",
        "--output",
        type=nonempty,
        action="append",
        default=[],
        metavar="FILE",
        help="file to write; its ending is the format: .m4b, .mp3, .opus or .flac with chapter "
        f"marks, .epub for an e-book that is read along; {more}",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace output files that exist already"
    )
    parser.add_argument(
        "--split",
        action="store_true",
        help="write a file for every chapter: book-01.mp3, book-02.mp3 and so on",
    )
    for kind, summary in _CAPTIONS.items():
        parser.add_argument(f"--{kind}", action="store_true", help=summary)


def _add_project(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--project",
        type=path,
        metavar="FOLDER",
        help="the folder of the project, or a file that it has written (default: book.valle for "
        "book.m4b; the only one in this folder)",
    )


def _add_options(parser: argparse.ArgumentParser, fields: Iterable[str]) -> None:
    add_fields(parser, {name: BookOptions.model_fields[name] for name in fields})
