"""`valle train` and `valle average`: command-line options to trainers."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import torch

from valle.cli.arguments import (
    POSITIVE,
    Integer,
    Number,
    add_corpora,
    add_quiet,
    add_runs,
    add_seed,
    add_teacher,
    nonempty,
    path,
)
from valle.cli.train_adapt import adapt, adapt_arguments
from valle.cli.train_all import train_all, train_all_arguments
from valle.cli.train_device import add_device, choose_device
from valle.cli.train_parallel import (
    add_parallel_arguments,
    is_parallel,
    make_parallel_trainer,
)
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.training.checkpoints import load_codec, load_listener, load_speaker
from valle.training.data.examples import INFILLING
from valle.training.data.preferences import read_preferences
from valle.training.export.descent import save_data_sources
from valle.training.models.sizes import SIZES
from valle.training.trainers.acoustic import AcousticHyperparameters, AcousticTrainer
from valle.training.trainers.ar import ARTrainer
from valle.training.trainers.codec import CodecTrainer
from valle.training.trainers.detector import DetectorTrainer
from valle.training.trainers.listener import ListenerTrainer
from valle.training.trainers.loop import run
from valle.training.trainers.nar import NARTrainer
from valle.training.trainers.preferences import PreferenceTrainer
from valle.training.trainers.process_group import local_device, open_process_group
from valle.training.trainers.speaker import SpeakerTrainer
from valle.training.trainers.trainer import Trainer, TrainerContext
from valle.training.weight_averaging import average_runs

_ALL_SUMMARY = "every model, from prepared recordings to a bundle, within a budget of time"
_ADAPT_SUMMARY = "an adapter: a bundle's models, fine-tuned on 2 to 60 minutes of speech"


def train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stages of `valle train` and their options."""
    stages = parser.add_subparsers(
        dest="stage", required=True, metavar="STAGE", parser_class=type(parser)
    )
    for name, stage in _STAGES.items():
        stage_parser = stages.add_parser(
            name, help=stage.summary, description=stage.summary, allow_abbrev=False
        )
        _add_common_arguments(stage_parser)
        stage.add_arguments(stage_parser)
    everything = stages.add_parser(
        "all", help=_ALL_SUMMARY, description=_ALL_SUMMARY, allow_abbrev=False
    )
    train_all_arguments(everything)
    adapter = stages.add_parser(
        "adapt", help=_ADAPT_SUMMARY, description=_ADAPT_SUMMARY, allow_abbrev=False
    )
    adapt_arguments(adapter)


def _add_common_arguments(parser: argparse.ArgumentParser) -> None:
    add_corpora(parser, "corpus that `valle prepare` wrote")
    add_runs(parser, "the model is kept in RUNS/STAGE, and training resumes from there")
    parser.add_argument(
        "--size", choices=list(SIZES), default="default", help="model size (default: %(default)s)"
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument(
        "--minutes", type=POSITIVE, metavar="X", help="total training time, earlier runs included"
    )
    budget.add_argument(
        "--steps",
        type=Integer(1),
        metavar="N",
        help="total number of steps, earlier runs included",
    )
    add_device(parser)
    parser.add_argument(
        "--threads",
        type=Integer(1, 1024),
        metavar="N",
        help="processor threads to use (default: one per core)",
    )
    add_seed(parser)
    parser.add_argument(
        "--learning-rate",
        type=Number(0.0, 1.0, exclusive=True),
        metavar="X",
        help="peak learning rate (default: that of the stage; lower it to fine-tune)",
    )
    add_quiet(parser, "show no progress bar")


def train(arguments: argparse.Namespace) -> None:
    """Train one model, all of them, or an adapter, until the budget is spent.

    Raises:
        UsageError: a corpus or a trained model is missing or does not fit the options.
    """
    if arguments.stage == "all":
        train_all(arguments)
        return
    if arguments.stage == "adapt":
        adapt(arguments)
        return
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    folder = arguments.runs / arguments.stage
    device = local_device(choose_device(arguments.device))
    context = TrainerContext(
        stores=[Store(data) for data in arguments.data],
        folder=folder,
        size=arguments.size,
        device=device,
        seed=arguments.seed,
        shares=getattr(arguments, "share", None),
    )
    with open_process_group(device) as group:
        if is_parallel(arguments):
            trainer: Trainer = make_parallel_trainer(context, arguments, group)
        else:
            trainer = _STAGES[arguments.stage].make_trainer(context, arguments)
        if arguments.learning_rate is not None:
            trainer.peak_rate = arguments.learning_rate
        if group.is_first:
            save_data_sources(folder, context.stores)
        steps = run(
            trainer,
            folder,
            minutes=arguments.minutes,
            steps=arguments.steps,
            quiet=arguments.quiet,
            group=group,
        )
    if group.is_first:
        print(f"{folder}: {steps} steps")


def _no_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the stage has the common options only."""


def _codec_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-codes",
        action="store_true",
        help="train the decoder only, so that the codes, an AR and a NAR stay valid",
    )


def _make_codec_trainer(context: TrainerContext, arguments: argparse.Namespace) -> Trainer:
    perceptual = None
    if arguments.keep_codes and any(store.predicted is not None for store in context.stores):
        runs = arguments.runs
        perceptual = load_speaker(runs / "speaker"), load_listener(runs / "listener")
    return CodecTrainer(context, keep_codes=arguments.keep_codes, perceptual=perceptual)


def _make_listener_trainer(context: TrainerContext, _: argparse.Namespace) -> Trainer:
    return ListenerTrainer(context)


def _make_speaker_trainer(context: TrainerContext, _: argparse.Namespace) -> Trainer:
    return SpeakerTrainer(context)


def _detector_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--leave-out",
        type=nonempty,
        metavar="GENERATOR",
        help="do not train on this generator, such as flite, to measure how well the detector "
        "generalizes to it",
    )


def _make_detector_trainer(context: TrainerContext, arguments: argparse.Namespace) -> Trainer:
    return DetectorTrainer(context, leave_out=arguments.leave_out)


def _language_model_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--share",
        type=Number(0.0),
        action="append",
        metavar="WEIGHT",
        help="sampling weight of a --data, one for each in the same order (default: equal)",
    )
    parser.add_argument(
        "--infilling",
        type=Number(0.0, 1.0),
        default=INFILLING,
        metavar="SHARE",
        help="share of the examples trained as infilling of a span (default: %(default)s)",
    )


def _nar_arguments(parser: argparse.ArgumentParser) -> None:
    _language_model_arguments(parser)
    add_parallel_arguments(parser)


def _ar_arguments(parser: argparse.ArgumentParser) -> None:
    _language_model_arguments(parser)
    add_parallel_arguments(parser)
    parser.add_argument(
        "--guidance",
        type=POSITIVE,
        metavar="SCALE",
        help="distill classifier-free guidance on the prompt at this scale (1 is strong), from "
        "the model that `valle import` wrote",
    )
    parser.add_argument(
        "--preferences",
        type=path,
        action="append",
        metavar="FOLDER",
        help="learn which of its own samples are understood, from the folder that `valle prepare "
        "preferences` wrote; the model is kept near that of `valle import` on the --data; repeat "
        "it for several folders",
    )


def _make_ar_trainer(context: TrainerContext, arguments: argparse.Namespace) -> Trainer:
    if arguments.preferences:
        if arguments.guidance is not None:
            raise UsageError("give --guidance or --preferences: each has a model to stay near")
        groups = read_preferences(arguments.preferences)
        return PreferenceTrainer(context, groups, infilling=arguments.infilling)
    return ARTrainer(
        context,
        codec=load_codec(arguments.runs / "codec"),
        infilling=arguments.infilling,
        guidance=arguments.guidance,
    )


def _make_nar_trainer(context: TrainerContext, arguments: argparse.Namespace) -> Trainer:
    return NARTrainer(
        context,
        codec=load_codec(arguments.runs / "codec"),
        infilling=arguments.infilling,
    )


def _acoustic_arguments(parser: argparse.ArgumentParser) -> None:
    _language_model_arguments(parser)
    add_teacher(parser, "whose encoder the loss uses")
    parser.add_argument(
        "--decoder",
        action="store_true",
        help="train the codec's decoder too, with discriminators; its codes stay valid",
    )


def _make_acoustic_trainer(context: TrainerContext, arguments: argparse.Namespace) -> Trainer:
    return AcousticTrainer(
        context,
        runs=arguments.runs,
        teacher=arguments.teacher,
        infilling=arguments.infilling,
        hyperparameters=AcousticHyperparameters(train_decoder=arguments.decoder),
    )


class _Stage(NamedTuple):
    """One of the models that are trained."""

    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    make_trainer: Callable[[TrainerContext, argparse.Namespace], Trainer]


_STAGES = {
    "codec": _Stage("the neural audio codec", _codec_arguments, _make_codec_trainer),
    "listener": _Stage("the listener, a phoneme recognizer", _no_arguments, _make_listener_trainer),
    "speaker": _Stage("the speaker encoder", _no_arguments, _make_speaker_trainer),
    "ar": _Stage(
        "the autoregressive model, which predicts the first codebook",
        _ar_arguments,
        _make_ar_trainer,
    ),
    "nar": _Stage(
        "the non-autoregressive model, which predicts the residual codebooks",
        _nar_arguments,
        _make_nar_trainer,
    ),
    "acoustic": _Stage(
        "the non-autoregressive model again, through the decoder, by what recognizers hear",
        _acoustic_arguments,
        _make_acoustic_trainer,
    ),
    "detector": _Stage(
        "the detector of synthetic speech", _detector_arguments, _make_detector_trainer
    ),
}


def average_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `valle average FOLDER RUN RUN`."""
    parser.add_argument(
        "folder",
        type=path,
        metavar="FOLDER",
        help="where to write the averaged run, such as runs/average/ar",
    )
    parser.add_argument(
        "runs",
        type=path,
        nargs="+",
        metavar="RUN",
        help="two or more runs of the same stage, such as runs/ar",
    )


def average(arguments: argparse.Namespace) -> None:
    """Write the average of several runs' weights as a run.

    Raises:
        UsageError: fewer than two runs, or runs that do not fit together.
    """
    stage = average_runs(arguments.runs, arguments.folder)
    print(f"{arguments.folder}: {stage}, the average of {len(arguments.runs)} runs")
