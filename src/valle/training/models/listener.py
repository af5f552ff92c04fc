"""The listener: a small phoneme recognizer over 20 ms frames, with two heads.

`ctc` recognizes the phoneme sequence (Graves et al. 2006); `frame` classifies the symbol of each
frame, which aligns far better than the peaks of CTC. `ctc` is calibrated by a temperature (Guo et
al. 2017).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from valle.training.models.convnext import ConvNeXtEncoder, ConvNeXtSize

_KERNEL = 9


LISTENER_SIZES = {
    "debug": ConvNeXtSize(1, 32),
    "default": ConvNeXtSize(14, 192),
    "paper": ConvNeXtSize(16, 512),
}


class Listener(ConvNeXtEncoder):
    """`waveform` [B, N] -> log-probabilities `ctc`, `frame` [B, N / HOP, classes]."""

    def __init__(self, size: ConvNeXtSize, classes: int) -> None:
        super().__init__(size, _KERNEL)
        self.ctc = nn.Linear(size.width, classes)
        self.frame = nn.Linear(size.width, classes)
        self.log_temperature = nn.Parameter(torch.zeros(()))

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        """`waveform` [B, N] -> log-probabilities of both heads [B, N / HOP, classes]."""
        return self.from_features(center_features(self.features(waveform)))

    def from_features(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The same from centered log-mel features [B, T, FEATURES]."""
        ctc, frame = self.raw(features)
        return self.calibrated(ctc), frame.log_softmax(-1)

    def raw(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of both heads [B, T, classes] in fp32, `ctc` before calibration."""
        hidden = self.hidden(features)
        return self.ctc(hidden).float(), self.frame(hidden).float()

    def calibrated(self, ctc: Tensor) -> Tensor:
        """Calibrated log-probabilities of the CTC head's logits [..., classes]."""
        return (ctc * torch.exp(-self.log_temperature)).log_softmax(-1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *others: Any) -> None:
        # A checkpoint from before there was a temperature.
        state_dict.setdefault(prefix + "log_temperature", torch.zeros(()))
        super()._load_from_state_dict(state_dict, prefix, *others)


def center_features(features: Tensor, frames: Tensor | None = None) -> Tensor:
    """Subtract the mean over time, which is a recording's level and spectral shape.

    Args:
        features: [B, T, FEATURES].
        frames: how many frames of each item are not padding [B]; None: all.
    """
    if frames is None:
        return features - features.mean(dim=1, keepdim=True)
    real = (torch.arange(features.shape[1], device=features.device) < frames[:, None])[..., None]
    mean = (features * real).sum(dim=1, keepdim=True) / frames[:, None, None]
    return (features - mean) * real
