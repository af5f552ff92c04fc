"""`valle evaluate editing`: words replaced in recordings of held-out speakers."""

from __future__ import annotations

import argparse

from valle.cli.arguments import Integer, add_seed
from valle.cli.evaluate_common import Outcome, Protocol, add_heldout, add_model, add_output
from valle.cli.evaluate_lists import make_metrics
from valle.cli.evaluate_speech import add_whisper
from valle.cli.evaluate_trials import report_trials
from valle.errors import UsageError
from valle.evaluation.material import read_manifests, read_names
from valle.evaluation.protocols import editing
from valle.synthesis.model import load


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_heldout(parser)
    add_whisper(parser)
    parser.add_argument(
        "--edits",
        type=Integer(1),
        default=editing.Settings.edits,
        metavar="N",
        help="how many recordings to edit (default: %(default)s)",
    )
    add_seed(parser, "seed of the new words")
    parser.set_defaults(speaker_model=None)
    add_output(parser, "editing")


def _evaluate(arguments: argparse.Namespace) -> Outcome:
    names = read_names(arguments.heldout)
    rows = editing.select_recordings(read_manifests(arguments.manifest), names)
    if len(rows) < 2:
        raise UsageError(
            "an evaluation of edits needs two recordings of held-out speakers, each of 5 to 9 s "
            "with a transcript of 12 words or more; give another --manifest or --heldout"
        )
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    settings = editing.Settings(arguments.edits, arguments.seed, arguments.quiet)
    trials = list(editing.run_trials(model, rows, metrics, settings))
    return report_trials(editing, trials, metrics, model, seed=arguments.seed)


PROTOCOLS = {
    "editing": Protocol(
        "words replaced in recordings: are they understood, and do they sound like the rest?",
        _arguments,
        _evaluate,
    )
}
