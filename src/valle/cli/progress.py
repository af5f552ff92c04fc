"""What `valle speak` shows while it speaks, keeps when it is interrupted, and says afterwards."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from valle.cli.output import choose_free_name
from valle.cli.speech_options import given_output_options
from valle.options import OutputKeywords
from valle.synthesis.speech import Speech, SpokenSentence

if TYPE_CHECKING:
    from typing_extensions import Unpack

_MAX_SENTENCES = 10  # named in the notes on what the check did not recognize
_MAX_WORDS = 5  # of each
_MAX_TEXT = 60  # characters of each
_SPEED_TOLERANCE = 0.03


def show_progress(pieces: Iterable[Speech], quiet: bool) -> Iterator[Speech]:
    """Yield the pieces of a stream, and show on a terminal how far it is."""
    visible = not quiet and sys.stderr is not None and sys.stderr.isatty()
    bar = tqdm(disable=not visible, file=sys.stderr, leave=False, bar_format="{desc}")
    started, seconds = time.monotonic(), 0.0
    with bar:
        for piece in pieces:
            seconds += piece.seconds
            for sentence in piece.sentences:
                elapsed = time.monotonic() - started
                bar.set_description_str(describe_progress(sentence, elapsed, seconds))
            yield piece


def describe_progress(sentence: SpokenSentence, elapsed: float, seconds: float) -> str:
    """Return how far a text is, in one line.

    Args:
        sentence: The one that ended last.
        elapsed: Seconds since the first one began.
        seconds: Seconds of speech so far.
    """
    done, count = sentence.number, sentence.count
    if count is None:
        return f"sentence {done}, {seconds:.1f} s of speech"
    left = tqdm.format_interval(elapsed / done * (count - done))
    return f"sentence {done} of {count}, {seconds:.1f} s of speech, {left} left"


def collect_speech(pieces: Iterable[Speech], output: str, arguments: argparse.Namespace) -> Speech:
    """Join the pieces of a stream, and show how far it is.

    Args:
        pieces: Of the stream.
        output: The file that the speech will have; "-" is standard output.
        arguments: Of a command with the options of `add_speech_options`.

    Raises:
        KeyboardInterrupt: With a message that says where what was spoken so far is saved, if
            anything was.
    """
    collected: list[Speech] = []
    try:
        for piece in show_progress(pieces, arguments.quiet):
            collected.append(piece)
    except KeyboardInterrupt:
        if output == "-" or not collected:
            raise
        message = save_partial(
            Speech.join(collected),
            output,
            not arguments.no_cache,
            **given_output_options(arguments),
        )
        raise KeyboardInterrupt(message) from None
    return Speech.join(collected)


def save_partial(
    speech: Speech, output: str, resumable: bool, **options: Unpack[OutputKeywords]
) -> str:
    """Save what was spoken before an interrupt; returns what to tell the user.

    Args:
        speech: The pieces so far.
        output: The file that the whole speech would have had: `speech.wav` becomes
            `speech.partial.wav`, or the first free number of it.
        resumable: Whether the codes of its sentences were kept.
        options: Of the file, as for `Speech.save`.
    """
    path = Path(output)
    partial = choose_free_name(str(path.with_stem(f"{path.stem}.partial")))
    speech.save(partial, overwrite=False, **options)
    where = ""
    if speech.sentences:
        last = speech.sentences[-1]
        where = f" after sentence {last.number}" + (f" of {last.count}" if last.count else "")
    then = (
        "the same command again goes on from there"
        if resumable
        else "the same command again starts over, because of --no-cache"
    )
    return f"interrupted{where}; what was spoken is in {partial}; {then}"


def describe_failed_sentences(speech: Speech, replaces: bool) -> list[str]:
    """Return notes on the sentences that were not understood, and how to speak them again.

    Args:
        speech: The whole speech.
        replaces: Whether the same command would write to the same file again.
    """
    failed = [sentence for sentence in speech.sentences if not sentence.check.passed]
    lines = [_describe_sentence(sentence) for sentence in failed[:_MAX_SENTENCES]]
    if len(failed) > _MAX_SENTENCES:
        lines.append(f"and {len(failed) - _MAX_SENTENCES} more; --json lists all of them")
    if failed:
        numbers = [sentence.number for sentence in failed[:_MAX_SENTENCES]]
        redo = sorted([*speech.options["redo"], *numbers])
        flags = " ".join(f"--redo {number}" for number in redo) + " --force" * replaces
        lines.append(f"to speak them again and nothing else, add {flags} to the command")
    return lines


def describe_speed(speech: Speech) -> str | None:
    """Return a note where the speech is not as fast as it was asked to be, or None."""
    seconds = sum(sentence.end - sentence.start for sentence in speech.sentences)
    natural = sum((s.end - s.start) * s.speed for s in speech.sentences)
    wanted = speech.options["speed"]
    if speech.options["duration"] is not None or not seconds:
        return None
    if abs(natural / seconds / wanted - 1) <= _SPEED_TOLERANCE:
        return None
    return (
        f"it is {natural / seconds:.2f} times as fast as usual, not {wanted:g} times: no phoneme "
        "can be shorter than a frame of the codec"
    )


def _describe_sentence(sentence: SpokenSentence) -> str:
    text = " ".join(sentence.text.split())
    if len(text) > _MAX_TEXT:
        text = text[: _MAX_TEXT - 1].rstrip() + "…"
    parts = []
    for kind, words in (("missing", sentence.check.missing), ("repeated", sentence.check.repeated)):
        if words:
            more = " and others" if len(words) > _MAX_WORDS else ""
            parts.append(f"{kind}: {', '.join(map(repr, words[:_MAX_WORDS]))}{more}")
    minutes, seconds = divmod(sentence.start, 60)
    when = f"{minutes:.0f}:{seconds:04.1f}"
    return f"sentence {sentence.number} at {when} was not understood ({'; '.join(parts)}): {text}"
