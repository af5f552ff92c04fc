"""Options of commands that change a recording in its own voice: `valle edit`, `valle restyle`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from valle.audio.encoding import infer_audio_format
from valle.cli.arguments import add_consent, add_force, nonempty, path
from valle.cli.output import check_output
from valle.cli.voices import check_consent_options, enroll_recording
from valle.editing.sound import ChangedRecording
from valle.errors import OutputError, UsageError
from valle.synthesis.model import Model
from valle.trust.provenance import sidecar_path
from valle.voices.voice import Voice


def add_voice_and_output(parser: argparse.ArgumentParser, ending: str) -> None:
    """Add the voice of the recording, and `-o` and `--force`.

    Args:
        parser: That of a command with the argument `recording`.
        ending: Of the name of the file that is written by default, before ".wav".
    """
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
        help=f"file to write: .wav, .flac, .mp3 or .ogg (default: FILE{ending}.wav)",
    )
    add_force(parser)


def check_voice_and_output(
    arguments: argparse.Namespace, ending: str, inputs: Sequence[str | Path | None]
) -> Path:
    """Check consent and output before any work; returns the file to write.

    Args:
        arguments: With the options of `add_voice_and_output`.
        ending: As there.
        inputs: Other files that the command reads; None is ignored.

    Raises:
        UsageError: An option does not go with another, or the file's ending is not known.
        ConsentError: The recording comes without consent.
        OutputError: A file exists, is one of the inputs, or cannot be written.
    """
    check_consent_options(arguments, is_new=arguments.voice is None)
    recording: Path = arguments.recording
    output: Path = arguments.output or recording.with_name(f"{recording.stem}{ending}.wav")
    if str(output) == "-":
        raise UsageError("the recording has a signed record beside it; name a file with -o")
    infer_audio_format(output)
    read = [recording, arguments.voice, arguments.consent, *inputs]
    for target in (output, sidecar_path(output)):
        check_output(target, arguments.force, read)
    return output


def choose_voice(model: Model, arguments: argparse.Namespace, saved: Voice | None) -> Voice:
    """Return the saved voice that was given, or that of the recording, which is enrolled."""
    if saved is not None:
        return saved
    return enroll_recording(model, str(arguments.recording), arguments)


def save_changed(changed: ChangedRecording, output: Path, force: bool) -> None:
    """Write a changed recording and its record.

    Raises:
        OutputError: A file exists and `force` is False, or cannot be written.
    """
    try:
        changed.save(output, overwrite=force)
    except FileExistsError as error:
        raise OutputError(f"{error} exists already; replace it with --force") from error
