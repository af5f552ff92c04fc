"""The codec: log-mel, ConvNeXt encoder, residual vector quantiser, ConvNeXt decoder, inverse STFT.

Sources: Vocos (Siuzdak 2023) for the decoder's form, EnCodec (Défossez et al. 2022, section 3.2)
for the quantiser. Where it departs from them: the encoder reads log-mel frames, and the decoder is
strictly causal with a fixed delay, so that a stream of codes gives the same samples as the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.runtime.speaker_encoder import EMBEDDING
from valle.training.models.convnext import CausalConvNeXt, ConvNeXt
from valle.training.models.features import FEATURES, HOP, SAMPLE_RATE, Fourier, LogMel
from valle.training.models.phonemes import VoiceInput
from valle.training.models.quantizer import ResidualQuantiser

DELAY = 4  # frames; the decoder's samples for a frame leave it this many frames later
_WINDOW = 4 * HOP
_BINS = _WINDOW // 2 + 1
_HISS = 3000 * _WINDOW // SAMPLE_RATE  # the first bin with noise
NOISE = 2 * (_BINS - _HISS)  # numbers a frame: real and imaginary parts
_SPREAD = -2.0  # at the beginning: so much less noise than the rest, as a logarithm
_KERNEL = 7


@dataclass(frozen=True)
class CodecSize:
    """Shapes of a codec."""

    encoder_layers: int
    encoder_width: int
    decoder_layers: int
    decoder_width: int
    latent: int = 64
    codebooks: int = 8
    codebook_size: int = 1024


CODEC_SIZES = {
    "debug": CodecSize(1, 32, 1, 32, latent=16),
    "default": CodecSize(5, 256, 10, 320),
    "paper": CodecSize(8, 384, 8, 512),
}


class Encoder(nn.Module):
    """`waveform` [B, N] -> latents [B, N / HOP, latent]."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        self.features = LogMel()
        self.input = nn.Linear(FEATURES, size.encoder_width)
        self.blocks = nn.ModuleList(
            ConvNeXt(size.encoder_width, _KERNEL) for _ in range(size.encoder_layers)
        )
        self.norm = nn.LayerNorm(size.encoder_width)
        self.output = nn.Linear(size.encoder_width, size.latent)

    def forward(self, waveform: Tensor) -> Tensor:
        hidden = self.input(self.features(waveform))
        for block in self.blocks:
            hidden = block(hidden)
        latents: Tensor = self.output(self.norm(hidden))
        return latents


class Decoder(nn.Module):
    """Quantised latents [B, T, latent], a state [B, state_size], the voice that they were made in,
    [B, 192] (zeros: nobody's, as of a recording), and normal noise [B, T, NOISE] -> samples and the
    next state.

    What a model says lacks much of what a recording's codes tell of a voice; its embedding makes up
    for some of it. Breath and hiss are nowhere in the codes: from 3 kHz on each bin of a frame's
    spectrum has so much of the noise as the decoder asks for (the harmonic and noise parts of DDSP,
    Engel et al. 2020, section 3, in one spectrum). Below, it would make voices hoarse
    (docs/LOG.md). The state holds what the causal convolutions and the overlap-add still need of
    the past; zeros begin a stream. The samples returned for frame t belong to frame t - DELAY.
    """

    basis: Tensor

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        self.latent, self.width = size.latent, size.decoder_width
        self.input = nn.Linear(size.latent * _KERNEL, size.decoder_width)
        self.input_norm = nn.LayerNorm(size.decoder_width)
        self.voice = VoiceInput(size.decoder_width)
        self.blocks = nn.ModuleList(
            CausalConvNeXt(size.decoder_width, _KERNEL) for _ in range(size.decoder_layers)
        )
        self.norm = nn.LayerNorm(size.decoder_width)
        self.output = nn.Linear(size.decoder_width, 2 * _BINS)
        self.spread = nn.Linear(size.decoder_width, _BINS - _HISS)
        with torch.no_grad():
            self.spread.weight.copy_(self.output.weight[_HISS:_BINS])
            self.spread.bias.copy_(self.output.bias[_HISS:_BINS] + _SPREAD)
        self.fourier = Fourier(_WINDOW)
        self.register_buffer("basis", self._basis(), persistent=False)
        self.context = _KERNEL - 1
        self.sizes = [self.context * self.latent]
        self.sizes += [self.context * self.width] * len(self.blocks)
        self.sizes += [3 * _WINDOW]

    def _basis(self) -> Tensor:
        """Inverse DFT, synthesis window and the overlap's constant sum (1.5 for Hann squared at a
        quarter hop; the network has no analysis window, so 2 for Hann alone) in one matrix."""
        angles, bins = self.fourier.angles(), self.fourier.bins
        edge = bins % (_WINDOW // 2) == 0  # the first and the last bin count once
        scale = torch.where(edge, 1.0, 2.0)[:, None] * self.fourier.hann() / (2.0 * _WINDOW)
        return torch.cat([scale * torch.cos(angles), -scale * torch.sin(angles)])

    @property
    def state_size(self) -> int:
        return sum(self.sizes)

    def forward(
        self, latents: Tensor, state: Tensor, voice: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        past = torch.split(state, self.sizes, dim=1)
        hidden, kept = self.hidden(latents, past[:-1], voice)
        samples, windows = self.sound(hidden, past[-1], noise)
        return samples, torch.cat([*kept, windows], dim=1)

    def hidden(
        self, latents: Tensor, past: Sequence[Tensor], voice: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """All but the noise and the sound: rows [B, T, width], and what is kept of the past."""
        batch, frames = latents.shape[0], latents.shape[1]
        rows = torch.cat([past[0].reshape(batch, self.context, self.latent), latents], dim=1)
        kept = [rows[:, -self.context :].reshape(batch, -1)]
        taps = [rows[:, k : k + frames] for k in range(_KERNEL)]
        hidden = self.input_norm(self.input(torch.cat(taps, dim=-1)))
        hidden = hidden + self.voice(voice)[:, None]
        for block, before in zip(self.blocks, past[1:], strict=True):
            hidden, after = block(hidden, before.reshape(batch, self.context, self.width))
            kept.append(after.reshape(batch, -1))
        return self.norm(hidden), kept

    def sound(self, hidden: Tensor, past: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, T * HOP] of rows with noise, and the windows that overlap what comes next."""
        batch, frames = hidden.shape[0], hidden.shape[1]
        magnitude, phase = self.output(hidden).float().chunk(2, dim=-1)
        magnitude = torch.exp(magnitude.clamp(max=6.0))
        spread = torch.exp(self.spread(hidden).float().clamp(max=6.0))
        hiss = [functional.pad(spread * part, (_HISS, 0)) for part in noise.chunk(2, dim=-1)]
        parts = magnitude * torch.cos(phase) + hiss[0], magnitude * torch.sin(phase) + hiss[1]
        spectrum = torch.cat(parts, dim=-1)
        basis = self._basis() if torch.onnx.is_in_onnx_export() else self.basis
        windows = torch.cat([past.reshape(batch, 3, _WINDOW), spectrum @ basis], dim=1)
        # Overlap-add: a hop of output is the last quarter of the window three frames back, the
        # third of two back, and so on.
        hops = [windows[:, 3 - k : 3 - k + frames, k * HOP : (k + 1) * HOP] for k in range(4)]
        samples = (hops[0] + hops[1] + hops[2] + hops[3]).reshape(batch, frames * HOP)
        return samples, windows[:, -3:].reshape(batch, -1)


class Codec(nn.Module):
    """Encoder, quantiser and decoder together; `size` fixes the shapes."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        self.size = size
        self.encoder = Encoder(size)
        self.quantiser = ResidualQuantiser(size.codebooks, size.codebook_size, size.latent)
        self.decoder = Decoder(size)

    def encode(self, waveform: Tensor) -> Tensor:
        """`waveform` [B, N] -> codes [B, N / HOP, codebooks]."""
        return self.quantiser.encode(self.encoder(waveform))

    def decode_latents(
        self, latents: Tensor, voice: Tensor | None = None, takes: int = 1
    ) -> Tensor:
        """Quantised latents [B, T, latent], voice [B, 192] -> waveform [takes * B, T * HOP], delay
        taken out: several takes differ in their noise alone."""
        padded = functional.pad(latents, (0, 0, 0, DELAY))
        state = latents.new_zeros(len(latents), self.decoder.state_size)
        if voice is None:
            voice = latents.new_zeros(len(latents), EMBEDDING)
        past = torch.split(state, self.decoder.sizes, dim=1)
        hidden, _ = self.decoder.hidden(padded, past[:-1], voice)
        hidden, windows = hidden.repeat(takes, 1, 1), past[-1].repeat(takes, 1)
        noise = torch.randn(*hidden.shape[:2], NOISE, device=hidden.device)
        samples, _ = self.decoder.sound(hidden, windows, noise)
        return samples[:, DELAY * HOP :]

    def decode(self, codes: Tensor, voice: Tensor | None = None) -> Tensor:
        """Codes [B, T, codebooks], voice [B, 192] -> waveform [B, T * HOP]; a code of codebook_size
        is left out."""
        return self.decode_latents(self.quantiser.decode(codes), voice)
