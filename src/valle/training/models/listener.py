"""The listener: a small phoneme recogniser over 20 ms frames, with two heads.

`ctc` says what is said (Graves et al. 2006); `frame` says which symbol each frame is at, which
aligns far better than CTC's peaks do. `ctc` is calibrated by a temperature (Guo et al. 2017).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from valle.training.models.convnext import ConvNeXt
from valle.training.models.features import FEATURES, LogMel

_KERNEL = 9


@dataclass(frozen=True)
class ListenerSize:
    """Shapes of a listener."""

    layers: int
    width: int


LISTENER_SIZES = {
    "debug": ListenerSize(1, 32),
    "default": ListenerSize(14, 192),
    "paper": ListenerSize(16, 512),
}


class Listener(nn.Module):
    """`waveform` [B, N] -> log-probabilities `ctc`, `frame` [B, N / HOP, classes]."""

    def __init__(self, size: ListenerSize, classes: int) -> None:
        super().__init__()
        self.features = LogMel()
        self.input = nn.Linear(FEATURES, size.width)
        self.input_norm = nn.LayerNorm(size.width)
        self.blocks = nn.ModuleList(ConvNeXt(size.width, _KERNEL) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.ctc = nn.Linear(size.width, classes)
        self.frame = nn.Linear(size.width, classes)
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        return self.from_features(centred(self.features(waveform)))

    def from_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same from centred log-mel features [B, T, FEATURES]."""
        ctc, frame = self.raw(features)
        return self.calibrated(ctc), frame.log_softmax(-1)

    def raw(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads, [B, T, classes] fp32, `ctc` as sure as training made it."""
        hidden = self.hidden(features)
        return self.ctc(hidden).float(), self.frame(hidden).float()

    def hidden(self, features: Tensor) -> Tensor:
        """What both heads read of centred features: [B, T, width], each row of unit variance."""
        hidden = self.input_norm(self.input(features))
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)

    def calibrated(self, ctc: Tensor) -> Tensor:
        """Logits [..., classes] of the CTC head as log-probabilities that can be believed."""
        return (ctc * torch.exp(-self.log_temperature)).log_softmax(-1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        # Weights from before it was calibrated.
        state_dict.setdefault(prefix + "log_temperature", torch.zeros(()))
        super()._load_from_state_dict(state_dict, prefix, *others)


def centred(features: Tensor, frames: Tensor | None = None) -> Tensor:
    """Features [B, T, FEATURES] less their mean over time: a recording's level and colour, which
    say nothing of its words. Of padded rows, the first `frames` [B] are real."""
    if frames is None:
        return features - features.mean(dim=1, keepdim=True)
    real = (torch.arange(features.shape[1], device=features.device) < frames[:, None])[..., None]
    mean = (features * real).sum(dim=1, keepdim=True) / frames[:, None, None]
    return (features - mean) * real
