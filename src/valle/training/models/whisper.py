"""Whisper's audio encoder, frozen, whose features perceptual losses compare.

Source: Radford et al. 2022, "Robust speech recognition via large-scale weak supervision", section
2.2. The weights are read from a faster-whisper model, so nothing is downloaded. Unlike Whisper, the
encoder does not pad excerpts to 30 s.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.audio_format import SAMPLE_RATE
from valle.errors import UsageError

_WINDOW, _STEP, _MELS = 400, 160, 80  # samples, samples, filters
_HEAD_DIM = 64
_LOG_STEP = float(np.log(6.4)) / 27.0  # of a mel above 1 kHz
_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)


class WhisperEncoder(nn.Module):
    """Features of a waveform after each layer.

    The weights are buffers and not trained; gradients pass through to the waveform.

    Args:
        weights: of the encoder, by their names in CTranslate2.
    """

    filters: Tensor
    window: Tensor

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        super().__init__()
        for name, values in weights.items():
            self.register_buffer(_buffer(name), torch.from_numpy(values), persistent=False)
        self.register_buffer("filters", make_mel_filters(), persistent=False)
        self.register_buffer("window", torch.hann_window(_WINDOW), persistent=False)
        self.layers = sum(name.endswith("self_attention/linear_0/weight") for name in weights)
        self.width = weights["layer_norm/gamma"].shape[0]

    def forward(self, waveform: Tensor, peak: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """Encode a waveform.

        Args:
            waveform: [B, N] at 16 kHz, N a multiple of 320.
            peak: of the log-mel spectrum [B, 1, 1], below which Whisper clips it; None: its own.
                Speech that is compared with a recording takes that of the recording.

        Returns:
            Features [B, N / 320, width] after each layer, then those of the last layer after the
            final norm; and the peak.
        """
        mel, peak = self.log_mel(waveform, peak)
        device = waveform.device.type
        with torch.autocast(device, torch.bfloat16, enabled=torch.is_autocast_enabled(device)):
            features = self._encode(mel)
        return [layer.float() for layer in features], peak

    def log_mel(self, waveform: Tensor, peak: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute the log-mel spectrum [B, 80, N / 160] as Whisper scales it, and its peak."""
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(
                waveform.float(), _WINDOW, _STEP, _WINDOW, self.window, return_complex=True
            )[..., :-1]
            power = spectrum.real.square() + spectrum.imag.square()
            log = (self.filters @ power).clamp(min=1e-10).log10()
            if peak is None:
                peak = log.amax((1, 2), keepdim=True)
            return (torch.maximum(log, peak - 8.0) + 4.0) / 4.0, peak

    def _encode(self, mel: Tensor) -> list[Tensor]:
        hidden = functional.gelu(self._convolve(mel, "conv1", stride=1))
        hidden = functional.gelu(self._convolve(hidden, "conv2", stride=2)).transpose(1, 2).float()
        hidden = hidden + self._weight("position_encodings/encodings")[: hidden.shape[1]]
        features = []
        for layer in range(self.layers):
            prefix = f"layer_{layer}/"
            hidden = hidden + self._attend(self._norm(hidden, f"{prefix}self_attention/"), prefix)
            fed = self._linear(self._norm(hidden, f"{prefix}ffn/"), f"{prefix}ffn/linear_0")
            hidden = hidden + self._linear(functional.gelu(fed), f"{prefix}ffn/linear_1")
            features.append(hidden)
        features.append(self._norm(hidden, ""))
        return features

    def _attend(self, rows: Tensor, prefix: str) -> Tensor:
        packed = self._linear(rows, f"{prefix}self_attention/linear_0")
        batch, length, _ = packed.shape
        query, key, value = (
            part.view(batch, length, -1, _HEAD_DIM).transpose(1, 2) for part in packed.chunk(3, -1)
        )
        weights = ((query * _HEAD_DIM**-0.5) @ key.transpose(-1, -2)).softmax(-1)
        mixed = (weights.to(value.dtype) @ value).transpose(1, 2).reshape(batch, length, -1)
        return self._linear(mixed, f"{prefix}self_attention/linear_1")

    def _weight(self, name: str) -> Tensor:
        weight: Tensor = getattr(self, _buffer(name))
        return weight

    def _linear(self, rows: Tensor, name: str) -> Tensor:
        return functional.linear(rows, self._weight(f"{name}/weight"), self._weight(f"{name}/bias"))

    def _norm(self, rows: Tensor, prefix: str) -> Tensor:
        gamma = self._weight(f"{prefix}layer_norm/gamma")
        return functional.layer_norm(
            rows.float(), gamma.shape, gamma, self._weight(f"{prefix}layer_norm/beta")
        )

    def _convolve(self, rows: Tensor, name: str, stride: int) -> Tensor:
        weight, bias = self._weight(f"{name}/weight"), self._weight(f"{name}/bias")
        return functional.conv1d(rows, weight, bias, stride=stride, padding=1)


def load_whisper_encoder(folder: Path) -> WhisperEncoder:
    """Load the encoder of a faster-whisper model.

    Args:
        folder: of the model, with `model.bin`.

    Raises:
        UsageError: the folder has no `model.bin`, or it does not hold a Whisper encoder.
    """
    path = folder / "model.bin"
    if not path.is_file():
        raise UsageError(f"no Whisper model at {path}; give the folder of a faster-whisper model")
    prefix = "encoder/"
    try:
        variables = read_ctranslate2(path)
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
        raise UsageError(f"{path} is not a CTranslate2 model: {error}") from error
    weights = {
        name.removeprefix(prefix): values.astype(np.float32)
        for name, values in variables.items()
        if name.startswith(prefix) and values.dtype.kind == "f"
    }
    if "conv1/weight" not in weights:
        raise UsageError(f"{path} does not hold a Whisper encoder in floating point")
    return WhisperEncoder(weights)


def read_ctranslate2(path: Path) -> dict[str, NDArray[np.generic]]:
    """Read the variables of a CTranslate2 model (binary version 6) by name.

    The file, in little endian: version, name of the specification, revision, number of variables;
    for each variable its name, rank, dimensions, type, size in bytes and data; then the number of
    aliases, and for each alias its name and that of its variable. Strings are null-terminated and
    preceded by their length.
    """
    variables: dict[str, NDArray[np.generic]] = {}
    with path.open("rb") as file:

        def read(form: str) -> tuple[int, ...]:
            return struct.unpack(f"<{form}", file.read(struct.calcsize(f"<{form}")))

        def read_string() -> str:
            (length,) = read("H")
            return file.read(length)[:-1].decode()

        read("I")
        read_string()
        read("I")
        (count,) = read("I")
        for _ in range(count):
            name = read_string()
            (rank,) = read("B")
            shape = read("I" * rank) if rank else ()
            kind, size = read("BI")
            variables[name] = np.frombuffer(file.read(size), _TYPES[kind]).reshape(shape)
        (aliases,) = read("I")
        for _ in range(aliases):
            alias = read_string()
            variables[alias] = variables[read_string()]
    return variables


def make_mel_filters() -> Tensor:
    """Mel filters [80, 201] with unit area on Slaney's scale, as Whisper uses them.

    The scale is linear below 1 kHz and logarithmic above (Slaney 1998, "Auditory Toolbox").
    """

    def to_hertz(mel: Tensor) -> Tensor:
        linear = mel * (200.0 / 3.0)
        return torch.where(mel < 15.0, linear, 1000.0 * torch.exp((mel - 15.0) * _LOG_STEP))

    top = 15.0 + float(np.log(SAMPLE_RATE / 2 / 1000.0)) / _LOG_STEP
    edges = to_hertz(torch.linspace(0.0, top, _MELS + 2, dtype=torch.float64))
    bins = torch.linspace(0.0, SAMPLE_RATE / 2, _WINDOW // 2 + 1, dtype=torch.float64)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    heights = 2.0 / (edges[2:] - edges[:-2])
    return (torch.minimum(rising, falling).clamp(min=0.0) * heights[:, None]).float()


def _buffer(name: str) -> str:
    return name.replace("/", "__")
