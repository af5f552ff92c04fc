"""`valle evaluate PROTOCOL`: measure a bundle, print a table, write all results as JSON."""

from __future__ import annotations

import argparse
import time

from valle.cli import (
    evaluate_compare,
    evaluate_components,
    evaluate_dubbing,
    evaluate_editing,
    evaluate_emotions,
    evaluate_lists,
    evaluate_long,
    evaluate_safety,
    evaluate_speech,
)
from valle.cli.evaluate_common import Protocol, check_output
from valle.evaluation.repeatable import repeatable_data_folder
from valle.evaluation.report import write_json
from valle.files import check_target

PROTOCOLS: dict[str, Protocol] = (
    evaluate_speech.PROTOCOLS
    | evaluate_lists.PROTOCOLS
    | evaluate_long.PROTOCOLS
    | evaluate_components.PROTOCOLS
    | evaluate_dubbing.PROTOCOLS
    | evaluate_editing.PROTOCOLS
    | evaluate_emotions.PROTOCOLS
    | evaluate_safety.PROTOCOLS
    | evaluate_compare.PROTOCOLS
)


def evaluate_arguments(parent: argparse.ArgumentParser) -> None:
    """Arguments of `valle evaluate`, one set per protocol."""
    parsers = parent.add_subparsers(
        dest="protocol", required=True, metavar="PROTOCOL", parser_class=type(parent)
    )
    for name, protocol in PROTOCOLS.items():
        parser = parsers.add_parser(
            name, help=protocol.summary, description=protocol.summary, allow_abbrev=False
        )
        protocol.add_arguments(parser)


def evaluate(arguments: argparse.Namespace) -> None:
    """Run one protocol.

    Raises:
        UsageError: a file or a package is missing, or a value is out of range.
        OutputError: the JSON, a clip or a picture cannot be written.
        RegressionError: of two reports, the second is significantly worse.
    """
    start = time.perf_counter()
    check_output(arguments.output)
    if getattr(arguments, "picture", None):
        check_target(arguments.picture)
    with repeatable_data_folder():
        outcome = PROTOCOLS[arguments.protocol].run(arguments)
    settings = outcome.report["settings"]
    settings["seconds"] = round(time.perf_counter() - start, 1)
    if outcome.model is not None:
        config = outcome.model.bundle.config
        settings["bundle"] = config.name
        settings["graphs"] = {name: graph.sha256 for name, graph in config.graphs.items()}
    write_json(arguments.output, outcome.report)
    print(outcome.table)
    if outcome.failure is not None:
        raise outcome.failure
