"""The speaker encoder: a recording to a unit vector that identifies its voice.

ConvNeXt over log-mel frames and attentive statistics pooling (Okabe et al. 2018), with one
attention per channel that also reads statistics of the whole recording (ECAPA-TDNN, Desplanques et
al. 2020, section 3.2). Trained with an additive angular margin (Deng et al. 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.models.convnext import ConvNeXtEncoder, ConvNeXtSize

_KERNEL = 5


SPEAKER_SIZES = {
    "debug": ConvNeXtSize(1, 32),
    "default": ConvNeXtSize(4, 192),
    "paper": ConvNeXtSize(6, 384),
}


class SpeakerEncoder(ConvNeXtEncoder):
    """`waveform` [B, N] -> embedding [B, EMBEDDING_DIM] of unit length."""

    def __init__(self, size: ConvNeXtSize) -> None:
        super().__init__(size, _KERNEL)
        self.attention = nn.Sequential(
            nn.Linear(3 * size.width, 64), nn.Tanh(), nn.Linear(64, size.width)
        )
        self.output = nn.Linear(2 * size.width, EMBEDDING_DIM)

    def forward(self, waveform: Tensor) -> Tensor:
        features = self.features(waveform)
        # The level and the spectral shape of the channel are not part of the voice.
        hidden = self.hidden(features - features.mean(dim=1, keepdim=True))
        uniform = torch.full_like(hidden, 1.0 / hidden.shape[1])
        global_statistics = torch.cat(_statistics(hidden, uniform), -1)
        context = global_statistics[:, None].expand(-1, hidden.shape[1], -1)
        weight = self.attention(torch.cat([hidden, context], dim=-1)).softmax(dim=1)
        pooled = torch.cat(_statistics(hidden, weight), dim=-1)
        return functional.normalize(self.output(pooled), dim=-1)


def _statistics(hidden: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of `hidden` [B, T, width] over time, [B, width] each."""
    mean = (weight * hidden).sum(dim=1)
    variance = (weight * hidden.square()).sum(dim=1) - mean.square()
    return mean, torch.sqrt(variance.clamp(min=1e-5))
