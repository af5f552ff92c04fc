"""`valle edit`: words of a recording replaced, removed or added in its own voice."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from valle.cli.arguments import (
    Integer,
    add_common,
    add_fields,
    add_plot,
    given_fields,
    nonempty,
    path,
)
from valle.cli.changed_recording import (
    add_voice_and_output,
    check_voice_and_output,
    choose_voice,
    save_changed,
)
from valle.cli.console import note, print_json
from valle.cli.listening import listen, read_recording
from valle.cli.output import check_output
from valle.cli.texts import read_text
from valle.dubbing.caption_recognition import check_whisper
from valle.editing.changes import (
    Change,
    compare_transcripts,
    delete_words,
    insert_words,
    replace_words,
)
from valle.editing.edit import EditedRecording, EditedSpan, edit_recording
from valle.editing.options import EditOptions
from valle.editing.plot import save_edit_plot
from valle.errors import TextError, UsageError
from valle.runtime.transcript import TimedTranscript
from valle.synthesis.model import find_voice, load

_ENDING = "-edited"


def edit_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle edit`."""
    parser.add_argument("recording", type=path, metavar="FILE", help="the recording to edit")
    parser.add_argument(
        "--replace",
        nargs=2,
        type=nonempty,
        metavar=("OLD", "NEW"),
        help="words that are said, and what is said in their place; to remove words, use --delete",
    )
    parser.add_argument("--delete", type=nonempty, metavar="WORDS", help="words to remove")
    parser.add_argument(
        "--insert", type=nonempty, metavar="WORDS", help="words to add; needs --after"
    )
    parser.add_argument(
        "--after", type=nonempty, metavar="WORDS", help="words after which --insert adds others"
    )
    parser.add_argument(
        "--transcript",
        type=path,
        metavar="FILE",
        help="text file with what is to be said; the differences are found",
    )
    parser.add_argument(
        "--occurrence",
        type=Integer(1),
        metavar="N",
        help="which place is meant where words occur several times, from 1",
    )
    parser.add_argument(
        "--text", type=path, metavar="FILE", help="text file with what the recording says (UTF-8)"
    )
    parser.add_argument(
        "--whisper",
        type=path,
        metavar="FOLDER",
        help="instead of --text: a model of faster-whisper that recognizes what is said; needs "
        "the extra eval",
    )
    add_voice_and_output(parser, _ENDING)
    add_plot(parser, "each edit before and after")
    add_fields(parser, EditOptions.model_fields)
    add_common(parser)


def edit(arguments: argparse.Namespace) -> None:
    """Replace, remove or add words of a recording, and write it with its signed record.

    Raises:
        UsageError: Options are missing, out of range, or exclude each other.
        RecordingError: The recording cannot be used.
        TextError: A text cannot be read, or the words do not occur in it, or several times.
        ConsentError: The recording comes without consent, or the consent does not hold.
        OutputError: A file cannot be written.
    """
    # Everything that can be refused is refused before the model is read.
    options = EditOptions.from_keywords(**given_fields(arguments, EditOptions))
    arguments.lexicon = options.lexicon
    _check_task(arguments, options.remove_fillers or options.shorten_pauses is not None)
    output = check_voice_and_output(arguments, _ENDING, [arguments.text, arguments.transcript])
    if arguments.plot is not None:
        read = [arguments.recording, arguments.text, arguments.transcript, output]
        check_output(arguments.plot, arguments.force, read)
    text, new_text = _read_texts(arguments)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    arguments.track = None
    model = load(arguments.bundle, threads=arguments.threads)
    samples = read_recording(arguments, arguments.recording, model.sample_rate)
    voice = choose_voice(model, arguments, voice)
    transcript = listen(model, arguments, samples, text)
    changes = _find_changes(arguments, transcript, new_text)
    with _show_candidates(len(changes) * options.best_of, arguments.quiet) as bar:
        edited = edit_recording(
            model, arguments.recording, transcript, changes, voice, options, lambda: bar.update()
        )
    save_changed(edited, output, arguments.force)
    if arguments.plot is not None:
        save_edit_plot(arguments.plot, edited)
    _report(arguments, edited, output)


def _check_task(arguments: argparse.Namespace, is_tidied: bool) -> None:
    """Check that exactly one edit is asked for, and all of it."""
    tasks = ("replace", "delete", "insert", "transcript")
    asked = [name for name in tasks if getattr(arguments, name) is not None]
    if len(asked) > 1 or not (asked or is_tidied):
        raise UsageError(
            "say what to change in one way: --replace OLD NEW, --delete WORDS, --insert WORDS "
            "--after WORDS, --transcript FILE, or --remove-fillers and --shorten-pauses SECONDS"
        )
    if (arguments.insert is None) != (arguments.after is None):
        raise UsageError("--insert WORDS and --after WORDS go together")
    if arguments.transcript is not None and arguments.occurrence is not None:
        raise UsageError("--occurrence has no meaning with --transcript, which is compared whole")
    if (arguments.text is None) == (arguments.whisper is None):
        raise UsageError(
            "say where the words come from: --text FILE with what the recording says, or "
            "--whisper FOLDER with a model of faster-whisper that recognizes it"
        )


def _read_texts(arguments: argparse.Namespace) -> tuple[str | None, str | None]:
    """Return what the recording says, and what it is to say; None where neither is given."""
    if arguments.whisper is not None:
        check_whisper(arguments.whisper)
    texts: list[str | None] = []
    for file in (arguments.text, arguments.transcript):
        text = None if file is None else read_text(None, file)
        if text is not None and not text.strip():
            raise TextError(f"{file} is empty; write down what is said, word for word")
        texts.append(text)
    return texts[0], texts[1]


def _find_changes(
    arguments: argparse.Namespace, transcript: TimedTranscript, new_text: str | None
) -> list[Change]:
    if new_text is not None:
        return compare_transcripts(transcript, new_text)
    if arguments.insert is None and arguments.delete is None and arguments.replace is None:
        return []
    if arguments.replace is not None:
        old, new = arguments.replace
        return [replace_words(transcript, old, new, arguments.occurrence)]
    if arguments.delete is not None:
        return [delete_words(transcript, arguments.delete, arguments.occurrence)]
    return [insert_words(transcript, arguments.insert, arguments.after, arguments.occurrence)]


@contextmanager
def _show_candidates(total: int, quiet: bool) -> Iterator[tqdm[None]]:
    hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
    with tqdm(total=total, desc="speaking", unit="candidate", leave=False, disable=hidden) as shown:
        yield shown


def _report(arguments: argparse.Namespace, edited: EditedRecording, output: Path) -> None:
    files = [str(file) for file in (output, arguments.plot) if file is not None]
    if arguments.json:
        print_json(edited.describe() | {"files": files})
        return
    for span in edited.spans:
        place = f"{span.now[0]:.2f} s to {span.now[1]:.2f} s"
        note(arguments, f"{place}: {_describe_change(span)}")
    note(arguments, f"{', '.join(files)}: {edited.seconds:.1f} s; the rest is unchanged")


def _describe_change(span: EditedSpan) -> str:
    if span.removed:
        return f"{span.removed!r} -> {span.added!r}"
    if span.added:
        return f"+ {span.added!r}"
    return f"a pause, {span.was[1] - span.was[0] - (span.now[1] - span.now[0]):.2f} s shorter"
