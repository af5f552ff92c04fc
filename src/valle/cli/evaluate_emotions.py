"""`valle evaluate emotions`: styles and emotions in every voice of a list."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from valle.cli.arguments import Integer, add_seed
from valle.cli.evaluate_common import Outcome, Protocol, add_model, add_output
from valle.cli.evaluate_items import add_items, read_items
from valle.cli.evaluate_lists import describe_evaluators, make_metrics
from valle.cli.evaluate_speech import add_whisper
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.items import hash_items, select_voices
from valle.evaluation.protocols import emotions
from valle.evaluation.report import report
from valle.evaluation.versions import describe_versions
from valle.synthesis.model import load
from valle.trust.attestation import ATTESTATION


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_items(parser)
    parser.add_argument(
        "--voices", type=Integer(1), metavar="N", help="only the first N voices (default: all)"
    )
    add_model(parser)
    add_whisper(parser)
    add_seed(parser)
    parser.set_defaults(speaker_model=None)
    add_output(parser, "emotions")


def _evaluate(arguments: argparse.Namespace) -> Outcome:
    voices = select_voices(read_items(arguments))[: arguments.voices]
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    speaker = ItemSpeaker(model, ATTESTATION)
    trials = list(emotions.run_trials(speaker, voices, metrics, arguments.seed, arguments.quiet))
    summary = emotions.summarize(trials)
    missing = {} if arguments.whisper else {"word_error_rate": "no --whisper FOLDER was given"}
    content = {"not_measured": missing, **summary, "trials": [asdict(trial) for trial in trials]}
    settings = {
        "items_sha256": hash_items(voices),
        "seed": arguments.seed,
        "evaluators": describe_evaluators(metrics, model),
        "versions": describe_versions(),
    }
    text = "\n".join([emotions.table(summary), *(f"empty column: {r}" for r in missing.values())])
    return Outcome(report("emotions", content, **settings), text, model)


PROTOCOLS = {
    "emotions": Protocol(
        "whether emotions and styles are as strong as asked, and what they cost in words and voice",
        _arguments,
        _evaluate,
    )
}
