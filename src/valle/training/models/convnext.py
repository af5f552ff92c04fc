"""ConvNeXt blocks over time (Liu et al. 2022; one-dimensional as in Vocos, Siuzdak 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.training.models.features import FEATURES, LogMel

_EXPANSION = 3


class ConvNeXt(nn.Module):
    """[B, T, width] -> [B, T, width]; sees (kernel - 1) / 2 frames to each side."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, groups=width)
        self.side = (kernel - 1) // 2
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, _EXPANSION * width)
        self.down = nn.Linear(_EXPANSION * width, width)
        # Layer scale: every layer starts close to the identity.
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def mix(self, padded: Tensor, residual: Tensor) -> Tensor:
        """Convolve `padded` [B, T + kernel - 1, width] and add to `residual` [B, T, width]."""
        hidden = self._convolve(padded.transpose(1, 2)).transpose(1, 2)
        # On a CPU, PyTorch's exact GELU is five times as fast as the tanh approximation, but in
        # ONNX Runtime the approximation is faster. They differ by at most 5e-4.
        form = "none" if self.training else "tanh"
        hidden = self.down(functional.gelu(self.up(self.norm(hidden)), approximate=form))
        return residual + self.scale * hidden

    def _convolve(self, rows: Tensor) -> Tensor:
        """Depthwise convolution: [B, width, T + kernel - 1] -> [B, width, T]."""
        if not self.training or rows.device.type != "cpu":
            convolved: Tensor = self.depthwise(rows)
            return convolved
        # In training on a CPU, a two-dimensional convolution in fp32 makes the whole block 1.4
        # times as fast as a one-dimensional one in bfloat16.
        with torch.autocast("cpu", enabled=False):
            weight = self.depthwise.weight.unsqueeze(2)
            image = functional.conv2d(
                rows.float().unsqueeze(2), weight, self.depthwise.bias, groups=len(weight)
            )
        return image.squeeze(2)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.mix(functional.pad(hidden, (0, 0, self.side, self.side)), hidden)


@dataclass(frozen=True)
class ConvNeXtSize:
    """Dimensions of a model of ConvNeXt blocks."""

    layers: int
    width: int


class ConvNeXtEncoder(nn.Module):
    """Log-mel features through ConvNeXt blocks: the base of the listener and the speaker encoder.

    Args:
        size: of the model.
        kernel: frames that a block sees.
    """

    def __init__(self, size: ConvNeXtSize, kernel: int) -> None:
        super().__init__()
        self.features = LogMel()
        self.input = nn.Linear(FEATURES, size.width)
        self.input_norm = nn.LayerNorm(size.width)
        self.blocks = nn.ModuleList(ConvNeXt(size.width, kernel) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)

    def hidden(self, features: Tensor) -> Tensor:
        """The last hidden layer [B, T, width] of centered features, each row of unit variance."""
        hidden = self.input_norm(self.input(features))
        for block in self.blocks:
            hidden = block(hidden)
        normalized: Tensor = self.norm(hidden)
        return normalized


class CausalConvNeXt(ConvNeXt):
    """A causal block; takes and returns the frames before, [B, kernel - 1, width]."""

    def forward(  # type: ignore[override]
        self, hidden: Tensor, before: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = torch.cat([before, hidden], dim=1)
        return self.mix(rows, hidden), rows[:, -2 * self.side :]
