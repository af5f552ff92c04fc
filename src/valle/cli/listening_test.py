"""`valle listening-test`: a listening test as a page, and its results."""

from __future__ import annotations

import argparse

from valle.cli.arguments import add_fields, add_json, add_quiet, given_fields, path
from valle.cli.console import note, print_result
from valle.cli.evaluate_items import add_systems, name_systems
from valle.errors import OutputError
from valle.evaluation.listening.options import ListeningOptions
from valle.evaluation.listening.page import read_material, write_test
from valle.evaluation.listening.results import evaluate_answers, read_answers, read_key, table
from valle.files import check_target, write_atomically


def listening_test_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the actions of `valle listening-test` and their options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    make = actions.add_parser("make", help="write a test (the default)", allow_abbrev=False)
    add_systems(make)
    make.add_argument(
        "--reference",
        type=path,
        metavar="FOLDER",
        help="what clips are compared with: the voices' recordings (smos) or the ground truth "
        "(mushra), named as the clips",
    )
    make.add_argument(
        "-o",
        "--output",
        type=path,
        required=True,
        metavar="FOLDER",
        help="where to write the page; the key that tells the systems goes to FOLDER.key.json",
    )
    add_fields(make, ListeningOptions.model_fields)
    add_quiet(make)
    results = actions.add_parser(
        "results", help="figures with intervals from listeners' answers", allow_abbrev=False
    )
    results.add_argument("answers", type=path, nargs="+", metavar="CSV", help="listeners' files")
    results.add_argument(
        "--key", type=path, required=True, metavar="FILE", help="FOLDER.key.json of the test"
    )
    results.add_argument("-o", "--output", type=path, metavar="FILE.csv", help="write the figures")
    add_json(results)


def listening_test(arguments: argparse.Namespace) -> None:
    """Write a listening test, or evaluate its answers.

    Raises:
        UsageError: an option or a file is wrong.
        RecordingError: a clip cannot be read.
        OutputError: the result cannot be written.
    """
    if arguments.action == "results":
        _evaluate(arguments)
        return
    options = ListeningOptions.from_keywords(**given_fields(arguments, ListeningOptions))
    material = read_material(name_systems(arguments.system), arguments.reference, options)
    key = write_test(arguments.output, material, options)
    note(
        arguments,
        f"{arguments.output / 'index.html'}: {len(material.items)} items; keep {key} to yourself",
    )


def _evaluate(arguments: argparse.Namespace) -> None:
    key = read_key(arguments.key)
    if arguments.output:
        check_target(arguments.output)
        if arguments.output in arguments.answers:
            raise OutputError(f"{arguments.output} is a file of answers; choose another name")
    outcome = evaluate_answers(read_answers(arguments.answers, key), key["kind"])
    if arguments.output:
        with write_atomically(arguments.output) as part:
            part.write_text(outcome.as_csv(), encoding="utf-8")
    print_result(arguments, outcome.describe(), table(outcome))
