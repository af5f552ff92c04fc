"""Losses on waveforms: log-mel and log-magnitude distances at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.training.features import SAMPLE_RATE, mel_filters

_WINDOWS = (256, 512, 1024, 2048)
_MELS = (20, 40, 80, 160)


class SpectralLoss(nn.Module):
    """Two waveforms [B, N] -> (loss, mean log-mel distance), the second for watching.

    L1 between log-mel spectra at four resolutions (as in DAC, Kumar et al. 2023, section 3.4) and
    between linear magnitudes (the spectral convergence of Yamamoto et al. 2020 without its square),
    which keeps harmonics sharp where mel bands are wide.
    """

    def __init__(self) -> None:
        super().__init__()
        for window, mels in zip(_WINDOWS, _MELS, strict=True):
            self.register_buffer(f"window{window}", torch.hann_window(window), persistent=False)
            filters = mel_filters(window // 2 + 1, mels, SAMPLE_RATE)
            self.register_buffer(f"filters{window}", filters, persistent=False)

    def forward(self, made: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        mel_loss = made.new_zeros(())
        magnitude_loss = made.new_zeros(())
        for size in _WINDOWS:
            window = getattr(self, f"window{size}")
            filters = getattr(self, f"filters{size}")
            spectra = []
            for waveform in (made, wanted):
                spectrum = torch.stft(waveform, size, size // 4, size, window, return_complex=True)
                power = spectrum.real.square() + spectrum.imag.square()
                spectra.append(torch.sqrt(power + 1e-9).transpose(1, 2))
            one, other = spectra
            mel_loss = mel_loss + functional.l1_loss(
                torch.log(one @ filters + 1e-4), torch.log(other @ filters + 1e-4)
            )
            magnitude_loss = magnitude_loss + (one - other).abs().mean() / (other.mean() + 1e-3)
        count = len(_WINDOWS)
        return (mel_loss + 0.5 * magnitude_loss) / count, mel_loss.detach() / count
