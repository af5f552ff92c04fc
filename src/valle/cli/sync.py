"""`valle sync`: the speech of a film or recording again, in another voice and in time."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from valle.arrays import Samples
from valle.audio.encoding import FORMATS
from valle.cli.arguments import (
    add_common,
    add_fields,
    add_force,
    add_plot,
    add_voice,
    given_fields,
    path,
)
from valle.cli.console import note, print_json
from valle.cli.listening import (
    add_script,
    describe_left_out,
    listen,
    read_recording,
    read_script,
    show_seconds,
)
from valle.cli.output import add_no_cache, check_output, describe_interrupt
from valle.cli.voices import check_voice, enroll_recording
from valle.dubbing.caption_plot import save_word_plot
from valle.dubbing.film_sound import FilmSound
from valle.dubbing.options import SyncOptions
from valle.dubbing.synchronize import SyncResult, synchronize, write_synchronized_film
from valle.errors import OutputError, UsageError
from valle.media.films import read_film
from valle.media.muxing import check_film_name
from valle.media.sound_files import is_film
from valle.options import flag
from valle.synthesis.model import Model, find_voice, load
from valle.trust.provenance import sidecar_path
from valle.voices.voice import Voice

_SHARED = ("track", "lexicon")  # options that listening takes too
_OF_FILMS = ("original", "duck", "background")


def sync_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle sync`."""
    parser.add_argument(
        "recording", type=path, metavar="FILE", help="a film (extra media), or a recording"
    )
    add_script(parser)
    add_voice(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=path,
        required=True,
        metavar="FILE",
        help="film to write (.mp4, .m4v, .mov or .mkv), or the new speech alone (.wav, .flac, "
        ".mp3 or .ogg)",
    )
    add_force(parser)
    add_plot(parser, "the words of both voices")
    add_fields(parser, SyncOptions.model_fields, without=_SHARED)
    add_no_cache(parser, "what was spoken")
    add_common(parser)


def sync(arguments: argparse.Namespace) -> None:
    """Speak what is said in a film or recording again, in another voice and in time.

    Raises:
        UsageError: Options are missing, out of range, or exclude each other.
        RecordingError: The film or the recording cannot be used.
        TextError: The script cannot be read, or is not what is said.
        ConsentError: The recording comes without consent, or the consent does not hold.
        OutputError: A file cannot be written.
    """
    # Everything that can be refused is refused before the model is read.
    options = SyncOptions.from_keywords(**given_fields(arguments, SyncOptions))
    check_voice(arguments)
    to_film = _check_outputs(arguments, options)
    text = read_script(arguments)
    film_sound = None
    if to_film:
        film_sound = FilmSound(read_film(arguments.recording), options, not arguments.no_cache)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    model = load(arguments.bundle, threads=arguments.threads)
    samples = read_recording(arguments, arguments.recording, model.sample_rate)
    if voice is None:
        voice = enroll_recording(model, arguments.ref_audio, arguments)
    if not arguments.no_cache:
        model.use_cache()
    try:
        result = _speak(model, arguments, (samples, text, voice), options)
        if film_sound is not None:
            left_out = write_synchronized_film(
                film_sound, result, arguments.output, arguments.force
            )
            for line in left_out:
                note(arguments, line)
        elif options.loudness is None:
            result.speech.save(arguments.output, overwrite=arguments.force)
        else:
            result.speech.save(
                arguments.output, overwrite=arguments.force, loudness=options.loudness
            )
    except FileExistsError as error:
        raise OutputError(f"{error} exists already; replace it with --force") from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(describe_interrupt(not arguments.no_cache)) from None
    if arguments.plot is not None:
        new_words = [(word.word, word.start, word.end) for word in result.speech.words]
        save_word_plot(arguments.plot, result.transcript, samples, model.sample_rate, new_words)
    _report(arguments, result)


def _speak(
    model: Model,
    arguments: argparse.Namespace,
    spoken: tuple[Samples, str | None, Voice],
    options: SyncOptions,
) -> SyncResult:
    samples, text, voice = spoken
    transcript = listen(model, arguments, samples, text)
    with show_seconds("speaking", transcript.seconds, arguments.quiet) as progress:
        return synchronize(model, transcript, voice, options, lambda piece: progress(piece.seconds))


def _check_outputs(arguments: argparse.Namespace, options: SyncOptions) -> bool:
    """Check all files to be written; returns whether a film is among them."""
    output: Path = arguments.output
    to_film = output.suffix.lower().removeprefix(".") not in FORMATS
    if to_film:
        check_film_name(output)
        if arguments.recording.is_file() and not is_film(arguments.recording):
            raise UsageError(
                f"{arguments.recording} has no picture; write the speech alone, as .wav, .flac, "
                ".mp3 or .ogg"
            )
    elif chosen := [name for name in _OF_FILMS if getattr(arguments, name, None) is not None]:
        raise UsageError(
            f"{flag(chosen[0])} is about the sound of a film, and {output} is the speech alone"
        )
    inputs = [arguments.recording, arguments.script, arguments.ref_audio, arguments.voice]
    inputs += [arguments.consent, options.background]
    for target in (output, sidecar_path(output), arguments.plot):
        if target is not None:
            check_output(target, arguments.force, inputs)
    return to_film


def _report(arguments: argparse.Namespace, result: SyncResult) -> None:
    files = [str(file) for file in (arguments.output, arguments.plot) if file is not None]
    if left_out := describe_left_out(result.transcript):
        note(arguments, left_out)
    if result.speech.check and (missing := result.speech.check.missing):
        note(arguments, f"spoken, but not understood: {', '.join(map(repr, missing[:8]))}")
    if arguments.json:
        print_json(result.describe() | {"files": files})
        return
    late = np.abs(result.errors)
    note(
        arguments,
        f"{', '.join(files)}: {len(late)} words; half of them begin within "
        f"{1000 * np.median(late):.0f} ms of the original's, 9 of 10 within "
        f"{1000 * np.percentile(late, 90):.0f} ms",
    )
