"""Low-rank adaptation of the linear layers of a transformer (Hu et al. 2021, LoRA).

The model's own weights stay as they are; each adapted layer adds `x @ down @ up`. `up` starts at
zero, so training starts from the model as it was.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from valle.bundle.adapter import LAYERS


class LowRankLinear(nn.Module):
    """A frozen linear layer with a trained low-rank change.

    Args:
        linear: the layer to adapt.
        rank: of the change, at least 1.
    """

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(linear.in_features, rank))
        self.up = nn.Parameter(torch.zeros(rank, linear.out_features))
        nn.init.uniform_(self.down, -1 / math.sqrt(rank), 1 / math.sqrt(rank))

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output with the change added."""
        changed: Tensor = self.linear(x) + (x @ self.down) @ self.up / self.linear.in_features**0.5
        return changed


def adapt_linear_layers(model: nn.Module, rank: int) -> list[nn.Parameter]:
    """Replace the linear layers of a model's blocks by adapted ones, and freeze everything else.

    Args:
        model: an AR or a NAR with `blocks`; changed in place.
        rank: of each change.

    Returns:
        The parameters to train.
    """
    model.requires_grad_(False)
    trained = []
    for block in model.blocks:  # type: ignore[union-attr]  # a ModuleList
        for name in LAYERS:
            layer = LowRankLinear(getattr(block, name), rank)
            setattr(block, name, layer)
            trained += [layer.down, layer.up]
    return trained


def low_rank_layers(model: nn.Module) -> Iterator[tuple[str, LowRankLinear]]:
    """The adapted layers of a model, with names such as `blocks.0.feed_in`."""
    for name, module in model.named_modules():
        if isinstance(module, LowRankLinear):
            yield name, module


def read_matrices(model: nn.Module, prefix: str) -> dict[str, NDArray[np.float16]]:
    """The matrices of a model's adapted layers as an adapter stores them.

    Args:
        model: see `adapt_linear_layers`.
        prefix: the name of its graph.
    """
    matrices = {}
    for name, layer in low_rank_layers(model):
        up = layer.up.detach() / layer.linear.in_features**0.5
        matrices[f"{prefix}.{name}.down"] = layer.down.detach().half().cpu().numpy()
        matrices[f"{prefix}.{name}.up"] = up.half().cpu().numpy()
    return matrices


@torch.no_grad()
def merge_changes(model: nn.Module, changes: Mapping[str, NDArray[np.float32]]) -> None:
    """Add changes to a model's linear layers, in place.

    Args:
        model: without adapted layers.
        changes: [inputs, outputs] by the weight's name, as `Adapter.changes` returns them.
    """
    weights = dict(model.named_parameters())
    for name, change in changes.items():
        weights[name].add_(torch.from_numpy(change.T.copy()).to(weights[name]))
