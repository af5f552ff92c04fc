"""Residual vector quantizer whose codebooks are exponential moving averages.

Source: SoundStream (Zeghidour et al. 2021, section III-C): codebooks are updated as in k-means,
unused codes are replaced by vectors of the current batch, and the number of codebooks varies in
training, so that the first ones carry the most.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Four lose a fifth less than one (docs/decisions/0008-beam-search-quantization.md).
BEAM = 4  # candidates kept per codebook in the search for the best codes
_DECAY = 0.98
_DEAD = 0.05  # usage relative to uniform below which a code is replaced by a vector of the batch


def nearest(codebook: Tensor, rows: Tensor) -> Tensor:
    """Index of the nearest code of a codebook [codes, latent] for each row [..., latent]."""
    return _similarity(codebook, rows).argmax(-1)


def _similarity(codebook: Tensor, rows: Tensor) -> Tensor:
    """Squared norm of each row minus its squared distance to each code: [..., codes]."""
    return 2 * rows @ codebook.T - codebook.square().sum(-1)


def residual_codes(codebooks: Tensor, rows: Tensor) -> Tensor:
    """Quantize rows with several codebooks, each of which codes the residual of those before.

    The nearest code of each codebook need not give the smallest final residual, so the `BEAM` best
    candidates are kept (M-best search of multi-stage quantizers, LeBlanc et al. 1993, "Efficient
    search and design procedures for robust multi-stage VQ of LPC parameters for 4 kb/s speech
    coding").

    Args:
        codebooks: [codebooks, codes, latent].
        rows: [..., latent].

    Returns:
        Codes [..., codebooks].
    """
    latent, size = codebooks.shape[-1], codebooks.shape[1]
    residual = rows.unsqueeze(-2)  # [..., beam, latent]
    codes: list[Tensor] = []  # [..., beam] of each codebook so far
    for codebook in codebooks.unbind():
        distance = residual.square().sum(-1, keepdim=True) - _similarity(codebook, residual)
        best = distance.flatten(-2).topk(BEAM, largest=False).indices
        candidate, code = best // size, best % size
        codes = [*(before.gather(-1, candidate) for before in codes), code]
        index = candidate[..., None].expand(*candidate.shape, latent)
        residual = residual.gather(-2, index) - codebook[code]
    return torch.stack([book[..., 0] for book in codes], dim=-1)


def residual_vectors(codebooks: Tensor, codes: Tensor) -> Tensor:
    """Sum of the vectors of codes.

    Args:
        codebooks: [codebooks, codes, latent].
        codes: [..., codebooks]; a code past the end of a codebook stands for no code.

    Returns:
        [..., latent].
    """
    padded = functional.pad(codebooks, (0, 0, 0, 1))
    parts = [codebook[codes[..., book]] for book, codebook in enumerate(padded.unbind())]
    return torch.stack(parts).sum(0)


class ResidualQuantizer(nn.Module):
    """Codebooks [codebook_size, latent], each of which codes the residual of those before.

    The buffer `tables` [codebooks, codebook_size, latent] has them; `counts` and `sums` are their
    moving averages.
    """

    tables: Tensor
    counts: Tensor
    sums: Tensor
    started: Tensor

    def __init__(self, codebooks: int, codebook_size: int, latent: int) -> None:
        super().__init__()
        self.codebooks, self.codebook_size = codebooks, codebook_size
        tables = torch.randn(codebooks, codebook_size, latent) * 0.1
        self.register_buffer("tables", tables)
        self.register_buffer("counts", torch.ones(codebooks, codebook_size))
        self.register_buffer("sums", tables.clone())
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def encode(self, latents: Tensor) -> Tensor:
        """Latents [B, T, latent] -> codes [B, T, codebooks].

        The nearest code of the first codebook, which the AR predicts, and a beam search for the
        others.
        """
        first = nearest(self.tables[0], latents)
        if self.codebooks == 1:
            return first[..., None]
        others = residual_codes(self.tables[1:], latents - self.tables[0][first])
        return torch.cat([first[..., None], others], dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, T, codebooks] -> latents [B, T, latent]; `codebook_size` stands for no code."""
        return residual_vectors(self.tables, codes)

    def forward(self, latents: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantize with a straight-through gradient; in training, also update the codebooks.

        Args:
            latents: [B, T, latent].
            used: how many codebooks each item is decoded from [B].

        Returns:
            Quantized latents [B, T, latent], commitment loss, and codes [B, T, codebooks].
        """
        residual = latents.detach().float()
        total = torch.zeros_like(residual)
        codes, loss = [], latents.new_zeros(())
        for book in range(self.codebooks):
            if self.training:
                self._replace_dead_codes(book, residual)
            index = nearest(self.tables[book], residual)
            step = self.tables[book][index]
            if self.training:
                self._update(book, residual, index)
            is_used = (used > book)[:, None, None]
            # Commitment: pull the encoder's output toward its quantization by the codebooks so far.
            total = total + is_used * step
            loss = loss + (functional.mse_loss(latents, total, reduction="none") * is_used).mean()
            residual = residual - step
            codes.append(index)
        if self.training:
            self.started.fill_(True)
        quantized = latents + (total - latents).detach()
        return quantized, loss / self.codebooks, torch.stack(codes, dim=-1)

    @torch.no_grad()
    def _replace_dead_codes(self, book: int, rows: Tensor) -> None:
        flat = rows.reshape(-1, rows.shape[-1])
        picks = flat[torch.randint(0, len(flat), (self.codebook_size,), device=flat.device)]
        dead = self.counts[book] < _DEAD * len(flat) / self.codebook_size
        if not bool(self.started):
            dead = torch.ones_like(dead)
        self.tables[book][dead] = picks[dead]
        self.sums[book][dead] = picks[dead]
        self.counts[book][dead] = len(flat) / self.codebook_size
        self.sums[book][dead] *= len(flat) / self.codebook_size

    @torch.no_grad()
    def _update(self, book: int, rows: Tensor, index: Tensor) -> None:
        flat, index = rows.reshape(-1, rows.shape[-1]), index.reshape(-1)
        count = torch.zeros_like(self.counts[book]).index_add_(
            0, index, torch.ones_like(index, dtype=rows.dtype)
        )
        total = torch.zeros_like(self.sums[book]).index_add_(0, index, flat)
        self.counts[book].mul_(_DECAY).add_(count, alpha=1 - _DECAY)
        self.sums[book].mul_(_DECAY).add_(total, alpha=1 - _DECAY)
        self.tables[book].copy_(self.sums[book] / self.counts[book].clamp(min=1e-3)[:, None])

    def perplexity(self, codes: Tensor) -> Tensor:
        """Perplexity of codes [B, T, codebooks] per codebook [codebooks], at most its size."""
        flat = codes.reshape(-1, self.codebooks)
        shares = torch.stack(
            [
                torch.bincount(flat[:, b], minlength=self.codebook_size)
                for b in range(self.codebooks)
            ]
        ).float()
        shares = shares / shares.sum(-1, keepdim=True)
        return torch.exp(-(shares * torch.log(shares + 1e-9)).sum(-1))
