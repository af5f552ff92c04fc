"""Training of the AR or the NAR in epochs, by one process or several (PyTorch's DDP).

The utterances of a step are a function of seed, epoch and step (see `EpochOrder`). Each process
computes its own share of them, and all have the same number of steps. So a run may be stopped and
continued with another number of processes, and no utterance is repeated or left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from valle.errors import UsageError
from valle.files import write_atomically
from valle.training.data.epochs import EpochExamples, EpochOrder
from valle.training.data.examples import INFILLING
from valle.training.run_folder import CHECKPOINT, load_bin_edges, save_bin_edges
from valle.training.trainers.objectives import LanguageModelObjective
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    set_learning_rate,
)
from valle.training.trainers.process_group import ProcessGroup
from valle.training.trainers.trainer import TrainerContext

_ORDER = "order.json"
_MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class ParallelOptions:
    """How a step is shared.

    Attributes:
        batch_size: utterances per step, of all processes together.
        accumulation: parts that each process computes one after another, to save memory.
        infilling: probability of an infilling example, 0 to 1.
    """

    batch_size: int
    accumulation: int = 1
    infilling: float = INFILLING


class ParallelTrainer:
    """Trains one model as a member of a process group.

    Args:
        context: corpora, run folder, device and seed; `shares` must be None.
        objective: of the model to train.
        name: of the stage, "ar" or "nar".
        group: the processes.
        options: how a step is shared.

    Raises:
        UsageError: the batch cannot be divided among the processes, or the run was started with
            another order of utterances.
    """

    def __init__(
        self,
        context: TrainerContext,
        objective: LanguageModelObjective,
        name: str,
        group: ProcessGroup,
        options: ParallelOptions,
    ) -> None:
        if context.shares is not None:
            raise UsageError(
                "--share does not go with --batch-size or torchrun: every utterance is trained on "
                "once per epoch; leave --share out, or name a corpus twice in --data"
            )
        parts = group.size * options.accumulation
        if options.batch_size % parts:
            raise UsageError(
                f"--batch-size {options.batch_size} cannot be divided among {group.size} processes "
                f"with --accumulation {options.accumulation}: give a multiple of {parts}"
            )
        self.objective, self.group, self.options = objective, group, options
        self.seed = context.seed
        self.peak_rate = objective.hyperparameters.peak_rate
        self.examples = objective.open_examples(
            context.stores, context.seed, load_bin_edges(context.folder), options.infilling
        )
        self.order = EpochOrder(self.examples.lengths, options.batch_size, context.seed)
        self.modules: dict[str, nn.Module] = {name: objective.model}
        self.averaged: tuple[str, ...] = (name,)
        self.optimizer = language_model_optimizer(objective.model, self.peak_rate)
        self.optimizers: dict[str, torch.optim.Optimizer] = {name: self.optimizer}
        self.generators: dict[str, np.random.Generator] = {}  # nothing depends on what came before
        self._parallel: nn.Module = objective
        if group.size > 1:
            self._parallel = DistributedDataParallel(objective)
        if group.is_first:
            save_bin_edges(context.folder, self.examples.bin_edges)
        _check_order(context.folder, self.examples, self.order, group)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on this process's share of the batch."""
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        entropy = np.random.SeedSequence((self.seed, number, self.group.rank))
        torch.manual_seed(int(entropy.generate_state(1)[0]))  # of dropout
        own = self.order.batch(number)[self.group.rank :: self.group.size]
        size = len(own) // self.options.accumulation
        batches = [
            self.objective.collate(
                [
                    self.objective.example(self.examples, place)
                    for place in own[start : start + size]
                ]
            )
            for start in range(0, len(own), size)
        ]
        # The weights of the whole step are known before its gradients: of all parts, everywhere.
        weights = torch.stack([self.objective.weights(batch) for batch in batches]).sum(0)
        totals = self.group.sum(weights.detach())
        self.optimizer.zero_grad(set_to_none=True)
        sums = torch.zeros_like(totals)
        for index, batch in enumerate(batches):
            with self._synchronize(last=index == len(batches) - 1):
                part = self._parallel(batch)
                # DDP takes the mean over the processes, and the sum is wanted.
                (part / totals).sum().mul(self.group.size).backward()
            sums += part.detach()
        nn.utils.clip_grad_norm_(self.objective.model.parameters(), _MAX_GRADIENT_NORM)
        self.optimizer.step()
        losses = self.group.sum(sums) / totals
        return dict(zip(self.objective.terms, losses.tolist(), strict=True))

    def _synchronize(self, last: bool) -> contextlib.AbstractContextManager[Any]:
        """Exchange gradients after the last part of a step only."""
        if last or not isinstance(self._parallel, DistributedDataParallel):
            return contextlib.nullcontext()
        return self._parallel.no_sync()

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: samples need all models (`valle export`, then `valle speak`)."""


def _check_order(
    folder: Path, examples: EpochExamples, order: EpochOrder, group: ProcessGroup
) -> None:
    """Check that a run continues with the order of utterances that it was started with."""
    digest = hashlib.sha256()
    for _, source in examples.targets:
        digest.update(f"{source.store.folder.name}\n{source.utterance.id}\n".encode())
    now = {
        "--seed": order.seed,
        "--batch-size": order.batch_size,
        "--data": f"{len(order.lengths)} utterances, {digest.hexdigest()[:16]}",
    }
    path = folder / _ORDER
    if (folder / CHECKPOINT).is_file() and path.is_file():
        try:
            before = dict(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise UsageError(f"{path} is damaged ({error}); give other --runs") from error
        for option, value in now.items():
            if before.get(option) != value:
                raise UsageError(
                    f"{folder} was started with {option} {before.get(option)}, not {value}: with "
                    "another, utterances would be repeated or left out; give the same, or other "
                    "--runs"
                )
    if group.is_first:
        folder.mkdir(parents=True, exist_ok=True)
        with write_atomically(path) as temporary:
            temporary.write_text(json.dumps(now), encoding="utf-8")
