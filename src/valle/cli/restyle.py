"""`valle restyle`: a recording said otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path

from valle.audio.encoding import infer_audio_format
from valle.cli.arguments import (
    add_bundle,
    add_consent,
    add_json,
    add_quiet,
    add_threads,
    given_fields,
    nonempty,
    path,
)
from valle.cli.console import note, print_json
from valle.cli.listening import read_recording, show_seconds
from valle.cli.output import check_output
from valle.cli.speech_options import add_style, imitate_style, read_style
from valle.cli.voices import enroll_recording, given_consent
from valle.consent.issuing import check_given
from valle.editing.restyle import restyle_recording
from valle.errors import OutputError, UsageError
from valle.styles import Style
from valle.synthesis.model import find_voice, load
from valle.trust.provenance import sidecar_path


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
    parser.add_argument(
        "--voice",
        type=nonempty,
        metavar="NAME|FILE",
        help="a saved voice of the speaker, instead of --consent or --attest for the recording",
    )
    add_consent(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        metavar="FILE",
        help="file to write: .wav, .flac, .mp3 or .ogg (default: FILE-restyled.wav)",
    )
    parser.add_argument(
        "--force", action="store_true", help="replace the output files if they exist already"
    )
    add_bundle(parser)
    add_threads(parser)
    add_json(parser)
    add_quiet(parser)


def restyle(arguments: argparse.Namespace) -> None:
    """Change how a recording is said, and write it with its signed record.

    Raises:
        UsageError: Options are missing, out of range, or exclude each other.
        RecordingError: The recording cannot be used.
        ConsentError: The recording comes without consent, or the consent does not hold.
        OutputError: A file cannot be written.
    """
    style = read_style(arguments, given_fields(arguments, Style))
    if arguments.voice is None:
        check_given(given_consent(arguments))
    elif arguments.attest is not None or arguments.consent is not None:
        raise UsageError("a saved voice has its receipt; leave out --attest and --consent")
    output = _check_output(arguments)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, threads=arguments.threads)
    arguments.track = None
    samples = read_recording(arguments, arguments.recording, model.sample_rate)
    seconds = len(samples) / model.sample_rate
    if voice is None:
        voice = enroll_recording(model, str(arguments.recording), arguments)
    style = imitate_style(arguments, style, model, voice) or Style()
    with show_seconds("restyling", seconds, arguments.quiet) as progress:
        restyled = restyle_recording(model, arguments.recording, style, voice, progress)
    try:
        restyled.save(output, overwrite=arguments.force)
    except FileExistsError as error:
        raise OutputError(f"{error} exists already; replace it with --force") from error
    if arguments.json:
        print_json(restyled.describe() | {"file": str(output)})
    else:
        note(arguments, f"{output}: {restyled.seconds:.1f} s")


def _check_output(arguments: argparse.Namespace) -> Path:
    recording: Path = arguments.recording
    output: Path = arguments.output or recording.with_name(f"{recording.stem}-restyled.wav")
    if str(output) == "-":
        raise UsageError("the recording has a signed record beside it; name a file with -o")
    infer_audio_format(output)
    inputs = [recording, arguments.voice, arguments.consent, arguments.style_from]
    for target in (output, sidecar_path(output)):
        check_output(target, arguments.force, inputs)
    return output
