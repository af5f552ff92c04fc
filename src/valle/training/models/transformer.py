"""Parts of the AR and the NAR: code embeddings, rotary positions and the pre-norm block.

LayerNorm instead of RMSNorm: on a CPU, PyTorch has a fused kernel only for the former (0.7 ms
against 3.7 ms, forward and backward, for 1,600 rows of 256 on one core).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE

ROTARY_BASE = 10000.0
EPSILON = 1e-5  # of every LayerNorm, in the exported graphs too


class CodeEmbedding(nn.Module):
    """Codes [..., 8] int64 in 0..1024 -> sum of their embeddings [..., width].

    One table for all codebooks: row `codebook * 1024 + code`. The last row stands for NO_CODE in
    any codebook; it stays zero, since `padding_idx` excludes it from the sum and the gradient.
    """

    offsets: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(CODEBOOKS * CODEBOOK_SIZE + 1, width))
        self.register_buffer("offsets", torch.arange(CODEBOOKS) * CODEBOOK_SIZE, persistent=False)
        self.reset()

    def reset(self) -> None:
        """Initialize the embeddings at random."""
        nn.init.normal_(self.weight, std=0.02)
        with torch.no_grad():
            self.weight[-1].zero_()

    @torch.no_grad()
    def initialize_from(self, vectors: Tensor) -> None:
        """Initialize with the codec's vectors [8, 1024, width], whose sum is a frame's latent.

        Codes that sound alike then have similar embeddings from the first step, which a small
        corpus would not teach.
        """
        self.weight[:-1] = vectors.reshape(-1, vectors.shape[-1])

    def forward(self, codes: Tensor) -> Tensor:
        rows = torch.where(codes == NO_CODE, CODEBOOKS * CODEBOOK_SIZE, codes + self.offsets)
        summed = F.embedding_bag(
            rows.reshape(-1, CODEBOOKS),
            self.weight,
            mode="sum",
            padding_idx=CODEBOOKS * CODEBOOK_SIZE,
        )
        return summed.view(*codes.shape[:-1], -1)


def project_codebooks(codebooks: Tensor, width: int) -> Tensor:
    """Project the codec's codebooks [codebooks, codes, latent] to [codebooks, codes, width].

    One fixed orthogonal projection for all codebooks preserves sums and distances; the standard
    deviation is the usual one of an initial embedding (0.02).
    """
    generator = torch.Generator().manual_seed(0)
    projection = torch.linalg.qr(torch.randn(width, codebooks.shape[-1], generator=generator)).Q
    vectors = codebooks.float() @ projection.T
    return vectors * (0.02 / vectors[0].std())


def inverse_frequencies(head_dim: int) -> Tensor:
    """Radians per position for each rotated pair, [head_dim / 2] float32."""
    return ROTARY_BASE ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)


class RotaryAngles(NamedTuple):
    """Cosine and sine of the rotary angles of positions, [..., T, head_dim / 2] each."""

    cos: Tensor
    sin: Tensor


def rotary_angles(positions: Tensor, head_dim: int) -> RotaryAngles:
    """Compute the rotary angles of int64 positions [..., T]."""
    angles = positions[..., None].float() * inverse_frequencies(head_dim).to(positions.device)
    return RotaryAngles(angles.cos(), angles.sin())


def rotate(x: Tensor, angles: RotaryAngles) -> Tensor:
    """Apply rotary positions to x [B, H, T, head_dim].

    Pairs are dimensions of the two halves (not neighbors), as in ONNX Runtime's
    GroupQueryAttention. The angles broadcast against [B, H, T, head_dim / 2].
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = angles.cos.to(x.dtype), angles.sin.to(x.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Attention over [B, H, T, head_dim]; `mask` [T, S] (broadcast) is true where a key is seen.

    In training on a CPU it is not fused: PyTorch's fused kernel is three times slower there, mostly
    in the backward pass.
    """
    if query.device.type != "cpu" or not query.requires_grad:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if causal:
        rows = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        mask = rows if mask is None else mask & rows
    if mask is not None:
        # Added, since masked_fill on the scores takes twice as long, forward and backward.
        zeros = torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device)
        scores = scores + zeros.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(value.dtype) @ value


class Block(nn.Module):
    """Pre-norm attention and GELU feed-forward, each with a residual connection."""

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float, layers: int
    ) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON, bias=False)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_norm = nn.LayerNorm(width, eps=EPSILON, bias=False)
        self.feed_in = nn.Linear(width, feed_forward)
        self.feed_out = nn.Linear(feed_forward, width)
        for linear in (self.query_key_value, self.attention_out, self.feed_in, self.feed_out):
            nn.init.normal_(linear.weight, std=0.02)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)
        # Each block adds twice to the residual stream: keep its variance the same at any depth.
        for linear in (self.attention_out, self.feed_out):
            nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(
        self,
        x: Tensor,
        angles: RotaryAngles,
        past: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Run the block.

        Args:
            x: rows [B, T, width].
            angles: of the rows' positions, see `rotate`.
            past: keys and values of earlier rows [B, H, P, head_dim].
            mask: see `attend`.
            causal: whether rows see only rows before them.

        Returns:
            Output [B, T, width], and the rows' keys (rotated) and values [B, H, T, head_dim].
        """
        batch, rows, width = x.shape
        packed = self.query_key_value(self.attention_norm(x))
        query, key, value = packed.view(batch, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = rotate(query, angles), rotate(key, angles)
        keys, values = key, value
        if past is not None:
            keys = torch.cat((past[0], key), dim=2)
            values = torch.cat((past[1], value), dim=2)
        mixed = attend(query, keys, values, mask, causal)
        mixed = self.attention_out(mixed.transpose(1, 2).reshape(batch, rows, width))
        x = x + F.dropout(mixed, self.dropout, self.training)
        fed = self.feed_out(F.gelu(self.feed_in(self.feed_norm(x))))
        return x + F.dropout(fed, self.dropout, self.training), key, value
