"""The detector of synthetic speech: bona fide, resynthesized or synthetic, for each second.

Two-dimensional convolutions over a linear log spectrogram (artifacts of synthesis look alike at
many frequencies), then ConvNeXt blocks over time. It is calibrated by temperatures (Guo et al.
2017), one for single seconds and one for the mean over a recording, on held-out speakers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from valle.detection.detector import KINDS
from valle.training.models.convnext import ConvNeXt, ConvNeXtSize
from valle.training.models.features import BINS, LogSpectrum

_KERNEL = 7
_CHANNELS = 8, 12  # of the two convolutions over frequency and time
_FRAMES = 50  # per second, after the convolutions


DETECTOR_SIZES = {
    "debug": ConvNeXtSize(1, 16),
    "default": ConvNeXtSize(4, 96),
    "paper": ConvNeXtSize(8, 256),
}


class Detector(nn.Module):
    """`waveform` [B, N], N whole seconds -> calibrated logits `seconds` [B, S, 3], `whole` [B, 3].

    The classes are those of `valle.detection.detector.KINDS`, in their order.
    """

    def __init__(self, size: ConvNeXtSize) -> None:
        super().__init__()
        self.features = LogSpectrum()
        first, second = _CHANNELS
        self.fine = nn.Conv2d(1, first, (3, 5), stride=2, padding=(1, 2))
        self.coarse = nn.Conv2d(first, second, 3, stride=(1, 2), padding=1)
        self.input = nn.Linear(second * ((BINS + 3) // 4), size.width)
        self.input_norm = nn.LayerNorm(size.width)
        self.blocks = nn.ModuleList(ConvNeXt(size.width, _KERNEL) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.output = nn.Linear(size.width, len(KINDS))
        self.log_temperature = nn.Parameter(torch.zeros(2))  # of single seconds, and of the mean

    def raw(self, waveform: Tensor) -> Tensor:
        """Logits of each second [B, S, 3] before calibration."""
        spectrum = self.features(waveform)[:, None]
        hidden = nn.functional.relu(self.fine(spectrum))
        hidden = nn.functional.relu(self.coarse(hidden))
        hidden = self.input_norm(self.input(hidden.transpose(1, 2).flatten(2)))
        for block in self.blocks:
            hidden = block(hidden)
        logits = self.output(self.norm(hidden))
        return logits.reshape(logits.shape[0], -1, _FRAMES, len(KINDS)).mean(dim=2)

    def calibrated(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Calibrated logits `seconds` [B, S, 3] and `whole` [B, 3] from raw ones [B, S, 3]."""
        scale = torch.exp(-self.log_temperature)
        return raw * scale[0], raw.mean(dim=1) * scale[1]

    def forward(self, waveform: Tensor) -> tuple[Tensor, Tensor]:
        return self.calibrated(self.raw(waveform))
