"""What the evaluations that consist of trials have in common: their voices, report and table."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Protocol

from valle.cli.arguments import Integer
from valle.cli.evaluate_common import Outcome
from valle.cli.evaluate_items import read_items
from valle.cli.evaluate_lists import describe_evaluators
from valle.evaluation.item_evaluator import ItemMetrics
from valle.evaluation.items import Item, select_voices
from valle.evaluation.report import report
from valle.evaluation.versions import describe_versions
from valle.synthesis.model import Model


class TrialProtocol(Protocol):
    """What a module in `valle.evaluation.protocols` makes of its trials."""

    __name__: str

    def summarize(self, trials: Sequence[Any]) -> dict[str, Any]:
        """All figures."""

    def table(self, summary: dict[str, Any]) -> str:
        """The figures as text."""


def add_voices(parser: argparse.ArgumentParser) -> None:
    """`--voices`."""
    parser.add_argument(
        "--voices", type=Integer(1), metavar="N", help="only the first N voices (default: all)"
    )


def read_voices(arguments: argparse.Namespace) -> list[Item]:
    """The first `--voices` of the list that was given, one item for each.

    Raises:
        UsageError: what `read_items` raises.
    """
    return select_voices(read_items(arguments))[: arguments.voices]


def report_trials(
    protocol: TrialProtocol,
    trials: Sequence[Any],
    metrics: ItemMetrics,
    model: Model,
    **settings: Any,
) -> Outcome:
    """The report and the table of trials that may have been transcribed by Whisper.

    Args:
        protocol: whose trials these are.
        trials: instances of its dataclass.
        metrics: that they were measured with.
        model: that was evaluated.
        settings: all else that the figures depend on.
    """
    summary = protocol.summarize(trials)
    missing = {} if metrics.transcriber else {"word_error_rate": "no --whisper FOLDER was given"}
    content = {"not_measured": missing, **summary, "trials": [asdict(trial) for trial in trials]}
    settings |= {
        "evaluators": describe_evaluators(metrics, model),
        "versions": describe_versions(),
    }
    name = protocol.__name__.rpartition(".")[2]
    text = "\n".join([protocol.table(summary), *(f"empty column: {r}" for r in missing.values())])
    return Outcome(report(name, content, **settings), text, model)
