"""Options of every command that writes speech to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

from valle.audio.encoding import infer_audio_format
from valle.cli.arguments import add_fields, given_fields, nonempty
from valle.cli.console import note
from valle.cli.output import (
    CAPTIONS,
    DEFAULT_OUTPUT,
    add_no_cache,
    check_output,
    choose_free_name,
    companions,
)
from valle.errors import OutputError, UsageError
from valle.options import OutputKeywords, OutputOptions, SpeakOptions, validate_options
from valle.styles import Style
from valle.synthesis.imitation import measure_style
from valle.synthesis.model import Model
from valle.voices.voice import Voice


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add `-o`, `--force`, and the files that are written next to the audio."""
    parser.add_argument(
        "-o",
        "--output",
        type=nonempty,
        metavar="FILE|-",
        help="audio file, its format chosen by the ending .wav, .flac, .mp3 or .ogg; - writes WAV "
        f"to standard output (default: {DEFAULT_OUTPUT}; if that exists, the next free number)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the output file if it exists already"
    )
    for kind, summary in (
        ("srt", "write subtitles (SubRip) next to the audio file"),
        ("vtt", "write subtitles (WebVTT) next to the audio file"),
        ("words", "write the words and their times (JSON) next to the audio file"),
    ):
        parser.add_argument(f"--{kind}", action="store_true", help=summary)


def add_speech_options(parser: argparse.ArgumentParser, without: Collection[str] = ()) -> None:
    """Add the fields of `SpeakOptions` and `OutputOptions`, and `--no-cache`.

    Args:
        parser: That of a command.
        without: Fields that mean nothing to it.
    """
    fields = SpeakOptions.model_fields | OutputOptions.model_fields
    add_fields(parser, fields, {*without, "style"})
    add_style(parser)
    add_no_cache(parser, "the codes of the sentences")


def add_style(parser: argparse.ArgumentParser) -> None:
    """Add the fields of `Style`, and `--style-from`; how fast speech is, `--speed` says."""
    add_fields(parser, Style.model_fields, without=("rate",))
    parser.add_argument(
        "--style-from",
        type=nonempty,
        metavar="RECORDING",
        help="a recording whose style is imitated, by any speaker: its pitch range, rate and tilt, "
        "and its pitch if the voice is the same",
    )


def given_speech_options(arguments: argparse.Namespace) -> SpeakOptions:
    """Return the options of speech that were given, without `--style-from`.

    Raises:
        UsageError: One is out of range, or they exclude each other.
    """
    style = read_style(arguments, given_fields(arguments, Style, without=("rate",)))
    given = given_fields(arguments, SpeakOptions) | {"style": style}
    return SpeakOptions.from_keywords(**{name: v for name, v in given.items() if v is not None})


def read_style(arguments: argparse.Namespace, given: dict[str, Any]) -> Style | None:
    """Return the style that was given, None for none.

    Raises:
        UsageError: A number is out of range, or options need or exclude each other.
    """
    if given.keys() == {"strength"} and arguments.style_from is None:
        raise UsageError("--strength needs a style, such as --emotion sad")
    if "emotion" in given and arguments.style_from is not None:
        raise UsageError("--emotion and --style-from exclude each other: give only one of them")
    return validate_options(Style, given) if given else None


def imitate_style(
    arguments: argparse.Namespace, style: Style | None, model: Model, voice: Voice
) -> Style | None:
    """Return the style of `--style-from`, in which the numbers of `style` replace the measured.

    Raises:
        RecordingError: The recording cannot be read, or there is too little speech in it.
    """
    if arguments.style_from is None:
        return style
    measured = measure_style(model, arguments.style_from, voice)
    note(arguments, f"style of {arguments.style_from}: {measured.describe()}")
    return Style(
        **(measured.model_dump() | (style.model_dump(exclude_unset=True) if style else {}))
    )


def given_output_options(arguments: argparse.Namespace) -> OutputKeywords:
    """Return the options of the file that were given."""
    return cast("OutputKeywords", given_fields(arguments, OutputOptions))


def given_captions(arguments: argparse.Namespace) -> list[str]:
    """Return the kinds of `CAPTIONS` that were asked for."""
    return [kind for kind in CAPTIONS if getattr(arguments, kind)]


def choose_output(arguments: argparse.Namespace, inputs: Sequence[str | Path | None]) -> str:
    """Return the file to write or "-", after checking that nothing would be lost.

    Args:
        arguments: With the options of `add_output`, and `--json`.
        inputs: The files that the command reads; None is ignored.

    Raises:
        UsageError: Options exclude each other, or the file's ending is not known.
        OutputError: A file exists, is one of the inputs, or cannot be written.
    """
    output: str | None = arguments.output
    captions = given_captions(arguments)
    if output == "-":
        if captions:
            raise UsageError(f"--{captions[0]} is written next to a file; give -o a file")
        if arguments.json:
            raise UsageError("-o - and --json both write to standard output; give -o a file")
        if sys.stdout is None:
            raise OutputError("standard output is closed; name a file with -o")
        return output
    if output is None:
        output = DEFAULT_OUTPUT if arguments.force else choose_free_name(captions=captions)
    for target in [Path(output), *companions(output, captions).values()]:
        check_output(target, arguments.force, inputs)
    infer_audio_format(output)
    return output
