"""`valle evaluate long`: a long text in every voice of a folder."""

from __future__ import annotations

import argparse
import hashlib

from valle.cli.arguments import add_seed, path
from valle.cli.evaluate_common import Outcome, Protocol, add_model, add_output
from valle.cli.evaluate_lists import (
    add_speaker_model,
    describe_evaluators,
    list_empty,
    make_metrics,
)
from valle.cli.evaluate_speech import add_whisper
from valle.cli.evaluate_trials import add_voices
from valle.cli.texts import read_text
from valle.evaluation.item_clips import ItemSpeaker
from valle.evaluation.item_evaluator import ItemEvaluator
from valle.evaluation.items import read_folder
from valle.evaluation.protocols import long_form
from valle.evaluation.report import clip_rows, report, table
from valle.evaluation.versions import describe_versions
from valle.synthesis.model import load
from valle.trust.attestation import ATTESTATION


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=path, metavar="FOLDER", help="a folder with a recording of each voice"
    )
    parser.add_argument(
        "--text",
        type=path,
        required=True,
        metavar="FILE",
        help="the text that every voice speaks from its beginning to its end, such as a chapter",
    )
    add_voices(parser)
    add_model(parser)
    add_whisper(parser)
    add_speaker_model(parser)
    add_seed(parser)
    add_output(parser, "long")


def _evaluate(arguments: argparse.Namespace) -> Outcome:
    text = read_text(None, arguments.text)
    voices = long_form.select_voices(read_folder(arguments.source), text, arguments.voices)
    model = load(arguments.bundle, threads=arguments.threads)
    metrics = make_metrics(arguments, model)
    clips = long_form.run(
        ItemSpeaker(model, ATTESTATION),
        voices,
        ItemEvaluator(voices, metrics),
        arguments.seed,
        arguments.quiet,
    )
    settings = {
        "source": str(arguments.source),
        "text_sha256": hashlib.sha256(text.encode()).hexdigest(),
        "voices": [item.speaker for item in voices],
        "seed": arguments.seed,
        "evaluators": describe_evaluators(metrics, model),
        "versions": describe_versions(),
    }
    content = {"not_measured": list_empty(metrics), **clip_rows(clips)}
    return Outcome(report("long", content, **settings), table(clips, long_form.REPORTED), model)


PROTOCOLS = {
    "long": Protocol(
        "a long text in each voice, compared by quarters: does it drift or lose words?",
        _arguments,
        _evaluate,
    )
}
