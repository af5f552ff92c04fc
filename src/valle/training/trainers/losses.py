"""Losses on waveforms: log-mel and log-magnitude distances at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.audio.mel import mel_filters
from valle.training.models.features import SAMPLE_RATE

_WINDOWS = (256, 512, 1024, 2048)
_MELS = (20, 40, 80, 160)


class SpectralLoss(nn.Module):
    """Waveforms [B, N], made and wanted -> (loss, mean log-mel distance, for watching).

    L1 between log-mel spectra at four resolutions (as in DAC, Kumar et al. 2023, section 3.4) and
    between linear magnitudes (the spectral convergence of Yamamoto et al. 2020 without its square),
    which keeps harmonics sharp where mel bands are wide.

    Where nobody can know a spectrum, its distance to what was recorded is the least for one without
    any chance in it, which sounds like metal. So `made` may be two takes of each [2 * B, N] that
    differ in chance alone: half of their distance from each other is taken off (the generalized
    energy distance of Gritsenko et al. 2020, section 3), and then it is best to be as random as
    speech is.
    """

    def __init__(self) -> None:
        super().__init__()
        for window, mels in zip(_WINDOWS, _MELS, strict=True):
            self.register_buffer(f"window{window}", torch.hann_window(window), persistent=False)
            filters = torch.from_numpy(mel_filters(window // 2 + 1, mels, SAMPLE_RATE))
            self.register_buffer(f"filters{window}", filters, persistent=False)

    def forward(self, made: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        takes = len(made) // len(wanted)
        mel_loss = made.new_zeros(())
        magnitude_loss = made.new_zeros(())
        for size in _WINDOWS:
            real, real_mel = self._spectra(wanted, size)
            found, found_mel = self._spectra(made, size)
            mel = functional.l1_loss(found_mel, real_mel.repeat(takes, 1, 1))
            magnitude = functional.l1_loss(found, real.repeat(takes, 1, 1))
            if takes == 2:
                mel = mel - 0.5 * _apart(found_mel)
                magnitude = magnitude - 0.5 * _apart(found)
            mel_loss = mel_loss + mel
            magnitude_loss = magnitude_loss + magnitude / (real.mean() + 1e-3)
        count = len(_WINDOWS)
        return (mel_loss + 0.5 * magnitude_loss) / count, mel_loss.detach() / count

    def _spectra(self, waveform: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Magnitudes [B, frames, bins] and log-mel spectra [B, frames, mels] of one resolution."""
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(waveform, size, size // 4, size, window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        magnitudes = torch.sqrt(power + 1e-9).transpose(1, 2)
        return magnitudes, torch.log(magnitudes @ getattr(self, f"filters{size}") + 1e-4)


def _apart(takes: Tensor) -> Tensor:
    one, other = takes.chunk(2)
    return functional.l1_loss(one, other)
