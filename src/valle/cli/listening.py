"""A recording and what is said in it, as several commands take them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from valle.arrays import Samples
from valle.audio.recording import resample
from valle.cli.arguments import nonempty, path
from valle.cli.texts import read_text
from valle.dubbing.caption_recognition import RATE, check_whisper, recognize_text
from valle.errors import RecordingError, TextError, UsageError
from valle.media.sound_files import read_sound_file
from valle.options import SpeakOptions
from valle.runtime.transcript import TimedTranscript
from valle.synthesis.model import Model


def add_script(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what is said in a recording, and in which of its tracks."""
    parser.add_argument(
        "--script", type=path, metavar="FILE", help="text file with what is said (UTF-8)"
    )
    parser.add_argument(
        "--whisper",
        type=path,
        metavar="FOLDER",
        help="instead of --script: a model of faster-whisper that recognizes what is said; needs "
        "the extra eval",
    )
    parser.add_argument(
        "--track",
        type=nonempty,
        metavar="X",
        help="track of a film: its language (such as eng) or its number from 1 (default: the "
        "film's default)",
    )
    parser.add_argument(
        "--lexicon",
        type=nonempty,
        metavar="X",
        help=SpeakOptions.model_fields["lexicon"].description,
    )


def read_script(arguments: argparse.Namespace) -> str | None:
    """Return the text of `--script`, or None where `--whisper` is to recognize it.

    Raises:
        UsageError: Both are given, or none, or the folder is not a model.
        TextError: The file cannot be read, or is empty.
    """
    if (arguments.script is None) == (arguments.whisper is None):
        raise UsageError(
            "say where the words come from: --script FILE with what is said, or --whisper FOLDER "
            "with a model of faster-whisper that recognizes it"
        )
    if arguments.whisper is not None:
        check_whisper(arguments.whisper)
        return None
    text = read_text(None, arguments.script)
    if not text.strip():
        raise TextError(f"{arguments.script} is empty; write down what is said, word for word")
    return text


def read_recording(arguments: argparse.Namespace, file: Path, rate: int) -> Samples:
    """Return the sound [N] of a recording or a film.

    Raises:
        RecordingError: It cannot be read, or is silent.
    """
    samples = read_sound_file(file, rate, arguments.track)
    if not samples.any():
        raise RecordingError(f"{file} is silent; give one in which somebody speaks")
    return samples


def listen(
    model: Model, arguments: argparse.Namespace, samples: Samples, text: str | None
) -> TimedTranscript:
    """Find when each word is said; without a text, recognize it first.

    Raises:
        UsageError: The model of `--whisper` cannot be used.
        TextError: The text has no words, or nothing was recognized.
    """
    seconds = len(samples) / model.sample_rate
    if text is None:
        heard = resample(samples, model.sample_rate, RATE)
        with show_seconds("recognizing", seconds, arguments.quiet) as progress:
            text = recognize_text(arguments.whisper, heard, arguments.threads, progress)
    with show_seconds("listening", seconds, arguments.quiet) as progress:
        return model.align(samples, text, arguments.lexicon, progress)


@contextmanager
def show_seconds(stage: str, total: float, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show on a terminal how many seconds of a recording are done."""
    hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
    bar = "{desc}: {n:.0f} of {total:.0f} s {bar:30} {remaining} left"
    with tqdm(
        total=total, desc=stage, file=sys.stderr, leave=False, bar_format=bar, disable=hidden
    ) as shown:
        yield shown.update


def describe_left_out(transcript: TimedTranscript) -> str | None:
    """Return a note on the words that are not said, or None."""
    words = [word.text for word in transcript.words if word.start is None]
    if not words:
        return None
    shown = ", ".join(map(repr, words[:_MAX_WORDS])) + (", ..." if len(words) > _MAX_WORDS else "")
    return f"{len(words)} of {len(transcript.words)} words of the text were not heard: {shown}"


_MAX_WORDS = 8
