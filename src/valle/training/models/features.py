"""Log-mel features that export to ONNX: framing and Fourier transform as matrix products."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from valle.audio.mel import mel_filters
from valle.audio_format import HOP, SAMPLE_RATE

MELS = 80
_STEP = 160  # two feature vectors per codec frame, for a time resolution of 10 ms
_WINDOW = 512
FEATURES = MELS * (HOP // _STEP)
BINS = _WINDOW // 2 + 1


class Fourier(nn.Module):
    """Constants of a Fourier transform, computed from two small buffers.

    An exported graph then has these operations instead of tables of megabytes.
    """

    bins: Tensor
    times: Tensor

    def __init__(self, window: int) -> None:
        super().__init__()
        self.register_buffer("bins", torch.arange(window // 2 + 1))
        self.register_buffer("times", torch.arange(window))
        self.radians_per_step = 2.0 * math.pi / window
        self.window = window

    def angles(self) -> Tensor:
        """Radians of bin k at sample n, [bins, window]: 2 pi k n / window.

        Reduced modulo the window as integers, so that fp32 keeps its full precision.
        """
        return ((self.bins[:, None] * self.times) % self.window).float() * self.radians_per_step

    def hann(self) -> Tensor:
        """The periodic Hann window [window]."""
        return 0.5 - 0.5 * torch.cos(self.times.float() * self.radians_per_step)


class Power(nn.Module):
    """Power spectra of 10 ms steps, each with a Hann window of 32 ms centered on it."""

    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.fourier = Fourier(_WINDOW)
        self.register_buffer("basis", self._basis(), persistent=False)

    def _basis(self) -> Tensor:
        """Window and Fourier transform: [window, 2 * bins], the real parts first."""
        angles = self.fourier.angles().T
        hann = self.fourier.hann()[:, None]
        return hann * torch.cat([torch.cos(angles), torch.sin(angles)], dim=1)

    def power(self, waveform: Tensor) -> Tensor:
        """`waveform` [B, N], N a multiple of 160 -> power spectra [B, N / 160, BINS]."""
        side = (_WINDOW - _STEP) // 2
        batch = waveform.shape[0]
        # A window is 512 = 3.2 steps long: frames are cut out of four concatenated steps.
        steps = nn.functional.pad(waveform, (side, side + 4 * _STEP - _WINDOW)).reshape(
            batch, -1, _STEP
        )
        frames = torch.cat([steps[:, :-3], steps[:, 1:-2], steps[:, 2:-1], steps[:, 3:]], dim=-1)
        basis = self._basis() if torch.onnx.is_in_onnx_export() else self.basis
        spectrum = frames[..., :_WINDOW] @ basis
        real, imaginary = spectrum.chunk(2, dim=-1)
        return real.square() + imaginary.square()


class LogMel(Power):
    """`waveform` [B, N], N a multiple of HOP -> log-mel features [B, N / HOP, FEATURES].

    The features of a codec frame are those of its two 10 ms halves, scaled to about [-2, 2].
    """

    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = torch.from_numpy(mel_filters(BINS, MELS, SAMPLE_RATE))
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        mel = self.power(waveform) @ self.filters
        # +1e-5 keeps digital silence finite; speech is scaled to about zero mean, unit variance.
        scaled = (torch.log(mel + 1e-5) + 2.0) / 4.0
        return scaled.reshape(waveform.shape[0], -1, FEATURES)


class LogSpectrum(Power):
    """`waveform` [B, N], N a multiple of 160 -> log spectra [B, N / 160, BINS].

    Bins of 31 Hz instead of mel bands, since artifacts of synthesis are finer than those. The level
    is normalized, and the mean of every bin over time is subtracted (spectral shape).
    """

    def forward(self, waveform: Tensor) -> Tensor:
        level = torch.sqrt(waveform.square().mean(dim=1, keepdim=True) + 1e-12)
        # The floor is about 50 dB below the mean, the noise level of pauses in most recordings.
        spectrum = torch.log(self.power(waveform / level) + 1e-3) / 4.0
        return spectrum - spectrum.mean(dim=1, keepdim=True)
