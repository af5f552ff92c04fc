"""`valle book`: audiobooks from EPUB, HTML, Markdown and plain text, and their repair."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from valle.audio.encoding import save_audio
from valle.books.audiobook import Audiobook, make_audiobook, open_audiobook
from valle.books.options import BookOptions
from valle.books.outputs import Outputs, WrittenBook, read_outputs
from valle.books.preparation import change_options, read_and_plan
from valle.books.project import find_project, load_project, make_folder
from valle.books.report import SentenceReport, sort_worst_first
from valle.books.timeline import CAPTIONS
from valle.cli.arguments import given_fields
from valle.cli.book_arguments import add_book_actions
from valle.cli.book_report import (
    BookProgress,
    describe_book,
    describe_files,
    describe_plan,
    describe_sentence,
    describe_written,
    list_omissions,
)
from valle.cli.console import note, print_json, print_result
from valle.cli.output import check_output
from valle.cli.voices import check_consent_options, enroll_recording
from valle.errors import UsageError
from valle.synthesis.model import find_voice, load

_LISTEN = "redone"  # folder of the project with what was spoken again, to listen to


def book_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle book` and their options."""
    add_book_actions(parser)


def book(arguments: argparse.Namespace) -> None:
    """Run an action of `valle book`.

    Raises:
        Error: What the action raises.
    """
    actions = {"make": _make, "status": _status, "fix": _fix, "redo": _redo, "export": _export}
    actions[arguments.action](arguments)


def _make(arguments: argparse.Namespace) -> None:
    """Speak a book and write it."""
    given = given_fields(arguments, BookOptions)
    options = BookOptions.from_keywords(**given)
    if arguments.dry_run:
        read, plan = read_and_plan(arguments.input, options)
        print_result(arguments, describe_plan(read, plan), "\n".join(list_omissions(read, plan)))
        return
    outputs = _read_outputs(arguments)
    if not outputs.files:
        raise UsageError("name the file to write with -o, such as -o book.m4b")
    outputs.check()
    _check_voice(arguments)
    voice = None if arguments.voice is None else find_voice(arguments.voice)
    for target in outputs.list_all(1):
        check_output(target, arguments.force, [arguments.input])
    model = load(arguments.bundle, threads=arguments.threads)
    with make_audiobook(
        model,
        arguments.input,
        voice,
        outputs,
        arguments.project,
        overwrite=arguments.force,
        **given,
    ) as book:
        book.project.bundle = arguments.bundle or ""
        if arguments.ref_audio is not None:
            book.set_narrator(enroll_recording(model, arguments.ref_audio, arguments))
        book.project.save()
        _speak_and_write(arguments, book)


def _status(arguments: argparse.Namespace) -> None:
    """Say how far a book is, and which sentences are worst."""
    project = load_project(find_project(arguments.project))
    source = arguments.bundle or project.bundle or None
    reports = Audiobook(load(source, threads=arguments.threads), project).report()
    if arguments.numbers:
        chosen = [reports[project.find(number).number - 1] for number in arguments.numbers]
    elif arguments.all:
        chosen = reports
    else:
        chosen = sort_worst_first(reports)[: arguments.worst]
    summary = describe_book(project, reports)
    if arguments.json:
        print_json(summary | {"sentences": [report.describe() for report in chosen]})
        return
    print("\n".join(summary["lines"]))
    if arguments.omitted:
        for omission in project.plan.omissions:
            print(f"  {omission.where or '-'}: {omission.text[:60]!r} ({omission.why})")
    if chosen and not (arguments.numbers or arguments.all):
        print("worst first:")
    for report in chosen:
        print(f"  {describe_sentence(report)}")


def _fix(arguments: argparse.Namespace) -> None:
    """Change sentences and speak them again."""
    names = ("text", "voice", "style", "pause_after")
    changes = {n: getattr(arguments, n) for n in names if getattr(arguments, n) is not None}
    if arguments.speed is not None:
        changes["rate"] = arguments.speed
    if not changes and not arguments.restore:
        raise UsageError("say what to change: --text, --voice, --speed, --style or --pause-after")
    if changes and arguments.restore:
        raise UsageError("--restore takes all changes back, so it goes with no other")
    if arguments.restore:
        _repair(arguments, Audiobook.restore)
    else:
        _repair(arguments, lambda book, number: book.fix(number, **changes))


def _redo(arguments: argparse.Namespace) -> None:
    """Speak sentences again, each in another way."""
    _repair(arguments, Audiobook.redo)


def _export(arguments: argparse.Namespace) -> None:
    """Write a book again, perhaps in another format or at another level."""
    changes = given_fields(arguments, BookOptions)
    named = _read_outputs(arguments)
    with _open(arguments) as book:
        change_options(book.project, changes)
        if arguments.sentence is not None:
            _export_sentence(arguments, book, named.files)
            return
        usual = read_outputs(book.project)
        outputs = Outputs(
            named.files or usual.files,
            named.captions or ([] if named.split else usual.captions),
            named.split or (not named.files and usual.split),
        )
        outputs.check()
        if named.files:
            for target in outputs.list_all(len(book.project.spoken_chapters)):
                check_output(target, arguments.force)
        written = _write(arguments, book, outputs, arguments.force or not named.files)
        book.project.save()
        if arguments.json:
            print_json(describe_files(written))


def _export_sentence(arguments: argparse.Namespace, book: Audiobook, named: list[Path]) -> None:
    if len(named) != 1:
        raise UsageError("--sentence needs one file to write, such as -o sentence.wav")
    check_output(named[0], arguments.force)
    _save_sentence(book, arguments.sentence, named[0])
    note(arguments, f"{named[0]}: sentence {arguments.sentence}")


def _repair(
    arguments: argparse.Namespace, repair: Callable[[Audiobook, int], SentenceReport]
) -> None:
    """Change sentences, speak them again, and write the book again."""
    with _open(arguments) as book:
        reports = []
        for number in dict.fromkeys(arguments.numbers):
            report = repair(book, number)
            reports.append(report)
            listen = book.project.folder / _LISTEN / f"{number}.wav"
            make_folder(listen.parent)
            _save_sentence(book, number, listen)
            note(arguments, f"{describe_sentence(report)}; listen to {listen}")
        if arguments.no_export:
            note(arguments, "to write the book: valle book export")
        elif book.is_complete:
            _write(arguments, book, read_outputs(book.project), True)
        else:
            note(arguments, "the book is not complete yet; the command that began it goes on")
        if arguments.json:
            print_json([report.describe() for report in reports])


@contextmanager
def _open(arguments: argparse.Namespace) -> Iterator[Audiobook]:
    folder = find_project(arguments.project)
    source = arguments.bundle or load_project(folder).bundle or None
    with open_audiobook(load(source, threads=arguments.threads), folder) as book:
        yield book


def _read_outputs(arguments: argparse.Namespace) -> Outputs:
    captions = [kind for kind in CAPTIONS if getattr(arguments, kind)]
    return Outputs([Path(output) for output in arguments.output], captions, arguments.split)


def _speak_and_write(arguments: argparse.Namespace, book: Audiobook) -> None:
    progress = BookProgress(book.speaker, arguments.quiet)
    try:
        for report in book.speak():
            progress.add(report)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(progress.describe_interrupt()) from None
    finally:
        progress.close()
    written = _write(arguments, book, read_outputs(book.project), arguments.force)
    summary = describe_book(book.project, book.report())
    for line in summary["lines"]:
        note(arguments, line)
    if arguments.json:
        print_json(summary | describe_files(written))


def _write(
    arguments: argparse.Namespace, book: Audiobook, outputs: Outputs, overwrite: bool
) -> WrittenBook:
    progress = BookProgress(book.speaker, arguments.quiet)
    try:
        written = book.write(outputs, overwrite, progress.report_section)
    finally:
        progress.close()
    for line in describe_written(written):
        note(arguments, line)
    return written


def _save_sentence(book: Audiobook, number: int, path: Path) -> None:
    samples, rate = book.render_sentence(number)
    save_audio(path, samples, rate, "synthetic speech made by valle")


def _check_voice(arguments: argparse.Namespace) -> None:
    if arguments.voice is not None and arguments.ref_audio is not None:
        raise UsageError("give the voice in one way: --voice NAME|FILE or --ref-audio FILE")
    check_consent_options(arguments, is_new=arguments.ref_audio is not None)
