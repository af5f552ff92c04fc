"""Options of `valle train ar|nar` for training in epochs, by several processes of `torchrun`."""

from __future__ import annotations

import argparse

import torch

from valle.cli.arguments import Integer
from valle.errors import UsageError
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_codec
from valle.training.models.ar import AR
from valle.training.models.nar import NAR
from valle.training.models.sizes import size_named
from valle.training.run_folder import save_size
from valle.training.trainers.objectives import (
    ARObjective,
    LanguageModelObjective,
    NARObjective,
)
from valle.training.trainers.parallel import ParallelOptions, ParallelTrainer
from valle.training.trainers.process_group import ProcessGroup, is_started_by_torchrun
from valle.training.trainers.trainer import TrainerContext

_PER_PROCESS = 8  # utterances per step and process, unless --batch-size says how many
_STAGES = ("ar", "nar")


def add_parallel_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of training in epochs."""
    parser.add_argument(
        "--batch-size",
        type=Integer(1, 1_000_000),
        metavar="N",
        help="train in epochs, on N utterances per step, of all processes together (default under "
        f"torchrun: {_PER_PROCESS} per process; otherwise utterances are sampled)",
    )
    parser.add_argument(
        "--accumulation",
        type=Integer(1, 100_000),
        default=1,
        metavar="N",
        help="parts that each process computes a step in, to save memory (default: %(default)s)",
    )


def is_parallel(arguments: argparse.Namespace) -> bool:
    """Whether to train in epochs.

    Raises:
        UsageError: the stage cannot be trained by several processes, or an option does not apply.
    """
    if arguments.stage not in _STAGES:
        if is_started_by_torchrun():
            raise UsageError(
                f"torchrun trains {' and '.join(_STAGES)}; run valle train {arguments.stage} "
                "without it"
            )
        return False
    chosen = is_started_by_torchrun() or arguments.batch_size is not None
    if arguments.accumulation > 1 and not chosen:
        raise UsageError("--accumulation goes with --batch-size or torchrun")
    for name in ("guidance", "preferences"):
        if chosen and getattr(arguments, name, None):
            raise UsageError(f"--{name} does not go with --batch-size or torchrun")
    return chosen


def make_parallel_trainer(
    context: TrainerContext, arguments: argparse.Namespace, group: ProcessGroup
) -> ParallelTrainer:
    """Make the trainer of the AR or the NAR for one process of a group.

    Raises:
        UsageError: a model that it needs is missing, or the options do not fit together.
    """
    torch.manual_seed(context.seed)  # all processes start from the same weights
    device, size = context.torch_device, size_named(context.size)
    codebooks = load_codec(arguments.runs / "codec").quantiser.tables
    objective: LanguageModelObjective
    if arguments.stage == "ar":
        ar = AR(size.ar, len(SYMBOLS))
        ar.initialize_from(codebooks)
        objective = ARObjective(ar.to(device), device)
    else:
        nar = NAR(size.nar, len(SYMBOLS))
        nar.initialize_from(codebooks)
        objective = NARObjective(nar.to(device), device)
    if group.is_first:
        save_size(context.folder, objective.model.size)
    options = ParallelOptions(
        arguments.batch_size or _PER_PROCESS * group.size,
        arguments.accumulation,
        arguments.infilling,
    )
    return ParallelTrainer(context, objective, arguments.stage, group, options)
