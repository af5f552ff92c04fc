"""`valle doctor`: check prepared corpora before training on them."""

from __future__ import annotations

import argparse

from valle.bundle.bundle import Bundle
from valle.cli.arguments import add_heldout, add_json, nonempty, path
from valle.cli.console import print_json
from valle.corpora.doctor import Diagnosis, describe, diagnose, find_problems
from valle.corpora.recordings import read_heldout
from valle.corpora.store import Store
from valle.errors import UsageError


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle doctor CORPUS`."""
    parser.add_argument(
        "data", type=path, nargs="+", metavar="CORPUS", help="corpora that valle prepare wrote"
    )
    add_heldout(parser)
    parser.add_argument(
        "--heldout-data",
        type=path,
        action="append",
        default=[],
        metavar="CORPUS",
        help="prepared recordings that must not be in the corpora, under any name",
    )
    parser.add_argument(
        "--bundle",
        type=nonempty,
        metavar="FOLDER|default",
        help="compare transcripts with what this bundle's recognizer recognizes",
    )
    add_json(parser)


def doctor(arguments: argparse.Namespace) -> None:
    """Print what is in corpora and what is wrong with them.

    Raises:
        UsageError: a corpus is missing, or held-out recordings are among those to train on.
        BundleError: the bundle cannot be read.
    """
    bundle = None
    if arguments.bundle is not None:
        bundle = Bundle.load(None if arguments.bundle == "default" else arguments.bundle)
    diagnosis = diagnose(
        [Store(folder) for folder in arguments.data],
        read_heldout(arguments.heldout),
        [Store(folder) for folder in arguments.heldout_data],
        bundle,
    )
    if arguments.json:
        print_json(describe(diagnosis))
    else:
        _print(diagnosis)
    if diagnosis.leaks:
        raise UsageError(
            f"{len(diagnosis.leaks)} held-out utterances are in the corpora; figures that are "
            "measured on them would say nothing"
        )


def _print(diagnosis: Diagnosis) -> None:
    for folder, report in diagnosis.corpora.items():
        shortest, median, longest = report.seconds
        print(
            f"{folder}: {report.utterances} utterances of {report.speakers} speakers, "
            f"{report.hours:.2f} h; {shortest:.1f} to {longest:.1f} s, half below {median:.1f} s"
        )
        licenses = ", ".join(f"{name} {hours:.2f} h" for name, hours in report.licenses.items())
        print(f"  licenses: {licenses}; without transcript: {report.without_text}")
        if report.labeled is not None:
            print(f"  labeled: {report.labeled:.1%}")
    if diagnosis.error_rate is not None:
        print(f"phoneme error rate against the transcripts: {diagnosis.error_rate:.1%}")
    problems = find_problems(diagnosis)
    print("".join(f"- {problem}\n" for problem in problems) or "no problems were found\n", end="")
