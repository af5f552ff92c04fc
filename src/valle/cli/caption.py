"""`valle caption`: subtitles of a recording or a film."""

from __future__ import annotations

import argparse
from pathlib import Path

from valle.cli.arguments import add_common, add_force, add_plot, path
from valle.cli.console import note, print_json
from valle.cli.listening import (
    add_script,
    describe_left_out,
    listen,
    read_recording,
    read_script,
)
from valle.cli.output import check_output
from valle.dubbing.caption import (
    DOUBTFUL_SCORE,
    check_caption_name,
    make_captions,
    write_captions_file,
)
from valle.dubbing.caption_plot import save_word_plot
from valle.errors import OutputError, UsageError
from valle.synthesis.model import load


def caption_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle caption`."""
    parser.add_argument(
        "recording", type=path, metavar="FILE", help="a recording, or a film (extra media)"
    )
    add_script(parser)
    parser.add_argument(
        "-o",
        "--output",
        action="append",
        type=path,
        metavar="FILE",
        help="captions to write: .srt, .vtt, .ass (karaoke: words light up) or .json (words and "
        "their times); repeat it for several (default: .srt next to the recording)",
    )
    add_force(parser)
    add_plot(parser, "sound and words")
    add_common(parser)


def caption(arguments: argparse.Namespace) -> None:
    """Write subtitles of a recording or a film.

    Raises:
        UsageError: Options are missing or exclude each other, or a package is missing.
        RecordingError: The recording cannot be used.
        TextError: The script cannot be read, or is not what is said.
        OutputError: A file cannot be written.
    """
    # Everything that can be refused is refused before the model is read.
    outputs: list[Path] = arguments.output or [arguments.recording.with_suffix(".srt")]
    for target in outputs:
        check_caption_name(target)
    if len(set(outputs)) < len(outputs):
        raise UsageError("-o names the same file twice")
    plots = [] if arguments.plot is None else [arguments.plot]
    for target in [*outputs, *plots]:
        check_output(target, arguments.force, [arguments.recording, arguments.script])
    text = read_script(arguments)
    model = load(arguments.bundle, threads=arguments.threads)
    samples = read_recording(arguments, arguments.recording, model.sample_rate)
    transcript = listen(model, arguments, samples, text)
    captions = make_captions(transcript)
    for target in outputs:
        try:
            write_captions_file(captions, target, arguments.force)
        except FileExistsError:
            raise OutputError(f"{target} exists already; replace it with --force") from None
    for target in plots:
        save_word_plot(target, transcript, samples, model.sample_rate)
    if captions.score < DOUBTFUL_SCORE:
        note(arguments, "few of these words were heard clearly; is this the text that is said?")
    if left_out := describe_left_out(transcript):
        note(arguments, left_out)
    files = [str(file) for file in [*outputs, *plots]]
    if arguments.json:
        print_json(
            {
                "files": files,
                "seconds": round(transcript.seconds, 3),
                "score": round(captions.score, 3),
                "words": [word.describe() for word in transcript.words],
            }
        )
        return
    note(arguments, f"{', '.join(files)}: {len(captions.words)} words in {len(captions.cues)} cues")
