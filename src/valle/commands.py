"""The commands that need no extra packages: speak, enroll, voices."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from valle import registry
from valle.audio import output_format
from valle.errors import OutputError, TextError, UsageError
from valle.files import check_target
from valle.options import SpeakOptions, flag
from valle.safety.agreement import check_given
from valle.speech import Speech
from valle.synthesis import REDO, Model, find_voice, load
from valle.voice import Voice


def speak_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `valle speak`."""
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what to say; - is standard input")
    parser.add_argument("-i", "--input", metavar="FILE", help="a UTF-8 text file to say instead")
    parser.add_argument("--voice", metavar="NAME|FILE", help="a voice kept, or a voice's file")
    parser.add_argument("--ref-audio", metavar="FILE", help="a recording of the voice instead")
    _consent_arguments(parser)
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
    _common_arguments(parser)


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
        voice = _enrolled(model, arguments.ref_audio, None, arguments)
    pieces = model.stream(text, voice, redo=REDO, **options)
    speech = Speech.join(_with_progress(pieces, arguments.quiet))
    speech.save(arguments.output)
    # Notes come last: where something fails, its one line is all there is on standard error.
    _warn(arguments, voice, arguments.ref_audio)
    for skipped in speech.skipped:
        _note(arguments, f"not said: {skipped.text!r} ({skipped.why})")
    if speech.check is not None and not speech.check.passed:
        _note(arguments, _doubt(speech))
    if arguments.json:
        _print_json(
            {"file": arguments.output, "warnings": list(voice.warnings)} | speech.describe()
        )
    elif not to_stdout:
        _note(arguments, f"{arguments.output}: {speech.seconds:.2f} s")


def enroll_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `valle enroll`."""
    parser.add_argument("recording", metavar="FILE", help="1.5 s or more of one person speaking")
    parser.add_argument("--name", required=True, help="the name to keep the voice under")
    _consent_arguments(parser)
    _common_arguments(parser)


def enroll(arguments: argparse.Namespace) -> None:
    """Keep a voice from a recording under a name."""
    check_given(arguments.attest, arguments.consent, arguments.challenge)
    registry.check_free(arguments.name)
    model = load(arguments.bundle, threads=arguments.threads)
    voice = _enrolled(model, arguments.recording, arguments.name, arguments)
    registry.add(voice)
    _warn(arguments, voice, arguments.recording)
    if arguments.json:
        _print_json(_described(voice))
    else:
        _note(arguments, f"kept as {arguments.name!r}; say something with --voice")


def voices_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions of `valle voices`."""
    parser.set_defaults(action="list")
    actions = parser.add_subparsers(metavar="ACTION", parser_class=type(parser))
    for action, names, help in (
        ("list", (), "name every voice (the default)"),
        ("show", ("name",), "tell what is known of one"),
        ("rename", ("name", "new_name"), "give one another name"),
        ("remove", ("name",), "delete one"),
    ):
        sub = actions.add_parser(action, help=help, description=help, allow_abbrev=False)
        sub.set_defaults(action=action)
        for name in names:
            sub.add_argument(name, metavar=name.upper().replace("_NAME", "-NAME"))
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="print JSON")


def voices(arguments: argparse.Namespace) -> None:
    """List, show, rename or remove the voices kept."""
    if arguments.action == "list":
        names = registry.names()
        if arguments.json:
            _print_json(names)
        else:
            print("".join(f"{name}\n" for name in names), end="")
        return
    if arguments.action == "rename":
        registry.rename(arguments.name, arguments.new_name)
        found = {"renamed": arguments.name, "name": arguments.new_name}
    elif arguments.action == "remove":
        registry.remove(arguments.name)
        found = {"removed": arguments.name}
    else:
        found = _described(registry.load(arguments.name))
    if arguments.json:
        _print_json(found)
    elif arguments.action == "show":
        for key, value in found.items():
            print(f"{key}: {value}")


def _consent_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ref-text", metavar="TEXT", help="what the recording says")
    consent = parser.add_mutually_exclusive_group()
    consent.add_argument("--attest", metavar="WORDS", help='"I hold the rights to this voice"')
    consent.add_argument("--consent", metavar="FILE", help="the owner reading a statement")
    parser.add_argument("--challenge", metavar="ID", help="which statement; the newest open one")


def _common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", metavar="FOLDER|hf://OWNER/NAME", help="the model to use")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads to use")
    parser.add_argument("--json", action="store_true", help="print what was made as JSON")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


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


def _enrolled(
    model: Model, recording: str, name: str | None, arguments: argparse.Namespace
) -> Voice:
    return model.enroll(
        recording,
        name=name,
        ref_text=arguments.ref_text,
        consent=arguments.consent,
        attest=arguments.attest,
        challenge=arguments.challenge,
    )


def _warn(arguments: argparse.Namespace, voice: Voice, recording: str | None) -> None:
    """What may harm the likeness, said once: when the recording is given."""
    if recording is not None:
        for warning in voice.warnings:
            _note(arguments, f"{recording}: {warning}")


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


def _described(voice: Voice) -> dict[str, Any]:
    return {
        "name": voice.name,
        "seconds": round(len(voice.audio) / voice.sample_rate, 3),
        "sample_rate": voice.sample_rate,
        "symbols": "".join(voice.symbols),
        "consent": voice.consent,
        "warnings": list(voice.warnings),
    }


def _note(arguments: argparse.Namespace, message: str) -> None:
    if not arguments.quiet and sys.stderr is not None:
        print(message, file=sys.stderr)


def _print_json(value: Any) -> None:
    print(json.dumps(value, ensure_ascii=False))
