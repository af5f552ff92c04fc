"""The phoneme encoder of the AR model, and the conditioning on speaker and style.

Convolutions with bounded right context (three of kernel 5: six symbols) instead of attention, so
that the same symbols always give the same rows, and text may arrive while speech is generated.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.audio.prosody import CLASSES, STYLES, UNSPECIFIED
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.models.transformer import EPSILON

KERNEL = 5
CONVOLUTIONS = 3
STRESSES = 3  # none, secondary, primary
PADDING = -1  # symbol id after the end of a shorter sequence


class Conditioning(NamedTuple):
    """What a batch is conditioned on.

    Attributes:
        voice: speaker embeddings [B, 192]; zeros: unknown.
        style: bins [B, 5]; None: no style is set.
    """

    voice: Tensor
    style: Tensor | None = None


class SpeakerConditioning(nn.Module):
    """Speaker embedding [B, 192] of unit length (zeros: unknown) -> [B, width].

    The prompt has the same information, but a model learns late to extract the voice from it; the
    speaker encoder does that already. Initialized with zeros.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = math.sqrt(EMBEDDING_DIM)  # components of unit variance
        self.linear = nn.Linear(EMBEDDING_DIM, width, bias=False)
        nn.init.zeros_(self.linear.weight)

    def forward(self, voice: Tensor) -> Tensor:
        projected: Tensor = self.linear(voice * self.scale)
        return projected


class StyleConditioning(nn.Module):
    """Style bins [B, 5] int64, 0 (unset) to 8 -> [B, width].

    An unset style adds nothing. Initialized with zeros, so that a model trained without styles can
    be trained further with them.
    """

    offsets: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(STYLES) * CLASSES, width))
        self.register_buffer("offsets", torch.arange(len(STYLES)) * CLASSES, persistent=False)

    def forward(self, style: Tensor) -> Tensor:
        rows = (self.offsets + style - 1).clamp(min=0)
        is_set = (style != UNSPECIFIED)[..., None].to(self.weight.dtype)
        return (F.embedding(rows, self.weight) * is_set).sum(-2)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        # A checkpoint from before there were styles.
        state_dict.setdefault(prefix + "weight", torch.zeros_like(self.weight))
        super()._load_from_state_dict(state_dict, prefix, *others)


class PhonemeEncoder(nn.Module):
    """Encodes symbols with bounded right context.

    symbols [B, S] int64, stress [B, S] int64 in 0..2, voice [B, 192], style [B, 5] int64 or None
    -> encoded [B, S, width].

    Voice and style are added to every row, so the AR reads them with every symbol. Padding (symbol
    id -1) is set to zero before every convolution, so a padded batch gives the same rows as
    separate sequences.

    Args:
        width: of the rows.
        table: number of symbols.
        dropout: 0 to 1, in training only.
    """

    def __init__(self, width: int, table: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.voice = SpeakerConditioning(width)
        self.style = StyleConditioning(width)
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
        is_real = (symbols != PADDING)[..., None].to(self.symbols.weight.dtype)
        x = self.symbols(symbols.clamp(min=0)) + self.stress(stress)
        for norm, convolution in zip(self.norms, self.convolutions, strict=True):
            convolved = convolution((norm(x) * is_real).transpose(1, 2)).transpose(1, 2)
            x = x + F.dropout(F.gelu(convolved), self.dropout, self.training)
        x = self.out_norm(x) + self.voice(voice)[:, None]
        return x if style is None else x + self.style(style)[:, None]


def gather_rows(encoded: Tensor, frame_symbol: Tensor) -> Tensor:
    """Gather the encoded symbol of each frame: [B, S, width], [B, T] in 0..S-1 -> [B, T, width]."""
    index = frame_symbol[..., None].expand(-1, -1, encoded.shape[-1])
    return torch.gather(encoded, 1, index)
