"""`valle evaluate compare`: two systems by the reports of their evaluations."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from valle.cli.arguments import path
from valle.cli.evaluate_common import Outcome, Protocol, add_output
from valle.errors import Error, UsageError
from valle.evaluation.comparison import compare, find_other_settings, read_report, table
from valle.evaluation.report import report


class RegressionError(Error):
    """The second system is significantly worse."""


def _compare_arguments(parser: argparse.ArgumentParser) -> None:
    for name, which in (("first", "the system to compare with"), ("second", "the other system")):
        parser.add_argument(
            name, type=path, metavar=f"{name.upper()}.json", help=f"report of {which}"
        )
    add_output(parser, "compare")


def _compare(arguments: argparse.Namespace) -> Outcome:
    first, second = read_report(arguments.first), read_report(arguments.second)
    differences = compare(first, second)
    if not differences:
        raise UsageError(
            "the reports have too few speakers in common: no difference could be distinguished "
            "from chance"
        )
    notes = find_other_settings(first, second)
    content = {
        "not_measured_alike": notes,
        "differences": [
            asdict(d) | {"significant": d.is_significant, "worse": d.is_worse} for d in differences
        ],
    }
    lines = [table(differences)]
    lines += [f"not measured alike: {', '.join(notes)}"] if notes else []
    names = {"first": str(first.path), "second": str(second.path)}
    worse = [f"{d.row} {d.metric}" for d in differences if d.is_worse]
    failure = RegressionError(f"the second is worse: {', '.join(worse)}") if worse else None
    return Outcome(report("compare", content, **names), "\n".join(lines), failure=failure)


PROTOCOLS = {
    "compare": Protocol(
        "two reports of the same clips: which figures differ by more than chance",
        _compare_arguments,
        _compare,
    )
}
