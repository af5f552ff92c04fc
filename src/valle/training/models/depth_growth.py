"""Continue training a model with more layers than its checkpoint has."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from valle.training.models.convnext import ConvNeXt
from valle.training.models.transformer import Block


def grow_depth(module: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the missing layers of `module` to the weights of a shallower model.

    The new layers are the identity, so the deeper model computes what the shallower one did
    (Net2DeeperNet, Chen et al. 2016, "Net2Net: Accelerating learning via knowledge transfer").

    Args:
        module: the deeper model; its initial weights fill all but the last projections of the new
            layers, which are zero.
        weights: state dict of the shallower model.

    Returns:
        A state dict for `module`.
    """
    complete = dict(weights)
    for name, layer in module.named_modules():
        if isinstance(layer, ConvNeXt) and f"{name}.scale" not in weights:
            last = ["scale"]
        elif isinstance(layer, Block) and f"{name}.feed_out.weight" not in weights:
            last = ["attention_out.weight", "feed_out.weight", "feed_out.bias"]
        else:
            continue
        state = layer.state_dict()
        state |= {key: torch.zeros_like(state[key]) for key in last}
        complete |= {f"{name}.{key}": value for key, value in state.items()}
    return complete
