"""`valle evaluate emotions`: styles and emotions in every voice of a list."""

from __future__ import annotations

import argparse

from valle.cli.arguments import add_seed
from valle.cli.evaluate_common import Outcome, Protocol, add_model, add_output
from valle.cli.evaluate_items import add_items
from valle.cli.evaluate_lists import make_metrics
from valle.cli.evaluate_speech import add_whisper
from valle.cli.evaluate_trials import add_voices, read_voices, report_trials
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.items import hash_items
from valle.evaluation.protocols import emotions
from valle.synthesis.model import load
from valle.trust.attestation import ATTESTATION


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_items(parser)
    add_voices(parser)
    add_model(parser)
    add_whisper(parser)
    add_seed(parser)
    parser.set_defaults(speaker_model=None)
    add_output(parser, "emotions")


def _evaluate(arguments: argparse.Namespace) -> Outcome:
    voices = read_voices(arguments)
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    speaker = ItemSpeaker(model, ATTESTATION)
    trials = list(emotions.run_trials(speaker, voices, metrics, arguments.seed, arguments.quiet))
    return report_trials(
        emotions, trials, metrics, model, items_sha256=hash_items(voices), seed=arguments.seed
    )


PROTOCOLS = {
    "emotions": Protocol(
        "whether emotions and styles are as strong as asked, and what they cost in words and voice",
        _arguments,
        _evaluate,
    )
}
