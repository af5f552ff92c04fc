"""`valle evaluate` protocols of the model's components and of prosody."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import partial

from valle.cli.arguments import Integer, add_seed
from valle.cli.evaluate_common import (
    Outcome,
    Protocol,
    add_model,
    add_output,
    add_plot,
    add_sentences,
    add_speakers,
    limit_speakers,
    read_limited_speakers,
)
from valle.evaluation.alignment_plot import save_alignment_plot
from valle.evaluation.material import read_speakers, select_sentences
from valle.evaluation.metrics.sentence_identification import SentenceIdentifier
from valle.evaluation.protocols import components, infilling, naturalness, style
from valle.evaluation.report import report
from valle.synthesis.model import load


def _components_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_speakers(parser)
    add_sentences(parser)
    add_plot(parser, "draw where the recognizer finds the phonemes")
    add_output(parser, "components")


def _components(arguments: argparse.Namespace) -> Outcome:
    quiet, identifier = arguments.quiet, SentenceIdentifier()
    speakers = read_speakers(arguments.manifest, arguments.heldout, identifier.knows)
    speakers = speakers[: limit_speakers(arguments, len(speakers))]
    model = load(arguments.bundle, threads=arguments.threads)
    if arguments.picture is not None:
        save_alignment_plot(arguments.picture, model, speakers)
    sentences = select_sentences(
        arguments.text, arguments.manifest, components.CHOICES, identifier.knows
    )
    measured = [
        *components.measure_codec(model, speakers, sentences, identifier, quiet),
        *components.measure_recognizer(model, speakers, sentences, quiet=quiet),
    ]
    results = components.summarize(measured)
    results += components.measure_speaker_encoder(model, speakers, quiet)
    content = {"results": [asdict(result) for result in results]}
    return Outcome(
        report("components", content, choices=components.CHOICES), components.table(results), model
    )


def _naturalness_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_speakers(parser)
    parser.add_argument(
        "--sentences",
        type=Integer(1, 4),
        default=4,
        metavar="N",
        help="recordings per speaker (default: %(default)s, all)",
    )
    add_seed(parser, "seed of each speaker's first sentence")
    add_plot(parser, "draw both distributions")
    add_output(parser, "naturalness")


def _naturalness(arguments: argparse.Namespace) -> Outcome:
    speakers = read_limited_speakers(arguments)
    model = load(arguments.bundle, threads=arguments.threads)
    clips = list(
        naturalness.run(model, speakers, arguments.sentences, arguments.seed, arguments.quiet)
    )
    if arguments.picture:
        naturalness.save_plot(arguments.picture, clips)
    content = naturalness.as_json(clips)
    return Outcome(
        report("naturalness", content, seed=arguments.seed),
        naturalness.table(content["rows"]),
        model,
    )


def _prosody_arguments(name: str, parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_speakers(parser)
    add_seed(parser, "seed of the random numbers")
    add_output(parser, name)


def _style(arguments: argparse.Namespace) -> Outcome:
    speakers = read_limited_speakers(arguments)[: style.VOICES]
    model = load(arguments.bundle, threads=arguments.threads)
    trials = list(style.run_trials(model, speakers, arguments.seed, arguments.quiet))
    summary = style.summarize(trials)
    content = summary | {"trials": [asdict(trial) for trial in trials]}
    return Outcome(report("style", content, seed=arguments.seed), style.table(summary), model)


def _infilling(arguments: argparse.Namespace) -> Outcome:
    speakers = read_limited_speakers(arguments)[: style.VOICES]
    model = load(arguments.bundle, threads=arguments.threads)
    trials = list(infilling.run_trials(model, speakers, arguments.seed, arguments.quiet))
    summary = infilling.summarize(trials)
    content = summary | {"trials": [asdict(trial) for trial in trials]}
    return Outcome(
        report("infilling", content, seed=arguments.seed), infilling.table(summary), model
    )


PROTOCOLS = {
    "components": Protocol(
        "codec, phoneme recognizer and speaker encoder by themselves, with Opus and Resemblyzer "
        "as baselines",
        _components_arguments,
        _components,
    ),
    "naturalness": Protocol(
        "pitch range and pauses, compared with recordings of the same words",
        _naturalness_arguments,
        _naturalness,
    ),
    "style": Protocol(
        "whether requested styles (pitch, rate, energy, ...) show in the speech",
        partial(_prosody_arguments, "style"),
        _style,
    ),
    "infilling": Protocol(
        "new speech for the middle of recordings, compared with the recordings",
        partial(_prosody_arguments, "infilling"),
        _infilling,
    ),
}
