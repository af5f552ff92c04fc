"""What a trainer is, and what every trainer is built from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import nn

from valle.corpora.store import Store
from valle.errors import UsageError


class Trainer(Protocol):
    """What the loop runs. Its modules, optimizers and generators are saved and restored."""

    modules: dict[str, nn.Module]
    averaged: tuple[str, ...]
    """Names of the modules whose weights are averaged while training."""
    optimizers: dict[str, torch.optim.Optimizer]
    generators: dict[str, np.random.Generator]
    peak_rate: float
    """The highest learning rate of the run."""

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step.

        Args:
            number: of the step, from 0.
            progress: share of the budget that is spent, 0 to 1.

        Returns:
            Losses and metrics to log; all must be finite.
        """
        ...

    def write_samples(self, folder: Path, number: int) -> None:
        """Write examples of the model's output into the run's folder, after each checkpoint."""
        ...


@dataclass(frozen=True)
class TrainerContext:
    """What every trainer is built from."""

    stores: Sequence[Store]
    """Prepared corpora to train on."""
    folder: Path
    """Of the run."""
    size: str = "default"
    """A key of `valle.training.models.sizes.SIZES`."""
    device: str = "cpu"
    seed: int = 0
    shares: Sequence[float] | None = None
    """Sampling weight of each store (AR and NAR only); None weights all of them equally."""

    def __post_init__(self) -> None:
        if not self.stores:
            raise UsageError("there is no corpus to train on; give --data")
        if self.shares is not None:
            if len(self.shares) != len(self.stores):
                raise UsageError(
                    f"{len(self.shares)} --share for {len(self.stores)} --data: give one for each"
                )
            if not (min(self.shares) >= 0.0 and 0.0 < sum(self.shares) < float("inf")):
                raise UsageError("--share must be 0 or more, and at least one of them above 0")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more, not {self.seed}")

    @property
    def store_weights(self) -> Sequence[float]:
        """Sampling weight of each store."""
        return self.shares if self.shares is not None else [1.0] * len(self.stores)

    @property
    def torch_device(self) -> torch.device:
        """The device as PyTorch takes it."""
        return torch.device(self.device)
