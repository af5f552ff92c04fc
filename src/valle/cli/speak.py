"""`valle speak`: a text in a voice, to a file."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import cast

from valle.audio.encoding import infer_audio_format
from valle.cli.arguments import (
    add_bundle,
    add_consent,
    add_json,
    add_quiet,
    add_threads,
    nonempty,
    path,
)
from valle.cli.console import note, note_warnings, print_json
from valle.cli.output import (
    CAPTIONS,
    DEFAULT_OUTPUT,
    check_output,
    choose_free_name,
    companions,
    write_captions,
)
from valle.cli.progress import (
    describe_failed_sentences,
    describe_speed,
    save_partial,
    show_progress,
)
from valle.cli.texts import read_text
from valle.cli.voices import enroll_recording
from valle.consent.issuing import check_given
from valle.errors import OutputError, UsageError
from valle.options import OutputKeywords, OutputOptions, SpeakOptions, flag
from valle.synthesis.model import find_voice, load
from valle.synthesis.speech import Speech
from valle.voices import registry
from valle.voices.voice import Voice


def speak_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle speak`."""
    parser.add_argument(
        "text", nargs="?", metavar="TEXT", help="text to speak; - reads standard input"
    )
    parser.add_argument(
        "-i", "--input", type=path, metavar="FILE", help="read the text from a UTF-8 file instead"
    )
    parser.add_argument(
        "--word",
        type=nonempty,
        metavar="WORD",
        help="speak this word alone, to hear it; without --voice in the first saved voice",
    )
    parser.add_argument(
        "--voice", type=nonempty, metavar="NAME|FILE", help="a saved voice, or a voice file"
    )
    parser.add_argument(
        "--ref-audio",
        type=nonempty,
        metavar="FILE",
        help="a recording of the voice to clone, instead of --voice; needs --consent or --attest",
    )
    add_consent(parser)
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
    for name, field in (SpeakOptions.model_fields | OutputOptions.model_fields).items():
        if field.default is False:
            parser.add_argument(
                flag(name), action="store_true", default=argparse.SUPPRESS, help=field.description
            )
            continue
        default = "" if field.default in (None, ()) else f" (default: {_spell(field.default)})"
        parser.add_argument(
            flag(name),
            action="append" if field.default == () else "store",
            default=argparse.SUPPRESS,
            metavar="X",
            help=f"{field.description}{default}",
        )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="do not keep the codes of the sentences, from which a later run goes on",
    )
    add_bundle(parser)
    add_threads(parser)
    add_json(parser)
    add_quiet(parser)


def _spell(default: object) -> str:
    """Return a default as it would be typed."""
    if isinstance(default, dict):
        return ",".join(f"{kind}={value}" for kind, value in default.items())
    return str(default)


def speak(arguments: argparse.Namespace) -> None:
    """Speak a text in a voice and write the audio file.

    Raises:
        UsageError: options are missing, out of range, or exclude each other.
        RecordingError: the recording cannot be used.
        TextError: the text cannot be read, or nothing in it can be spoken.
        ConsentError: the recording comes without consent, or the consent does not hold.
        OutputError: the file cannot be written.
    """
    # Everything that can be refused is refused before the model is read.
    given = vars(arguments)
    options = {name: given[name] for name in SpeakOptions.model_fields if name in given}
    speak_options = SpeakOptions.from_keywords(**options)
    OutputOptions.from_keywords(**_output_options(arguments))
    _check_voice(arguments)
    output = _choose_output(arguments)
    text = arguments.word or read_text(arguments.text, arguments.input)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, threads=arguments.threads)
    if voice is None:
        voice = enroll_recording(model, arguments.ref_audio, arguments)
    if not arguments.no_cache:
        model.use_cache()
    pieces: list[Speech] = []
    try:
        for piece in show_progress(
            model.stream(text, voice, **speak_options.as_keywords()), arguments.quiet
        ):
            pieces.append(piece)
    except KeyboardInterrupt:
        if output == "-" or not pieces:
            raise
        message = save_partial(
            Speech.join(pieces), output, not arguments.no_cache, **_output_options(arguments)
        )
        raise KeyboardInterrupt(message) from None
    speech = Speech.join(pieces)
    output = _save(speech, output, arguments)
    captions = write_captions(speech, output, _captions(arguments), arguments.force)
    _report(arguments, speech, voice, [output, *map(str, captions)])


def _output_options(arguments: argparse.Namespace) -> OutputKeywords:
    given = vars(arguments)
    output = {name: given[name] for name in OutputOptions.model_fields if name in given}
    return cast("OutputKeywords", output)


def _captions(arguments: argparse.Namespace) -> list[str]:
    """Return the kinds of `CAPTIONS` that were asked for."""
    return [kind for kind in CAPTIONS if getattr(arguments, kind)]


def _choose_output(arguments: argparse.Namespace) -> str:
    """Return the file to write or "-", after checking that nothing would be lost."""
    output: str | None = arguments.output
    captions = _captions(arguments)
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
    inputs = [arguments.input, arguments.ref_audio, arguments.voice, arguments.consent]
    for target in [Path(output), *companions(output, captions).values()]:
        check_output(target, arguments.force, inputs)
    infer_audio_format(output)
    return output


def _save(speech: Speech, output: str, arguments: argparse.Namespace) -> str:
    """Save the speech and return the name of its file."""
    while True:
        try:
            speech.save(output, overwrite=arguments.force, **_output_options(arguments))
            return output
        except FileExistsError as error:  # another command has written it in the meantime
            if arguments.output is not None:
                raise OutputError(f"{output} exists already; replace it with --force") from error
            output = choose_free_name(captions=_captions(arguments))


def _check_voice(arguments: argparse.Namespace) -> None:
    given = (arguments.text, arguments.input, arguments.word)
    if sum(value is not None for value in given) != 1:
        raise UsageError("give the text in one way: TEXT, - for standard input, or -i FILE")
    if arguments.word and arguments.voice is None and arguments.ref_audio is None:
        arguments.voice = next(iter(registry.names()), None)
    if arguments.text not in (None, "-") and _is_file(arguments.text):
        raise UsageError(
            f"{arguments.text} is the name of a file; to speak what is in it: "
            f"valle speak -i {shlex.quote(arguments.text)}; to speak the name itself, send it to "
            "valle speak -"
        )
    if (arguments.voice is None) == (arguments.ref_audio is None):
        raise UsageError("give the voice in one way: --voice NAME|FILE or --ref-audio FILE")
    if arguments.voice is None:
        check_given(arguments.attest, arguments.consent, arguments.challenge, arguments.speaker)
        return
    for name in ("ref_text", "attest", "consent", "challenge", "speaker"):
        if getattr(arguments, name) is not None:
            raise UsageError(f"{flag(name)} goes with --ref-audio; a saved voice has its own")


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name
        return False


def _report(arguments: argparse.Namespace, speech: Speech, voice: Voice, files: list[str]) -> None:
    """Notes come last: where something fails, its one line is all there is on standard error."""
    note_warnings(arguments, voice, arguments.ref_audio)
    for skipped in speech.skipped:
        note(arguments, f"not spoken: {skipped.text!r} ({skipped.why})")
    if slower := describe_speed(speech):
        note(arguments, slower)
    for line in describe_failed_sentences(speech, replaces=arguments.output is not None):
        note(arguments, line)
    if arguments.json:
        print_json({"file": files[0], "warnings": list(voice.warnings)} | speech.describe())
    elif files != ["-"]:
        note(arguments, f"{', '.join(files)}: {speech.seconds:.2f} s")
