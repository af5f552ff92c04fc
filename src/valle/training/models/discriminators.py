"""Discriminators for adversarial training of the codec, and their losses.

Multi-period (HiFi-GAN, Kong et al. 2020, section 2.3) and multi-resolution on complex spectra
(EnCodec, Défossez et al. 2022, section 3.4), both with few channels: on a CPU the discriminators
would otherwise cost several times as much as the codec.
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

Discrimination = tuple[list[Tensor], list[Tensor]]  # scores, and the features of the layers


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
        # Speech spectra span many decades: the root gives quiet parts some weight.
        power = hidden.square().sum(dim=1, keepdim=True)
        hidden = hidden * (power + 1e-6).pow(-0.25)
        features = []
        for layer in self.layers:
            hidden = functional.leaky_relu(layer(hidden), _SLOPE)
            features.append(hidden)
        return self.score(hidden), features


class Discriminators(nn.Module):
    """All discriminators: waveform [B, N] -> scores (real is 1, generated 0) and features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            [
                *(PeriodDiscriminator(period, channels) for period in _PERIODS),
                *(SpectrumDiscriminator(window, channels // 2) for window in _WINDOWS),
            ]
        )

    def forward(self, waveform: Tensor) -> Discrimination:
        scores, features = [], []
        for part in self.parts:
            score, part_features = part(waveform)
            scores.append(score.float())
            features += part_features
        return scores, features


def discriminator_loss(real: list[Tensor], generated: list[Tensor]) -> Tensor:
    """Least-squares loss (Mao et al. 2017): target 1 if real, 0 if generated; mean over all."""
    losses = [
        (1.0 - r).square().mean() + g.square().mean() for r, g in zip(real, generated, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(generated: list[Tensor]) -> Tensor:
    """Adversarial loss of the generator, whose target is 1; mean over all discriminators."""
    return torch.stack([(1.0 - score).square().mean() for score in generated]).mean()


def feature_matching_loss(real: list[Tensor], generated: list[Tensor]) -> Tensor:
    """L1 distance of the features relative to the magnitude of the real ones; mean over layers."""
    losses = [
        (r.float() - g.float()).abs().mean() / (r.float().abs().mean() + 1e-6)
        for r, g in zip(real, generated, strict=True)
    ]
    return torch.stack(losses).mean()
