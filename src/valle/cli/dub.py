"""`valle dub`: a film with its subtitles spoken in time."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tqdm import tqdm

from valle.cli.arguments import (
    add_cast,
    add_common,
    add_fields,
    add_force,
    add_plot,
    add_voice,
    given_fields,
    parse_cast,
    path,
)
from valle.cli.console import note, print_json
from valle.cli.output import add_no_cache, check_output, describe_interrupt
from valle.cli.voices import check_voice, enroll_recording
from valle.dubbing.dub import dub_film
from valle.dubbing.options import DubOptions
from valle.dubbing.plot import save_dub_plot
from valle.dubbing.report import describe_result
from valle.dubbing.speakers import assign_speakers
from valle.errors import OutputError
from valle.media.films import read_film
from valle.media.muxing import check_film_name
from valle.media.subtitles import read_subtitles, write_srt
from valle.synthesis.model import find_voice, load
from valle.trust.provenance import sidecar_path


def dub_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle dub`."""
    parser.add_argument("film", type=path, metavar="FILM", help="MP4, MOV, MKV, WebM, AVI or TS")
    parser.add_argument(
        "--subtitles",
        type=path,
        required=True,
        metavar="FILE",
        help="what is spoken, and when: SubRip (.srt), WebVTT (.vtt) or ASS",
    )
    add_voice(parser)
    add_cast(parser, "voice of a speaker whom the subtitles name; repeat it for several")
    parser.add_argument(
        "--speakers",
        type=path,
        metavar="FILE.csv",
        help="table of who speaks which cue, in rows such as 3-7,Ada",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        required=True,
        metavar="FILE",
        help="film to write: .mp4, .m4v, .mov or .mkv",
    )
    add_force(parser)
    parser.add_argument(
        "--srt",
        action="store_true",
        help="write the subtitles with the times of the speech (SubRip) next to the film",
    )
    add_plot(parser, "cues and speech")
    add_fields(parser, DubOptions.model_fields)
    add_no_cache(parser, "what was spoken")
    add_common(parser)


def dub(arguments: argparse.Namespace) -> None:
    """Speak the subtitles of a film in its time, and write the film with that sound.

    Raises:
        UsageError: Options are missing, out of range, or exclude each other.
        RecordingError: The film or the recording cannot be used.
        TextError: The subtitles cannot be read, or nothing in them is spoken.
        ConsentError: The recording comes without consent, or the consent does not hold.
        OutputError: A file cannot be written.
    """
    # Everything that can be refused is refused before the model is read.
    chosen = DubOptions.from_keywords(**given_fields(arguments, DubOptions))
    check_voice(arguments)
    cast = parse_cast(arguments.cast)
    srt = arguments.output.with_suffix(".srt") if arguments.srt else None
    _check_outputs(arguments, chosen, srt)
    read_film(arguments.film)
    subtitles = read_subtitles(arguments.subtitles, list(cast))
    if arguments.speakers is not None:
        subtitles = assign_speakers(subtitles, arguments.speakers)
    voices = {name: find_voice(voice) for name, voice in cast.items()}
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, threads=arguments.threads)
    if voice is None:
        voice = enroll_recording(model, arguments.ref_audio, arguments)
    with _ProgressBar(arguments.quiet) as bar:
        try:
            result = dub_film(
                model,
                arguments.film,
                subtitles,
                voice,
                arguments.output,
                voices,
                overwrite=arguments.force,
                cache=not arguments.no_cache,
                progress=bar.show,
                **chosen.model_dump(),
            )
        except FileExistsError as error:
            raise OutputError(
                f"{arguments.output} exists already; replace it with --force"
            ) from error
        except KeyboardInterrupt:
            raise KeyboardInterrupt(describe_interrupt(not arguments.no_cache)) from None
    if srt is not None:
        write_srt(srt, result.to_cues())
    if arguments.plot is not None:
        save_dub_plot(arguments.plot, result)
    for line in describe_result(result):
        note(arguments, line)
    files = [str(file) for file in (arguments.output, srt, arguments.plot) if file is not None]
    if arguments.json:
        print_json(result.describe() | {"files": files})
    else:
        note(arguments, f"{', '.join(files)}: {result.seconds:.1f} s")


def _check_outputs(arguments: argparse.Namespace, options: DubOptions, srt: Path | None) -> None:
    check_film_name(arguments.output)
    inputs = [arguments.film, arguments.subtitles, arguments.ref_audio, arguments.voice]
    inputs += [arguments.speakers, arguments.consent, options.background]
    targets = [arguments.output, sidecar_path(arguments.output), srt, arguments.plot]
    for target in targets:
        if target is not None:
            check_output(target, arguments.force, inputs)


class _ProgressBar:
    """Shows on a terminal what is done now, and how much of it."""

    def __init__(self, quiet: bool) -> None:
        self._hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
        self._bar: tqdm[Any] | None = None
        self._stage = ""

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` is done."""
        if self._hidden:
            return
        if self._bar is None or stage != self._stage:
            self.__exit__()
            self._stage = stage
            self._bar = tqdm(
                total=total,
                desc=stage,
                file=sys.stderr,
                leave=False,
                bar_format="{desc}: {n_fmt} of {total_fmt} {bar:30} {remaining} left",
            )
        self._bar.update(done - self._bar.n)
