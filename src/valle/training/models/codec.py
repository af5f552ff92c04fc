"""The codec: log-mel, ConvNeXt encoder, residual vector quantizer, ConvNeXt decoder, inverse STFT.

The decoder follows Vocos (Siuzdak 2023), the quantizer EnCodec (Défossez et al. 2022, section 3.2).
It differs from them in that the encoder reads log-mel frames, and the decoder is causal with a
fixed delay, so that streaming gives the same samples as decoding all codes at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.audio_format import HOP, SAMPLE_RATE
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.models.convnext import CausalConvNeXt, ConvNeXt
from valle.training.models.features import FEATURES, Fourier, LogMel
from valle.training.models.phonemes import SpeakerConditioning
from valle.training.models.quantizer import ResidualQuantizer

DELAY = 4  # frames between a frame's codes and its samples
_WINDOW = 4 * HOP
_BINS = _WINDOW // 2 + 1
# Noise lower down makes voices hoarse (docs/decisions/0007-decoder-training.md).
_NOISE_START = 3000 * _WINDOW // SAMPLE_RATE  # the first bin with noise
NOISE = 2 * (_BINS - _NOISE_START)  # Gaussian noise per frame: real and imaginary parts
_INITIAL_NOISE_GAIN = -2.0  # natural logarithm, relative to the magnitudes
_KERNEL = 7


@dataclass(frozen=True)
class CodecSize:
    """Dimensions of a codec."""

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
    """A causal decoder from quantized latents to samples, with a state for streaming.

    Predicted codes carry less of a voice than those of a recording; the speaker embedding makes up
    for part of it. Codes do not represent breath and frication noise: from 3 kHz on, the decoder
    predicts a noise gain for each bin of a frame's spectrum (the harmonic and noise parts of DDSP,
    Engel et al. 2020, section 3, in one spectrum). Noise below 3 kHz would make voices hoarse. The
    state holds the past that the causal convolutions and the overlap-add need; a stream starts with
    zeros. The samples returned with frame t belong to frame t - DELAY.
    """

    basis: Tensor

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        self.latent, self.width = size.latent, size.decoder_width
        self.input = nn.Linear(size.latent * _KERNEL, size.decoder_width)
        self.input_norm = nn.LayerNorm(size.decoder_width)
        self.voice = SpeakerConditioning(size.decoder_width)
        self.blocks = nn.ModuleList(
            CausalConvNeXt(size.decoder_width, _KERNEL) for _ in range(size.decoder_layers)
        )
        self.norm = nn.LayerNorm(size.decoder_width)
        self.output = nn.Linear(size.decoder_width, 2 * _BINS)
        self.spread = nn.Linear(size.decoder_width, _BINS - _NOISE_START)
        with torch.no_grad():
            self.spread.weight.copy_(self.output.weight[_NOISE_START:_BINS])
            self.spread.bias.copy_(self.output.bias[_NOISE_START:_BINS] + _INITIAL_NOISE_GAIN)
        self.fourier = Fourier(_WINDOW)
        self.register_buffer("basis", self._basis(), persistent=False)
        self.context = _KERNEL - 1
        self.sizes = [self.context * self.latent]
        self.sizes += [self.context * self.width] * len(self.blocks)
        self.sizes += [3 * _WINDOW]

    def _basis(self) -> Tensor:
        """Inverse DFT, synthesis window and overlap normalization as one matrix.

        The overlap-add of Hann windows at a hop of a quarter sums to 2; there is no analysis
        window, with which it would be 1.5.
        """
        angles, bins = self.fourier.angles(), self.fourier.bins
        edge = bins % (_WINDOW // 2) == 0  # the first and the last bin have no mirror image
        scale = torch.where(edge, 1.0, 2.0)[:, None] * self.fourier.hann() / (2.0 * _WINDOW)
        return torch.cat([scale * torch.cos(angles), -scale * torch.sin(angles)])

    @property
    def state_size(self) -> int:
        """Number of values in the state of a stream."""
        return sum(self.sizes)

    def forward(
        self, latents: Tensor, state: Tensor, voice: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode some frames of a stream.

        Args:
            latents: quantized [B, T, latent].
            state: of the stream [B, state_size]; zeros start it.
            voice: speaker embedding [B, 192]; zeros for the codes of a recording.
            noise: Gaussian [B, T, NOISE].

        Returns:
            Samples [B, T * HOP] and the next state.
        """
        past = torch.split(state, self.sizes, dim=1)
        hidden, next_past = self.hidden(latents, past[:-1], voice)
        samples, windows = self.synthesize(hidden, past[-1], noise)
        return samples, torch.cat([*next_past, windows], dim=1)

    def hidden(
        self, latents: Tensor, past: Sequence[Tensor], voice: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Run the network without noise and synthesis.

        Returns:
            Rows [B, T, width], and the past for the next call.
        """
        batch, frames = latents.shape[0], latents.shape[1]
        rows = torch.cat([past[0].reshape(batch, self.context, self.latent), latents], dim=1)
        next_past = [rows[:, -self.context :].reshape(batch, -1)]
        taps = [rows[:, k : k + frames] for k in range(_KERNEL)]
        hidden = self.input_norm(self.input(torch.cat(taps, dim=-1)))
        hidden = hidden + self.voice(voice)[:, None]
        for block, before in zip(self.blocks, past[1:], strict=True):
            hidden, after = block(hidden, before.reshape(batch, self.context, self.width))
            next_past.append(after.reshape(batch, -1))
        return self.norm(hidden), next_past

    def synthesize(self, hidden: Tensor, past: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Samples [B, T * HOP] by inverse STFT, and the windows that overlap the next frames."""
        batch, frames = hidden.shape[0], hidden.shape[1]
        magnitude, phase = self.output(hidden).float().chunk(2, dim=-1)
        magnitude = torch.exp(magnitude.clamp(max=6.0))
        noise_gain = torch.exp(self.spread(hidden).float().clamp(max=6.0))
        shaped = [
            functional.pad(noise_gain * part, (_NOISE_START, 0)) for part in noise.chunk(2, dim=-1)
        ]
        parts = magnitude * torch.cos(phase) + shaped[0], magnitude * torch.sin(phase) + shaped[1]
        spectrum = torch.cat(parts, dim=-1)
        basis = self._basis() if torch.onnx.is_in_onnx_export() else self.basis
        windows = torch.cat([past.reshape(batch, 3, _WINDOW), spectrum @ basis], dim=1)
        # Overlap-add: a hop of output sums the last quarter of the window three frames back, the
        # third quarter of that two frames back, and so on.
        hops = [windows[:, 3 - k : 3 - k + frames, k * HOP : (k + 1) * HOP] for k in range(4)]
        samples = (hops[0] + hops[1] + hops[2] + hops[3]).reshape(batch, frames * HOP)
        return samples, windows[:, -3:].reshape(batch, -1)


class Codec(nn.Module):
    """Encoder, quantizer and decoder."""

    def __init__(self, size: CodecSize) -> None:
        super().__init__()
        self.size = size
        self.encoder = Encoder(size)
        self.quantiser = ResidualQuantizer(size.codebooks, size.codebook_size, size.latent)
        self.decoder = Decoder(size)

    def encode(self, waveform: Tensor) -> Tensor:
        """`waveform` [B, N] -> codes [B, N / HOP, codebooks]."""
        return self.quantiser.encode(self.encoder(waveform))

    def decode_latents(
        self, latents: Tensor, voice: Tensor | None = None, noise_samples: int = 1
    ) -> Tensor:
        """Decode without a stream, with the delay removed.

        Args:
            latents: quantized [B, T, latent].
            voice: speaker embedding [B, 192]; None: zeros.
            noise_samples: how many times to decode, with different noise.

        Returns:
            [noise_samples * B, T * HOP].
        """
        padded = functional.pad(latents, (0, 0, 0, DELAY))
        state = latents.new_zeros(len(latents), self.decoder.state_size)
        if voice is None:
            voice = latents.new_zeros(len(latents), EMBEDDING_DIM)
        past = torch.split(state, self.decoder.sizes, dim=1)
        hidden, _ = self.decoder.hidden(padded, past[:-1], voice)
        hidden, windows = hidden.repeat(noise_samples, 1, 1), past[-1].repeat(noise_samples, 1)
        noise = torch.randn(*hidden.shape[:2], NOISE, device=hidden.device)
        samples, _ = self.decoder.synthesize(hidden, windows, noise)
        return samples[:, DELAY * HOP :]

    def decode(self, codes: Tensor, voice: Tensor | None = None) -> Tensor:
        """Codes [B, T, codebooks], voice [B, 192] -> waveform [B, T * HOP].

        A code of `codebook_size` stands for no code.
        """
        return self.decode_latents(self.quantiser.decode(codes), voice)
