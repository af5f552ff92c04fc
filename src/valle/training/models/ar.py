"""The AR model: the first codebook of each frame and the pointer's transition after it.

A decoder-only transformer over frames only: there is no text prefix. Row t reads the codes of the
previous frame, the encoded symbol of frame t, and how many frames the pointer has been on it; it
predicts the code of frame t and the transition after it (stay, advance, skip a border).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS, TRANSITIONS
from valle.training.models.phonemes import PhonemeEncoder
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, ARSize
from valle.training.models.transformer import (
    EPSILON,
    Block,
    CodeEmbedding,
    project_codebooks,
    rotary_angles,
)


class AR(nn.Module):
    """The AR model; its phoneme encoder is the part `phonemes`.

    Args:
        size: of the model.
        symbols: number of symbols.
    """

    def __init__(self, size: ARSize, symbols: int) -> None:
        super().__init__()
        self.size = size
        self.phonemes = PhonemeEncoder(size.width, symbols, size.dropout)
        self.codes = CodeEmbedding(size.width)
        self.project = nn.Linear(size.width, size.width)
        self.stay = nn.Embedding(FRAMES_ON_SYMBOL_BINS, size.width)
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, size.feed_forward, size.dropout, size.layers)
            for _ in range(size.layers)
        )
        self.out_norm = nn.LayerNorm(size.width, eps=EPSILON, bias=False)
        self.code_head = nn.Linear(size.width, CODEBOOK_SIZE)
        self.move_head = nn.Linear(size.width, TRANSITIONS)
        for module in (self.project, self.stay, self.code_head, self.move_head):
            nn.init.normal_(module.weight, std=0.02)

    @torch.no_grad()
    def initialize_from(self, codebooks: Tensor) -> None:
        """Initialize code embeddings and output from the codec's codebooks [8, 1024, latent]."""
        vectors = project_codebooks(codebooks, self.size.width)
        self.codes.initialize_from(vectors)
        self.code_head.weight.copy_(vectors[0])

    def forward(self, codes: Tensor, encoded: Tensor, stay: Tensor) -> tuple[Tensor, Tensor]:
        """Run the transformer on rows whose symbols are encoded and gathered already.

        For a prompt and a target, encode their symbols separately and concatenate the gathered
        rows, as at run time, so that the prompt's rows do not depend on the text. Shorter items are
        padded on the right; real rows cannot see padding, because attention is causal.

        Args:
            codes: of the previous frame [B, T, 8].
            encoded: the symbol of each frame [B, T, width].
            stay: frames that the pointer has been on it [B, T], 0 or more.

        Returns:
            Logits [B, T, 1024] and transitions [B, T, 3].
        """
        x = (
            self.codes(codes)
            + self.project(encoded)
            + self.stay(stay.clamp(max=FRAMES_ON_SYMBOL_BINS - 1))
        )
        x = F.dropout(x, self.size.dropout, self.training)
        positions = torch.arange(x.shape[1], device=x.device)
        angles = rotary_angles(positions, self.size.width // self.size.heads)
        for block in self.blocks:
            x, _, _ = block(x, angles, causal=True)
        x = self.out_norm(x)
        return self.code_head(x), self.move_head(x)


def input_codes(codes: Tensor, prompt_frames: Tensor, prefix_frames: Tensor) -> Tensor:
    """The codes that each row of the AR reads: those of the previous frame.

    The first row reads no code. Rows read all codebooks of the prompt's frames, but only the first
    codebook of the target's, since the others do not exist yet when the next frame is predicted. In
    infilling, the context after the span starts again with a row that reads no code, and the first
    row of the span reads the last frame before it.

    Args:
        codes: to be predicted [B, T, 8].
        prompt_frames: length of the context of each item [B].
        prefix_frames: how many of these come before the target [B]; fewer than all for infilling.

    Returns:
        [B, T, 8].
    """
    shifted = F.pad(codes[:, :-1], (0, 0, 1, 0), value=NO_CODE)
    row = torch.arange(codes.shape[1], device=codes.device)
    is_missing = row[None, :, None] > prompt_frames[:, None, None]
    is_missing = is_missing & (torch.arange(CODEBOOKS, device=codes.device) > 0)
    shifted = torch.where(is_missing, NO_CODE, shifted)
    items = torch.arange(len(codes), device=codes.device)
    before = codes[items, (prefix_frames - 1).clamp(min=0)]
    before = torch.where(prefix_frames[:, None] > 0, before, NO_CODE)
    begins = (row == prefix_frames[:, None])[..., None]  # the suffix; without one, the target
    follows = (row == prompt_frames[:, None])[..., None]
    return torch.where(follows, before[:, None], torch.where(begins, NO_CODE, shifted))
