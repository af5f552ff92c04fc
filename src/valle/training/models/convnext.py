"""ConvNeXt blocks over time (Liu et al. 2022; one-dimensional as in Vocos, Siuzdak 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

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


class CausalConvNeXt(ConvNeXt):
    """A causal block; takes and returns the frames before, [B, kernel - 1, width]."""

    def forward(  # type: ignore[override]
        self, hidden: Tensor, before: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = torch.cat([before, hidden], dim=1)
        return self.mix(rows, hidden), rows[:, -2 * self.side :]
