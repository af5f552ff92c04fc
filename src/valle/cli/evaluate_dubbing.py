"""`valle evaluate dubbing`: films that every voice of a list dubs."""

from __future__ import annotations

import argparse

from valle.cli.arguments import Integer
from valle.cli.evaluate_common import Outcome, Protocol, add_model, add_output
from valle.cli.evaluate_items import add_items
from valle.cli.evaluate_lists import make_metrics
from valle.cli.evaluate_speech import add_whisper
from valle.cli.evaluate_trials import add_voices, read_voices, report_trials
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.items import hash_items
from valle.evaluation.protocols import dubbing
from valle.synthesis.model import load
from valle.trust.attestation import ATTESTATION


def _arguments(parser: argparse.ArgumentParser) -> None:
    add_items(parser)
    add_voices(parser)
    parser.add_argument(
        "--cues",
        type=Integer(2),
        default=24,
        metavar="N",
        help="how many cues each voice dubs (default: %(default)s)",
    )
    add_model(parser)
    add_whisper(parser)
    parser.set_defaults(speaker_model=None)
    add_output(parser, "dubbing")


def _evaluate(arguments: argparse.Namespace) -> Outcome:
    voices = read_voices(arguments)
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    speaker = ItemSpeaker(model, ATTESTATION)
    trials = list(dubbing.run_trials(speaker, voices, metrics, arguments.cues, arguments.quiet))
    return report_trials(
        dubbing, trials, metrics, model, items_sha256=hash_items(voices), cues=arguments.cues
    )


PROTOCOLS = {
    "dubbing": Protocol(
        "films dubbed by every voice: do cues begin, end and pace as they should, in clear words?",
        _arguments,
        _evaluate,
    )
}
