"""`valle speak`: a text in a voice, to a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from tqdm import tqdm

from valle.audio.recording import output_format
from valle.cli.common import common_arguments, consent_arguments, enrolled, note, print_json, warn
from valle.consent.agreement import check_given
from valle.errors import OutputError, TextError, UsageError
from valle.files import check_target
from valle.options import SpeakOptions, flag
from valle.synthesis.model import REDO, find_voice, load
from valle.synthesis.speech import Speech


def speak_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `valle speak`."""
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - is standard input")
    parser.add_argument("-i", "--input", metavar="FILE", help="a UTF-8 text file to say instead")
    parser.add_argument("--voice", metavar="NAME|FILE", help="a voice kept, or a voice's file")
    parser.add_argument("--ref-audio", metavar="FILE", help="a recording of the voice instead")
    consent_arguments(parser)
    parser.add_argument(
        "-o",
        "--output",
        default="speech.wav",
        metavar="FILE|-",
        help="wav, flac, mp3 or ogg by its ending; - is WAV on standard output; %(default)s",
    )
    for name, field in SpeakOptions.model_fields.items():
        shown = "" if field.default is None else f" ({field.default})"
        parser.add_argument(
            flag(name),
            default=argparse.SUPPRESS,
            metavar="X",
            help=f"{field.description}{shown}",
        )
    common_arguments(parser)


def speak(arguments: argparse.Namespace) -> None:
    """Say a text in a voice and write the file."""
    # Everything that can be refused is refused before the model is read.
    given = vars(arguments)
    options = {name: given[name] for name in SpeakOptions.model_fields if name in given}
    SpeakOptions.of(**options)
    to_stdout = arguments.output == "-"
    if to_stdout and arguments.json:
        raise UsageError("-o - and --json both want standard output; write the speech to a file")
    if not to_stdout:
        check_target(arguments.output)
        output_format(arguments.output)
    elif sys.stdout is None:
        raise OutputError("standard output is closed; name a file with -o")
    if (arguments.text is None) == (arguments.input is None):
        raise UsageError("say what to speak: one of TEXT, - for standard input, and -i FILE")
    if (arguments.voice is None) == (arguments.ref_audio is None):
        raise UsageError("say whose voice: one of --voice NAME|FILE and --ref-audio FILE")
    if arguments.voice is not None:
        for name in ("ref_text", "attest", "consent", "challenge"):
            if given[name] is not None:
                raise UsageError(f"{flag(name)} goes with --ref-audio; a --voice has its own")
    else:
        check_given(arguments.attest, arguments.consent, arguments.challenge)
    text = _text(arguments)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, threads=arguments.threads)
    if voice is None:
        voice = enrolled(model, arguments.ref_audio, None, arguments)
    pieces = model.stream(text, voice, redo=REDO, **options)
    speech = Speech.join(_with_progress(pieces, arguments.quiet))
    speech.save(arguments.output)
    # Notes come last: where something fails, its one line is all there is on standard error.
    warn(arguments, voice, arguments.ref_audio)
    for skipped in speech.skipped:
        note(arguments, f"not said: {skipped.text!r} ({skipped.why})")
    if speech.check is not None and not speech.check.passed:
        note(arguments, _doubt(speech))
    if arguments.json:
        print_json({"file": arguments.output, "warnings": list(voice.warnings)} | speech.describe())
    elif not to_stdout:
        note(arguments, f"{arguments.output}: {speech.seconds:.2f} s")


def _text(arguments: argparse.Namespace) -> str:
    if arguments.text not in (None, "-"):
        return str(arguments.text)
    source = arguments.input or "standard input"
    try:
        data = Path(source).read_bytes() if arguments.input else sys.stdin.buffer.read()
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"{source} is not UTF-8 text: {error.reason}; save it as UTF-8") from error
    except (OSError, ValueError, AttributeError) as error:
        why = getattr(error, "strerror", None) or "it is closed"
        raise TextError(f"{source} cannot be read ({why})") from error


def _with_progress(pieces: Iterable[Speech], quiet: bool) -> Iterator[Speech]:
    shown = not quiet and sys.stderr is not None and sys.stderr.isatty()
    bar = tqdm(
        disable=not shown, file=sys.stderr, leave=False, unit=" s", bar_format="{n:.1f} s of speech"
    )
    with bar:
        for piece in pieces:
            bar.update(piece.seconds)
            yield piece


def _doubt(speech: Speech) -> str:
    check = speech.check
    assert check is not None
    parts = [f"the listener understood {1 - min(1.0, check.phoneme_error_rate):.0%} of the sounds"]
    if check.missing:
        parts.append("did not hear " + ", ".join(map(repr, check.missing[:5])))
    if check.doubled:
        parts.append("heard twice " + ", ".join(map(repr, check.doubled[:5])))
    return "; ".join(parts) + "; another --seed may do better"
