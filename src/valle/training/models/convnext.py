"""ConvNeXt blocks over time (Liu et al. 2022; one-dimensional as in Vocos, Siuzdak 2023)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
        # Layers start as the identity and earn their share (layer scale).
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def mix(self, padded: Tensor, residual: Tensor) -> Tensor:
        """Convolve `padded` [B, T + kernel - 1, width] and add to `residual` [B, T, width]."""
        hidden = self.depthwise(padded.transpose(1, 2)).transpose(1, 2)
        # On a processor PyTorch's exact form is five times faster than the other, which graphs
        # have: ONNX Runtime is faster at it. They differ by 5e-4 at most.
        form = "none" if self.training else "tanh"
        hidden = self.down(nn.functional.gelu(self.up(self.norm(hidden)), approximate=form))
        return residual + self.scale * hidden

    def forward(self, hidden: Tensor) -> Tensor:
        return self.mix(nn.functional.pad(hidden, (0, 0, self.side, self.side)), hidden)


class CausalConvNeXt(ConvNeXt):
    """Sees only the past; takes and returns the frames before, [B, kernel - 1, width]."""

    def forward(  # type: ignore[override]
        self, hidden: Tensor, before: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = torch.cat([before, hidden], dim=1)
        return self.mix(rows, hidden), rows[:, -2 * self.side :]
