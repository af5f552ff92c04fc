"""Trainers of the AR and the NAR at the smallest size, alone or as one process of several."""

from __future__ import annotations

from pathlib import Path

import torch

from valle.corpora.store import Store
from valle.text.symbols import SYMBOLS
from valle.training.models.ar import AR
from valle.training.models.nar import NAR
from valle.training.models.sizes import SIZES
from valle.training.trainers.objectives import ARObjective, NARObjective
from valle.training.trainers.parallel import ParallelOptions, ParallelTrainer
from valle.training.trainers.process_group import ProcessGroup
from valle.training.trainers.trainer import TrainerContext

ALONE = ProcessGroup()
BATCH = ParallelOptions(batch_size=8)


def make_trainer(
    corpus: Path,
    folder: Path,
    stage: str,
    options: ParallelOptions = BATCH,
    group: ProcessGroup = ALONE,
) -> ParallelTrainer:
    """Make a trainer of a model whose weights are the same in every process."""
    torch.manual_seed(0)
    size, device = SIZES["debug"], torch.device("cpu")
    objective = (
        ARObjective(AR(size.ar, len(SYMBOLS)), device)
        if stage == "ar"
        else NARObjective(NAR(size.nar, len(SYMBOLS)), device)
    )
    context = TrainerContext([Store(corpus)], folder, "debug", "cpu", seed=3)
    return ParallelTrainer(context, objective, stage, group, options)
