"""`valle speak`: a text in a voice, to a file."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

from valle.cli.arguments import (
    add_adapter,
    add_bundle,
    add_json,
    add_quiet,
    add_threads,
    add_voice,
    nonempty,
    path,
)
from valle.cli.console import note, note_warnings, print_json
from valle.cli.live import read_parts, write_pieces
from valle.cli.output import (
    choose_free_name,
    write_captions,
)
from valle.cli.progress import (
    collect_speech,
    describe_failed_sentences,
    describe_speed,
    show_progress,
)
from valle.cli.speech_options import (
    add_output,
    add_speech_options,
    choose_output,
    given_captions,
    given_output_options,
    given_speech_options,
    imitate_style,
)
from valle.cli.texts import read_text
from valle.cli.voices import check_voice, enroll_recording
from valle.errors import OutputError, UsageError
from valle.options import OutputOptions, flag
from valle.synthesis.model import Model, find_voice, load
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
    add_voice(parser)
    add_output(parser)
    add_speech_options(parser)
    add_bundle(parser)
    add_adapter(parser)
    add_threads(parser)
    add_json(parser)
    add_quiet(parser)


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
    options = given_speech_options(arguments)
    OutputOptions.from_keywords(**given_output_options(arguments))
    _check_voice(arguments)
    inputs = [
        *(arguments.input, arguments.ref_audio, arguments.voice, arguments.consent),
        arguments.style_from,
    ]
    output = choose_output(arguments, inputs)
    is_live = arguments.text == "-" and output == "-"
    if is_live:
        _check_live(arguments)
    text = "" if is_live else arguments.word or read_text(arguments.text, arguments.input)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, arguments.threads, arguments.adapter)
    if voice is None:
        voice = enroll_recording(model, arguments.ref_audio, arguments)
    style = imitate_style(arguments, options.style, model, voice)
    options = options.model_copy(update={"style": style})
    if not arguments.no_cache:
        model.use_cache()
    if is_live:
        _speak_live(arguments, model, voice, options.model_dump(exclude_unset=True))
        return
    stream = model.stream(text, voice, **options.as_keywords())
    speech = collect_speech(stream, output, arguments)
    output = _save(speech, output, arguments)
    captions = write_captions(speech, output, given_captions(arguments), arguments.force)
    _report(arguments, speech, voice, [output, *map(str, captions)])


def _check_live(arguments: argparse.Namespace) -> None:
    """Refuse what needs the whole speech."""
    given = vars(arguments)
    for name in ("rate", "duration", "redo", "ssml"):
        if name in given:
            raise UsageError(
                f"{flag(name)} needs the whole text before any sound; give the text with -i FILE, "
                "or name an output file"
            )


def _speak_live(
    arguments: argparse.Namespace, model: Model, voice: Voice, options: dict[str, Any]
) -> None:
    """Speak standard input while it comes, to standard output."""
    loudness = OutputOptions.from_keywords(**given_output_options(arguments)).loudness
    gain = 1.0 if loudness is None else model.stream_gain(voice, loudness)
    pieces = show_progress(model.stream(read_parts(), voice, **options), arguments.quiet)
    skipped = [part for piece in write_pieces(pieces, gain) for part in piece.skipped]
    for part in skipped:
        note(arguments, f"not spoken: {part.text!r} ({part.why})")


def _save(speech: Speech, output: str, arguments: argparse.Namespace) -> str:
    """Save the speech and return the name of its file."""
    while True:
        try:
            speech.save(output, overwrite=arguments.force, **given_output_options(arguments))
            return output
        except FileExistsError as error:  # another command has written it in the meantime
            if arguments.output is not None:
                raise OutputError(f"{output} exists already; replace it with --force") from error
            output = choose_free_name(captions=given_captions(arguments))


def _check_voice(arguments: argparse.Namespace) -> None:
    given = (arguments.text, arguments.input, arguments.word)
    if sum(value is not None for value in given) != 1:
        raise UsageError("give the text in one way: TEXT, - for standard input, or -i FILE")
    arguments.voice_was_chosen = False
    if arguments.word and arguments.voice is None and arguments.ref_audio is None:
        arguments.voice = _choose_first_voice()
        arguments.voice_was_chosen = True
    if arguments.text not in (None, "-") and _is_file(arguments.text):
        raise UsageError(
            f"{arguments.text} is the name of a file; to speak what is in it: "
            f"valle speak -i {shlex.quote(arguments.text)}; to speak the name itself, send it to "
            "valle speak -"
        )
    check_voice(arguments)


def _choose_first_voice() -> str:
    names = registry.names()
    if not names:
        raise UsageError(
            "no voice is saved yet to speak the word in; save one with valle enroll, or give a "
            "voice file with --voice"
        )
    return names[0]


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name
        return False


def _report(arguments: argparse.Namespace, speech: Speech, voice: Voice, files: list[str]) -> None:
    """Notes come last: where something fails, its one line is all there is on standard error."""
    note_warnings(arguments, voice, arguments.ref_audio)
    if arguments.voice_was_chosen:
        note(arguments, f"spoken in the voice {voice.name!r}; --voice NAME takes another")
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
