"""`valle evaluate editing`: words replaced in recordings of held-out speakers."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from valle.cli.arguments import Integer, add_seed
from valle.cli.evaluate_common import Outcome, Protocol, add_heldout, add_model, add_output
from valle.cli.evaluate_lists import describe_evaluators, make_metrics
from valle.cli.evaluate_speech import add_whisper
from valle.errors import UsageError
from valle.evaluation.material import read_manifests, read_names
from valle.evaluation.protocols import editing
from valle.evaluation.report import report
from valle.evaluation.versions import describe_versions
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
    summary = editing.summarize(trials)
    missing = {} if arguments.whisper else {"word_error_rate": "no --whisper FOLDER was given"}
    content = {"not_measured": missing, **summary, "trials": [asdict(trial) for trial in trials]}
    recorded = {
        "seed": arguments.seed,
        "evaluators": describe_evaluators(metrics, model),
        "versions": describe_versions(),
    }
    text = "\n".join([editing.table(summary), *(f"empty column: {r}" for r in missing.values())])
    return Outcome(report("editing", content, **recorded), text, model)


PROTOCOLS = {
    "editing": Protocol(
        "words replaced in recordings: are they understood, and do they sound like the rest?",
        _arguments,
        _evaluate,
    )
}
