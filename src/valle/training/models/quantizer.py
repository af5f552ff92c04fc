"""Residual vector quantiser with codebooks kept as moving averages.

Source: SoundStream (Zeghidour et al. 2021, section III-C): k-means-like averages, codes that fall
out of use are put onto vectors of the current batch, and the number of codebooks is varied in
training so that the first ones carry the most.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

PATHS = 4  # codings of a row that are followed at once
_DECAY = 0.98
_DEAD = 0.05  # a code used less than this share of an even use is put onto a vector of the batch


def nearest(table: Tensor, rows: Tensor) -> Tensor:
    """Index of the nearest code of a table [codes, latent] for each row [..., latent]."""
    return _nearness(table, rows).argmax(-1)


def _nearness(table: Tensor, rows: Tensor) -> Tensor:
    """A row's own square less the square of its distance to each code: [..., codes]."""
    return 2 * rows @ table.T - table.square().sum(-1)


def residual_codes(tables: Tensor, rows: Tensor) -> Tensor:
    """Rows [..., latent] by tables [codebooks, codes, latent], each of which codes what the ones
    before left over -> codes [..., codebooks].

    The nearest code of each table need not be what leaves the least at the end: the `PATHS` best
    codings so far are followed, and the best of all is taken (the M-L search of quantisers of many
    stages, LeBlanc et al. 1993, "Efficient search and design procedures for robust multi-stage VQ
    of LPC parameters for 4 kb/s speech coding").
    """
    latent, size = tables.shape[-1], tables.shape[1]
    left = rows.unsqueeze(-2)  # [..., paths, latent]
    codes: list[Tensor] = []  # [..., paths] of each table so far
    for table in tables.unbind():
        far = left.square().sum(-1, keepdim=True) - _nearness(table, left)
        least = far.flatten(-2).topk(PATHS, largest=False).indices
        path, code = least // size, least % size
        codes = [*(before.gather(-1, path) for before in codes), code]
        left = left.gather(-2, path[..., None].expand(*path.shape, latent)) - table[code]
    return torch.stack([each[..., 0] for each in codes], dim=-1)


def residual_vectors(tables: Tensor, codes: Tensor) -> Tensor:
    """What codes [..., codebooks] of tables [codebooks, codes, latent] stand for together
    [..., latent]; a code past the end of a table stands for none."""
    padded = functional.pad(tables, (0, 0, 0, 1))
    parts = [table[codes[..., book]] for book, table in enumerate(padded.unbind())]
    return torch.stack(parts).sum(0)


class ResidualQuantiser(nn.Module):
    """`codebooks` tables [codebook_size, latent]; each codes what the ones before left over."""

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

        The nearest of the first codebook, which the AR speaks in, and the best of all others.
        """
        first = nearest(self.tables[0], latents)
        if self.codebooks == 1:
            return first[..., None]
        others = residual_codes(self.tables[1:], latents - self.tables[0][first])
        return torch.cat([first[..., None], others], dim=-1)

    def decode(self, codes: Tensor) -> Tensor:
        """Codes [B, T, codebooks] -> latents [B, T, latent]; codebook_size stands for no code."""
        return residual_vectors(self.tables, codes)

    def forward(self, latents: Tensor, used: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Training: latents [B, T, latent] -> quantised latents (straight-through), commitment
        loss, codes [B, T, codebooks]. Updates the tables.

        used [B]: how many codebooks each item is decoded from.
        """
        residual = latents.detach().float()
        total = torch.zeros_like(residual)
        codes, loss = [], latents.new_zeros(())
        for book in range(self.codebooks):
            if self.training:
                self._prepare(book, residual)
            index = nearest(self.tables[book], residual)
            step = self.tables[book][index]
            if self.training:
                self._update(book, residual, index)
            on = (used > book)[:, None, None]
            # Commitment: the encoder's output is drawn to what the codebooks so far make of it.
            total = total + on * step
            loss = loss + (functional.mse_loss(latents, total, reduction="none") * on).mean()
            residual = residual - step
            codes.append(index)
        if self.training:
            self.started.fill_(True)
        quantised = latents + (total - latents).detach()
        return quantised, loss / self.codebooks, torch.stack(codes, dim=-1)

    @torch.no_grad()
    def _prepare(self, book: int, rows: Tensor) -> None:
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
        """How evenly codes [B, T, codebooks] use each codebook: [codebooks], at most its size."""
        flat = codes.reshape(-1, self.codebooks)
        shares = torch.stack(
            [
                torch.bincount(flat[:, b], minlength=self.codebook_size)
                for b in range(self.codebooks)
            ]
        ).float()
        shares = shares / shares.sum(-1, keepdim=True)
        return torch.exp(-(shares * torch.log(shares + 1e-9)).sum(-1))
