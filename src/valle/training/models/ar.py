"""The AR model: codebook 1 of each frame and how the pointer moves after it.

A decoder-only transformer of frames alone: there is no text prefix. Row t reads the previous
frame's codes, the encoded symbol that frame t is at, and for how many frames the pointer has been
there; it predicts frame t's code and the move after frame t (stay, advance, skip a border).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.runtime.pointer import MOVES, STAYS
from valle.training.models.phonemes import PhonemeEncoder, gather_rows
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, ARSize
from valle.training.models.transformer import (
    EPSILON,
    Block,
    CodeEmbedding,
    code_vectors,
    rotary_angles,
)


class AR(nn.Module):
    """``table``: number of symbols. The phoneme encoder is a part, ``.phonemes``."""

    def __init__(self, size: ARSize, table: int) -> None:
        super().__init__()
        self.size = size
        self.phonemes = PhonemeEncoder(size.width, table, size.dropout)
        self.codes = CodeEmbedding(size.width)
        self.project = nn.Linear(size.width, size.width)
        self.stay = nn.Embedding(STAYS, size.width)
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, size.feed_forward, size.dropout, size.layers)
            for _ in range(size.layers)
        )
        self.out_norm = nn.LayerNorm(size.width, eps=EPSILON, bias=False)
        self.code_head = nn.Linear(size.width, CODEBOOK_SIZE)
        self.move_head = nn.Linear(size.width, MOVES)
        for module in (self.project, self.stay, self.code_head, self.move_head):
            nn.init.normal_(module.weight, std=0.02)

    @torch.no_grad()
    def start_from(self, tables: Tensor) -> None:
        """Begin with the codec's `tables` [8, 1024, latent]: as what is read and predicted."""
        vectors = code_vectors(tables, self.size.width)
        self.codes.start_from(vectors)
        self.code_head.weight.copy_(vectors[0])

    def forward(
        self,
        codes: Tensor,
        symbols: Tensor,
        stress: Tensor,
        voice: Tensor,
        frame_symbol: Tensor,
        stay: Tensor,
        style: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """One symbol sequence an item: encoded, gathered by frame_symbol, then ``forward_rows``.

        codes [B, T, 8] previous frame's codes; symbols, stress [B, S] (symbol -1: padding); voice
        [B, 192]; frame_symbol [B, T] index into the sequence; stay [B, T]; style [B, 5] classes
        (None: unset) -> logits [B, T, 1024],
        moves [B, T, 3].
        """
        encoded = gather_rows(self.phonemes(symbols, stress, voice, style), frame_symbol)
        return self.forward_rows(codes, encoded, stay)

    def forward_rows(self, codes: Tensor, encoded: Tensor, stay: Tensor) -> tuple[Tensor, Tensor]:
        """Rows already gathered: codes [B, T, 8], encoded [B, T, width], stay [B, T] (any >= 0).

        For a prompt and a target, encode their symbols apart and concatenate the gathered rows:
        running does the same, so that the prompt's rows do not depend on the text to be said.
        Shorter items are padded on the right; causality keeps padding away from real rows.
        """
        x = self.codes(codes) + self.project(encoded) + self.stay(stay.clamp(max=STAYS - 1))
        x = F.dropout(x, self.size.dropout, self.training)
        positions = torch.arange(x.shape[1], device=x.device)
        cos, sin = rotary_angles(positions, self.size.width // self.size.heads)
        for block in self.blocks:
            x, _, _ = block(x, cos, sin, causal=True)
        x = self.out_norm(x)
        return self.code_head(x), self.move_head(x)


def input_codes(codes: Tensor, prompt_frames: Tensor, prefix_frames: Tensor) -> Tensor:
    """What the AR reads when ``codes`` [B, T, 8] are to be predicted: each frame's predecessor.

    prompt_frames [B]: the first frames of each item, of which all 8 codebooks are read; of later
    ones only codebook 1 is there when the next is made. The very first row reads no code at all.
    prefix_frames [B]: how many frames of the prompt come before what is to be said (all of them,
    unless a middle is filled in): what comes after begins anew, with a row that reads no code, and
    the first row after the prompt reads the codes of the prefix's last frame.
    """
    shifted = F.pad(codes[:, :-1], (0, 0, 1, 0), value=NO_CODE)
    row = torch.arange(codes.shape[1], device=codes.device)
    unknown = row[None, :, None] > prompt_frames[:, None, None]
    unknown = unknown & (torch.arange(CODEBOOKS, device=codes.device) > 0)
    shifted = torch.where(unknown, NO_CODE, shifted)
    items = torch.arange(len(codes), device=codes.device)
    before = codes[items, (prefix_frames - 1).clamp(min=0)]
    before = torch.where(prefix_frames[:, None] > 0, before, NO_CODE)
    begins = (row == prefix_frames[:, None])[..., None]  # the suffix; without one, the target
    follows = (row == prompt_frames[:, None])[..., None]
    return torch.where(follows, before[:, None], torch.where(begins, NO_CODE, shifted))
