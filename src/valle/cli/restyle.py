"""`valle restyle`: a recording in another style."""

from __future__ import annotations

import argparse

from valle.cli.arguments import add_common, given_fields, path
from valle.cli.changed_recording import (
    add_voice_and_output,
    check_voice_and_output,
    choose_voice,
    save_changed,
)
from valle.cli.console import note, print_json
from valle.cli.listening import read_recording, show_seconds
from valle.cli.speech_options import add_style, imitate_style, read_style
from valle.editing.restyle import restyle_recording
from valle.styles import Style
from valle.synthesis.model import find_voice, load

_ENDING = "-restyled"


def restyle_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle restyle`."""
    parser.add_argument("recording", type=path, metavar="FILE", help="the recording")
    add_style(parser)
    parser.add_argument(
        "--speed",
        dest="rate",
        default=argparse.SUPPRESS,
        metavar="X",
        help=str(Style.model_fields["rate"].description),
    )
    add_voice_and_output(parser, _ENDING)
    add_common(parser)


def restyle(arguments: argparse.Namespace) -> None:
    """Change how a recording is said, and write it with its signed record.

    Raises:
        UsageError: Options are missing, out of range, or exclude each other.
        RecordingError: The recording cannot be used.
        ConsentError: The recording comes without consent, or the consent does not hold.
        OutputError: A file cannot be written.
    """
    style = read_style(arguments, given_fields(arguments, Style))
    output = check_voice_and_output(arguments, _ENDING, [arguments.style_from])
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, threads=arguments.threads)
    arguments.track = None
    samples = read_recording(arguments, arguments.recording, model.sample_rate)
    seconds = len(samples) / model.sample_rate
    voice = choose_voice(model, arguments, voice)
    style = imitate_style(arguments, style, model, voice) or Style()
    with show_seconds("restyling", seconds, arguments.quiet) as progress:
        restyled = restyle_recording(model, arguments.recording, style, voice, progress)
    save_changed(restyled, output, arguments.force)
    if arguments.json:
        print_json(restyled.describe() | {"file": str(output)})
    else:
        note(arguments, f"{output}: {restyled.seconds:.1f} s")
