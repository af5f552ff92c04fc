"""What tells made waveforms from real ones while the codec learns.

Multi-period (HiFi-GAN, Kong et al. 2020, section 2.3) and multi-resolution on complex spectra
(EnCodec, Défossez et al. 2022, section 3.4), both with few channels: on a CPU the judges would
otherwise cost several times what the codec does.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

_PERIODS = (2, 3, 5, 7, 11)
_WINDOWS = (256, 512, 1024)
_SLOPE = 0.1

Judged = tuple[list[Tensor], list[Tensor]]  # scores, and the layers' features for matching


class PeriodDiscriminator(nn.Module):
    """Waveform [B, N] folded to [B, 1, N / period, period]: sees every period-th sample."""

    def __init__(self, period: int, channels: int) -> None:
        super().__init__()
        self.period = period
        widths = (1, channels, 2 * channels, 4 * channels, 8 * channels)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (5, 1), (3, 1), (2, 0)))
            for before, after in pairwise(widths)
        )
        self.score = weight_norm(nn.Conv2d(widths[-1], 1, (3, 1), padding=(1, 0)))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        whole = waveform.shape[1] // self.period * self.period
        hidden = waveform[:, :whole].reshape(len(waveform), 1, -1, self.period)
        features = []
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), _SLOPE)
            features.append(hidden)
        return self.score(hidden), features


class SpectrumDiscriminator(nn.Module):
    """Complex short-time spectrum of a waveform [B, N] as an image of two channels."""

    window: Tensor

    def __init__(self, window: int, channels: int) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(window), persistent=False)
        strides = (1, 2, 2, 2)  # along frequency
        widths = (2, channels, channels, channels, channels)
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(before, after, (3, 7), (1, stride), (1, 3)))
            for (before, after), stride in zip(pairwise(widths), strides, strict=True)
        )
        self.score = weight_norm(nn.Conv2d(channels, 1, 3, padding=1))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        size = len(self.window)
        spectrum = torch.stft(
            waveform, size, size // 4, size, self.window, normalized=True, return_complex=True
        )
        hidden = torch.view_as_real(spectrum).permute(0, 3, 2, 1)  # [B, 2, frames, bins]
        # Spectra of speech fall by many decades: a root makes the quiet parts count too.
        power = hidden.square().sum(dim=1, keepdim=True)
        hidden = hidden * (power + 1e-6).pow(-0.25)
        features = []
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), _SLOPE)
            features.append(hidden)
        return self.score(hidden), features


class Discriminators(nn.Module):
    """All of them: waveform [B, N] -> scores (real is 1, made 0) and features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, channels) for period in _PERIODS),
                *(SpectrumDiscriminator(window, channels // 2) for window in _WINDOWS),
            ]
        )

    def forward(self, waveform: Tensor) -> Judged:
        scores, features = [], []
        for part in self.parts:
            score, found = part(waveform)
            scores.append(score.float())
            features += found
        return scores, features


def judge_loss(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Least squares (Mao et al. 2017): real is to score 1, made 0; mean over the judges."""
    losses = [
        (1.0 - r).square().mean() + m.square().mean() for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(losses).mean()


def maker_loss(made: list[Tensor]) -> Tensor:
    """What is made is to score 1; mean over the judges."""
    return torch.stack([(1.0 - score).square().mean() for score in made]).mean()


def matching_loss(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Distance of the judges' features, relative to the real ones' size; mean over layers."""
    losses = [
        (r.float() - m.float()).abs().mean() / (r.float().abs().mean() + 1e-6)
        for r, m in zip(real, made, strict=True)
    ]
    return torch.stack(losses).mean()
