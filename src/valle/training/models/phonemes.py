"""The phoneme encoder: what the AR model reads of the text.

Bounded right context (three convolutions of kernel 5: six symbols) instead of attention, so that
the same symbols always give the same rows, and text may arrive while speech is being made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.training.models.transformer import EPSILON

KERNEL = 5
CONVOLUTIONS = 3
STRESSES = 3  # none, secondary, primary
PADDING = -1  # symbol id of a place after a shorter sequence's end


class PhonemeEncoder(nn.Module):
    """symbols [B, S] int64, stress [B, S] int64 in 0..2 -> encoded [B, S, width].

    Symbol id -1 marks padding after a shorter sequence's end; it is silenced before every
    convolution, so a padded batch gives what separate sequences give. ``table``: number of symbols.
    """

    def __init__(self, width: int, table: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.symbols = nn.Embedding(table, width)
        self.stress = nn.Embedding(STRESSES, width)
        self.norms = nn.ModuleList(
            nn.LayerNorm(width, eps=EPSILON, bias=False) for _ in range(CONVOLUTIONS)
        )
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, width, KERNEL, padding=KERNEL // 2) for _ in range(CONVOLUTIONS)
        )
        self.out_norm = nn.LayerNorm(width, eps=EPSILON, bias=False)
        for embedding in (self.symbols, self.stress):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, symbols: Tensor, stress: Tensor) -> Tensor:
        known = (symbols != PADDING)[..., None].to(self.symbols.weight.dtype)
        x = self.symbols(symbols.clamp(min=0)) + self.stress(stress)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            heard = convolution((norm(x) * known).transpose(1, 2)).transpose(1, 2)
            x = x + F.dropout(F.gelu(heard), self.dropout, self.training)
        return self.out_norm(x)


def gather_rows(encoded: Tensor, frame_symbol: Tensor) -> Tensor:
    """The encoded symbol each frame is at: [B, S, width], [B, T] in 0..S-1 -> [B, T, width]."""
    index = frame_symbol[..., None].expand(-1, -1, encoded.shape[-1])
    return torch.gather(encoded, 1, index)
