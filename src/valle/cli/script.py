"""`valle script`: a dialogue in several voices, to a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from valle.cli.arguments import add_cast, add_common, nonempty, parse_cast
from valle.cli.console import note, print_json
from valle.cli.output import (
    write_captions,
)
from valle.cli.progress import collect_speech, describe_failed_sentences
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
from valle.errors import OutputError
from valle.options import OutputOptions
from valle.scripts.dialogue import Dialogue, make_dialogue
from valle.scripts.script import Script, find_cast, parse_script
from valle.synthesis.model import load


def script_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle script`."""
    parser.add_argument(
        "script", type=nonempty, metavar="FILE", help="the script; - reads standard input"
    )
    add_cast(
        parser,
        "the voice of a speaker: a saved voice, or a voice file; repeat it for several (default: "
        "the saved voice of the same name)",
    )
    add_output(parser)
    add_speech_options(parser, without=("ssml",))
    add_common(parser)


def script(arguments: argparse.Namespace) -> None:
    """Speak a script and write the audio file.

    Raises:
        UsageError: Options exclude each other, or a speaker has no voice.
        TextError: The script cannot be read, has no turns, or something in it is wrong.
        RecordingError: A voice file cannot be used.
        ConsentError: A voice may not be used.
        OutputError: The file cannot be written.
    """
    options = given_speech_options(arguments)
    OutputOptions.from_keywords(**given_output_options(arguments))
    cast = parse_cast(arguments.cast)
    output = choose_output(arguments, [arguments.script, arguments.style_from, *cast.values()])
    source = None if arguments.script == "-" else Path(arguments.script)
    parsed = parse_script(read_text("-", source))
    voices = find_cast(parsed, cast)
    model = load(arguments.bundle, threads=arguments.threads)
    if not arguments.no_cache:
        model.use_cache()
    first = voices[parsed.speakers[0]]
    style = imitate_style(arguments, options.style, model, first)
    options = options.model_copy(update={"style": style})
    stream = model.stream(parsed.text, first, voices, **options.as_keywords())
    whole = collect_speech(stream, output, arguments)
    dialogue = make_dialogue(whole, parsed, model.codec.codebook_size)
    try:
        dialogue.speech.save(output, overwrite=arguments.force, **given_output_options(arguments))
    except FileExistsError as error:
        raise OutputError(f"{output} exists already; replace it with --force") from error
    captions = write_captions(dialogue, output, given_captions(arguments), arguments.force)
    _report(arguments, parsed, dialogue, [output, *map(str, captions)])


def _report(
    arguments: argparse.Namespace,
    parsed: Script,
    dialogue: Dialogue,
    files: list[str],
) -> None:
    speech, turns = dialogue.speech, dialogue.turns
    for skipped in speech.skipped:
        note(arguments, f"not spoken: {skipped.text!r} ({skipped.why})")
    for line in describe_failed_sentences(speech, replaces=arguments.output is not None):
        note(arguments, line)
    if arguments.json:
        described = [
            {"speaker": turn.speaker, "start": round(turn.start, 3)}
            | {"seconds": round(turn.speech.seconds, 3)}
            for turn in turns
        ]
        print_json({"file": files[0], "turns": described} | speech.describe())
    elif files != ["-"]:
        speakers = ", ".join(parsed.speakers)
        note(
            arguments,
            f"{', '.join(files)}: {speech.seconds:.2f} s, {len(turns)} turns by {speakers}",
        )
