"""How matrices are stored in 8 or 4 bits, and read again."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats

BLOCK = 32  # weights of a column that share a scale
Bytes = NDArray[np.uint8]


def pack_blocks(weight: Floats, bits: int) -> tuple[Bytes, Floats]:
    """Quantize a matrix in blocks.

    A weight is `(value - 2 ** (bits - 1)) * scale`; of two 4-bit values in a byte, the first is the
    low half. A scale may be negative: there is one more value below the zero point than above it,
    which is used for the largest weight of the block.

    Args:
        weight: [rows, columns].
        bits: 4 or 8.

    Returns:
        Values [columns, blocks, bytes] and scales [columns * blocks].
    """
    rows, columns = weight.shape
    blocks = -(-rows // BLOCK)
    padded = np.zeros((columns, blocks * BLOCK), np.float32)
    padded[:, :rows] = weight.T
    block = padded.reshape(columns, blocks, BLOCK)
    zero_point = 1 << (bits - 1)
    largest = np.take_along_axis(block, np.abs(block).argmax(-1, keepdims=True), -1)
    scale = np.where(largest == 0, np.float32(1), largest / np.float32(-zero_point))
    values = np.clip(np.rint(block / scale) + zero_point, 0, 2 * zero_point - 1).astype(np.uint8)
    if bits == 4:
        values = values[..., 0::2] | (values[..., 1::2] << 4)
    return values, scale.reshape(-1)


def unpack_blocks(values: Bytes, scales: Floats, bits: int, rows: int) -> Floats:
    """Dequantize what `pack_blocks` returns.

    Args:
        values: [columns, blocks, bytes].
        scales: [columns * blocks].
        bits: 4 or 8.
        rows: of the matrix; the last block may be padded.

    Returns:
        [rows, columns].
    """
    if bits == 4:
        nibbles = np.stack([values & 15, values >> 4], axis=-1)
        values = nibbles.reshape(*values.shape[:2], BLOCK)
    zero_point = np.float32(1 << (bits - 1))
    centered = values.astype(np.float32) - zero_point
    dequantized = centered * scales.reshape(*values.shape[:2], 1)
    return np.ascontiguousarray(dequantized.reshape(len(values), -1)[:, :rows].T)


def quantize_columns(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Quantize [..., rows, columns] to -127..127 with a scale per column [..., columns]."""
    quantized, scale = quantize_along(weight, (weight.ndim - 2,))
    return quantized, scale[..., 0, :]


def quantize_along(weight: Floats, axes: tuple[int, ...]) -> tuple[NDArray[np.int8], Floats]:
    """Quantize to -127..127; along `axes` all weights share a scale, which keeps them as 1."""
    scale = np.abs(weight).max(axis=axes, keepdims=True) / np.float32(127)
    scale = np.where(scale == 0, np.float32(1), scale)
    return np.rint(weight / scale).astype(np.int8), scale
