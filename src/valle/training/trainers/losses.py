"""Spectral losses on waveforms at several resolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.audio.mel import mel_filters
from valle.audio_format import SAMPLE_RATE

_WINDOWS = (256, 512, 1024, 2048)
_MELS = (20, 40, 80, 160)


class SpectralLoss(nn.Module):
    """Decoded and target waveforms [B, N] -> (loss, mean log-mel distance, as a metric).

    L1 between log-mel spectra at four resolutions (as in DAC, Kumar et al. 2023, section 3.4) and
    between linear magnitudes (the spectral convergence of Yamamoto et al. 2020 without its square),
    which keeps harmonics sharp where mel bands are wide.

    Where a spectrum is unpredictable, the distance alone is minimized by one without randomness,
    which sounds metallic. So `decoded` may be two samples of each target [2 * B, N] that differ
    only in their noise: half of their mutual distance is subtracted (the generalized energy
    distance of Gritsenko et al. 2020, section 3), and the optimum is as random as speech.
    """

    def __init__(self) -> None:
        super().__init__()
        for window, mels in zip(_WINDOWS, _MELS, strict=True):
            self.register_buffer(f"window{window}", torch.hann_window(window), persistent=False)
            filters = torch.from_numpy(mel_filters(window // 2 + 1, mels, SAMPLE_RATE))
            self.register_buffer(f"filters{window}", filters, persistent=False)

    def forward(self, decoded: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """`decoded` [B or 2 * B, N], `target` [B, N] -> loss and log-mel distance, scalars."""
        noise_samples = len(decoded) // len(target)
        mel_loss = decoded.new_zeros(())
        magnitude_loss = decoded.new_zeros(())
        for size in _WINDOWS:
            target_magnitude, target_mel = self._spectra(target, size)
            magnitude, mel = self._spectra(decoded, size)
            mel_distance = functional.l1_loss(mel, target_mel.repeat(noise_samples, 1, 1))
            distance = functional.l1_loss(magnitude, target_magnitude.repeat(noise_samples, 1, 1))
            if noise_samples == 2:
                mel_distance = mel_distance - 0.5 * _mutual_distance(mel)
                distance = distance - 0.5 * _mutual_distance(magnitude)
            mel_loss = mel_loss + mel_distance
            magnitude_loss = magnitude_loss + distance / (target_magnitude.mean() + 1e-3)
        count = len(_WINDOWS)
        return (mel_loss + 0.5 * magnitude_loss) / count, mel_loss.detach() / count

    def _spectra(self, waveform: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Magnitudes [B, frames, bins] and log-mel spectra [B, frames, mels] of one resolution."""
        window = getattr(self, f"window{size}")
        spectrum = torch.stft(waveform, size, size // 4, size, window, return_complex=True)
        power = spectrum.real.square() + spectrum.imag.square()
        magnitudes = torch.sqrt(power + 1e-9).transpose(1, 2)
        return magnitudes, torch.log(magnitudes @ getattr(self, f"filters{size}") + 1e-4)


def _mutual_distance(spectra: Tensor) -> Tensor:
    """L1 distance between the first and the second half of a batch of spectra."""
    first, second = spectra.chunk(2)
    return functional.l1_loss(first, second)
