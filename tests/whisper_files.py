"""Whisper encoders of random weights, in the form of faster-whisper's files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WIDTH, LAYERS, MELS, POSITIONS = 128, 2, 80, 1500


def random_variables(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """The encoder's variables by name, as CTranslate2 calls them."""
    rng = np.random.default_rng(seed)

    def weights(*shape: int) -> NDArray[np.float32]:
        scale = 1.0 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.01
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    variables = {
        "encoder/conv1/weight": weights(WIDTH, MELS, 3),
        "encoder/conv2/weight": weights(WIDTH, WIDTH, 3),
        "encoder/position_encodings/encodings": weights(POSITIONS, WIDTH),
    }
    for layer in range(LAYERS):
        prefix = f"encoder/layer_{layer}/"
        variables[f"{prefix}self_attention/linear_0/weight"] = weights(3 * WIDTH, WIDTH)
        variables[f"{prefix}self_attention/linear_1/weight"] = weights(WIDTH, WIDTH)
        variables[f"{prefix}ffn/linear_0/weight"] = weights(4 * WIDTH, WIDTH)
        variables[f"{prefix}ffn/linear_1/weight"] = weights(WIDTH, 4 * WIDTH)
        for norm in ("self_attention", "ffn"):
            variables[f"{prefix}{norm}/layer_norm/gamma"] = 1.0 + weights(WIDTH)
            variables[f"{prefix}{norm}/layer_norm/beta"] = weights(WIDTH)
    variables["encoder/layer_norm/gamma"] = 1.0 + weights(WIDTH)
    variables["encoder/layer_norm/beta"] = weights(WIDTH)
    biases = {
        name.replace("/weight", "/bias"): weights(len(values))
        for name, values in variables.items()
        if name.endswith("/weight")
    }
    return variables | biases


def write_whisper(folder: Path, seed: int = 0, aliases: dict[str, str] | None = None) -> Path:
    """Write `model.bin` with random weights (and aliases of variables); returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    variables = random_variables(seed)
    parts = [struct.pack("<I", 6), _pack_string("WhisperSpec"), struct.pack("<I", 3)]
    parts.append(struct.pack("<I", len(variables)))
    for name, values in variables.items():
        parts += [_pack_string(name), struct.pack("<B", values.ndim)]
        parts += [struct.pack(f"<{values.ndim}I", *values.shape)]
        parts += [struct.pack("<BI", 0, values.nbytes), values.tobytes()]
    parts.append(struct.pack("<I", len(aliases or {})))
    for alias, name in (aliases or {}).items():
        parts += [_pack_string(alias), _pack_string(name)]
    (folder / "model.bin").write_bytes(b"".join(parts))
    return folder


def _pack_string(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
