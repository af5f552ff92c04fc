"""Exponential moving averages of weights, kept while training (Polyak and Juditsky 1992).

They end where a run with a lower learning rate would, and are what a run's checkpoint offers to
others: `valle export`, the labeling of corpora, later stages.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

DECAY = 0.999  # of the average, per step; less in the first steps


class WeightAverage:
    """The average of a module's weights; its buffers are those of the module."""

    def __init__(self, module: nn.Module) -> None:
        self._trained = module
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def update(self, number: int) -> None:
        """Take in the weights after step `number`, from 0."""
        decay = min(DECAY, (number + 1) / (number + 10))
        weights = zip(self.module.parameters(), self._trained.parameters(), strict=True)
        for average, weight in weights:
            average.lerp_(weight, 1.0 - decay)
        buffers = zip(self.module.buffers(), self._trained.buffers(), strict=True)
        for buffer, value in buffers:
            buffer.copy_(value)
