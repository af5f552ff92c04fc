"""The phoneme encoder: what the AR model reads of the text.

Bounded right context (three convolutions of kernel 5: six symbols) instead of attention, so that
the same symbols always give the same rows, and text may arrive while speech is being made.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.audio.prosody import CLASSES, STYLES, UNSET
from valle.runtime.speaker_encoder import EMBEDDING
from valle.training.models.transformer import EPSILON

KERNEL = 5
CONVOLUTIONS = 3
STRESSES = 3  # none, secondary, primary
PADDING = -1  # symbol id of a place after a shorter sequence's end


class VoiceInput(nn.Module):
    """A speaker's embedding [B, 192] of unit length (zeros: not known) -> [B, width].

    The prompt itself says all of this, but a model learns to read the voice out of it late; the
    speaker encoder has learnt that already. Begins at zero: no voice until it helps.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = math.sqrt(EMBEDDING)  # numbers of unit spread
        self.linear = nn.Linear(EMBEDDING, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, voice: Tensor) -> Tensor:
        projected: Tensor = self.linear(voice * self.scale)
        return projected


class StyleInput(nn.Module):
    """Style classes [B, 5] int64, 0 (unset) to 8 -> [B, width].

    What is unset adds nothing. Begins at zero, as the voice does: a model that was trained without
    styles goes on from what it is.
    """

    offsets: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(STYLES) * CLASSES, width))
        self.register_buffer("offsets", torch.arange(len(STYLES)) * CLASSES, persistent=False)

    def forward(self, style: Tensor) -> Tensor:
        rows = (self.offsets + style - 1).clamp(min=0)
        asked = (style != UNSET)[..., None].to(self.weight.dtype)
        return (F.embedding(rows, self.weight) * asked).sum(-2)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        # Weights from before there were styles.
        state_dict.setdefault(prefix + "weight", torch.zeros_like(self.weight))
        super()._load_from_state_dict(state_dict, prefix, *others)


class PhonemeEncoder(nn.Module):
    """symbols [B, S] int64, stress [B, S] int64 in 0..2, voice [B, 192], style [B, 5] int64 or None
    -> encoded [B, S, width].

    Voice and style are added to every row, so that the AR reads them wherever it reads the text.

    Symbol id -1 marks padding after a shorter sequence's end; it is silenced before every
    convolution, so a padded batch gives what separate sequences give. ``table``: number of symbols.
    """

    def __init__(self, width: int, table: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.voice = VoiceInput(width)
        self.style = StyleInput(width)
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

    def forward(
        self, symbols: Tensor, stress: Tensor, voice: Tensor, style: Tensor | None = None
    ) -> Tensor:
        known = (symbols != PADDING)[..., None].to(self.symbols.weight.dtype)
        x = self.symbols(symbols.clamp(min=0)) + self.stress(stress)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            heard = convolution((norm(x) * known).transpose(1, 2)).transpose(1, 2)
            x = x + F.dropout(F.gelu(heard), self.dropout, self.training)
        x = self.out_norm(x) + self.voice(voice)[:, None]
        return x if style is None else x + self.style(style)[:, None]


def gather_rows(encoded: Tensor, frame_symbol: Tensor) -> Tensor:
    """The encoded symbol each frame is at: [B, S, width], [B, T] in 0..S-1 -> [B, T, width]."""
    index = frame_symbol[..., None].expand(-1, -1, encoded.shape[-1])
    return torch.gather(encoded, 1, index)
