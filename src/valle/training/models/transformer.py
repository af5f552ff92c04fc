"""What the AR and the NAR share: code embeddings, rotary positions and the pre-norm block.

LayerNorm, not RMSNorm: on CPU PyTorch has a fused kernel for the first only (0.7 ms against 3.7 ms
forward and backward for 1,600 rows of 256, one core).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE

ROTARY_BASE = 10000.0
EPSILON = 1e-5  # of every LayerNorm; the graphs carry the same number


class CodeEmbedding(nn.Module):
    """Codes [..., 8] int64 in 0..1024 -> sum of their embeddings [..., width].

    One table for all codebooks: row ``codebook * 1024 + code``. The last row stands for NO_CODE in
    any codebook; it is zero and stays so, since ``padding_idx`` keeps it out of sum and gradient.
    """

    offsets: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(CODEBOOKS * CODEBOOK_SIZE + 1, width))
        self.register_buffer("offsets", torch.arange(CODEBOOKS) * CODEBOOK_SIZE, persistent=False)
        self.reset()

    def reset(self) -> None:
        nn.init.normal_(self.weight, std=0.02)
        with torch.no_grad():
            self.weight[-1].zero_()

    @torch.no_grad()
    def start_from(self, vectors: Tensor) -> None:
        """Begin with the codec's vectors [8, 1024, width]: the sum is then what a frame decodes to.

        Codes that sound alike are alike from the first step, which a small corpus would not teach.
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


def code_vectors(tables: Tensor, width: int) -> Tensor:
    """Codec tables [codebooks, codes, latent] turned into `width`: [codebooks, codes, width].

    One fixed turn for all codebooks, so that sums and distances of vectors stay what they are;
    each number spread as an embedding is usually begun (0.02).
    """
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(width, tables.shape[-1], generator=generator)).Q
    vectors = tables.float() @ turn.T
    return vectors * (0.02 / vectors[0].std())


def inverse_frequencies(head_width: int) -> Tensor:
    """Radians a position for each rotated pair, [head_width / 2] float32."""
    return ROTARY_BASE ** (-torch.arange(0, head_width, 2, dtype=torch.float32) / head_width)


def rotary_angles(positions: Tensor, head_width: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine [..., T, head_width / 2] of int64 positions [..., T]."""
    angles = positions[..., None].float() * inverse_frequencies(head_width).to(positions.device)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on x [B, H, T, hd], halves paired (not neighbours), as GQA does by default.

    cos and sin broadcast against [B, H, T, hd / 2].
    """
    first, second = x.chunk(2, dim=-1)
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Attention over [B, H, T, hd]; mask is true where a key may be seen, broadcast to [T, S].

    Training on a CPU writes it out: PyTorch's fused kernel is three times slower there, nearly all
    of it in the backward pass.
    """
    if query.device.type != "cpu" or not query.requires_grad:
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2)
    if causal:
        rows = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        mask = rows if mask is None else mask & rows
    if mask is not None:
        # Added, since filling masked places takes twice as long, forwards and backwards.
        nothing = torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device)
        scores = scores + nothing.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1).to(value.dtype) @ value


class Block(nn.Module):
    """Pre-norm attention and GELU feed-forward, each added to its input.

    ``forward(x [B, T, width], cos, sin, past, mask, causal)`` -> output [B, T, width] and the own
    rows' key and value [B, H, T, hd] (rotated keys: they can be kept as they are).
    """

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
        # Each block adds twice to the residual stream: keep its size the same at any depth.
        for linear in (self.attention_out, self.feed_out):
            nn.init.normal_(linear.weight, std=0.02 / math.sqrt(2 * layers))

    def forward(
        self,
        x: Tensor,
        cos: Tensor,
        sin: Tensor,
        past: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
        causal: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, rows, width = x.shape
        packed = self.query_key_value(self.attention_norm(x))
        query, key, value = packed.view(batch, rows, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        keys, values = key, value
        if past is not None:
            keys = torch.cat((past[0], key), dim=2)
            values = torch.cat((past[1], value), dim=2)
        mixed = attend(query, keys, values, mask, causal)
        mixed = self.attention_out(mixed.transpose(1, 2).reshape(batch, rows, width))
        x = x + F.dropout(mixed, self.dropout, self.training)
        fed = self.feed_out(F.gelu(self.feed_in(self.feed_norm(x))))
        return x + F.dropout(fed, self.dropout, self.training), key, value
