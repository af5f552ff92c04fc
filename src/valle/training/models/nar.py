"""The NAR model: what the codebooks after the first add to each frame of a block.

One pass of full attention gives the sum of their vectors, which is then coded as the codec codes
it. VALL-E asks for each codebook's code instead, in a pass of its own: but codes cannot be known
(of the second, 5.7 of 6.7 nats are left), and draws of each frame by itself are mostly noise; what
is expected of a frame sounds clearer and is learnt sooner (docs/LOG.md). What lies between the
expected and the natural the codec's decoder puts back, which learns from such codes.

The prompt's rows see only the prompt, so their keys and values belong to the voice and are made
once; target rows see the prompt, the past and a few frames ahead.

Of a voice that it did not learn from it hears little in them, for all that: what it says of such a
prompt's own frames is off by much the same from one frame to the next. So what was wanting there is
taken along, in running and in training (`unsaid`), as recognisers are adapted to a speaker by a
moment of known speech.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.training.models.phonemes import STRESSES, StyleInput, VoiceInput
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, NARSize
from valle.training.models.transformer import (
    EPSILON,
    Block,
    CodeEmbedding,
    code_vectors,
    rotary_angles,
)

NEAR = 0.2  # of the codes' mean square: how far apart two are of which one tells of the other
MANY = 40.0  # frames of a prompt that say as much of what is wanting everywhere as is known before
FEW = 1.0  # near frames that say as much of what is wanting beside them


class NAR(nn.Module):
    """``table``: number of symbols."""

    tables: Tensor

    def __init__(self, size: NARSize, table: int) -> None:
        super().__init__()
        self.size = size
        self.codes = CodeEmbedding(size.width)
        self.symbols = nn.Embedding(table, size.width)
        self.stress = nn.Embedding(STRESSES, size.width)
        self.voice = VoiceInput(size.width)
        self.style = StyleInput(size.width)
        self.kind = nn.Embedding(2, size.width)  # of rows: the prompt's, the target's
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, size.feed_forward, size.dropout, size.layers)
            for _ in range(size.layers)
        )
        self.out_norm = nn.LayerNorm(size.width, eps=EPSILON, bias=False)
        self.output = nn.Linear(size.width, size.latent)
        # The codec's codebooks, which code what is said.
        self.register_buffer("tables", torch.randn(CODEBOOKS, CODEBOOK_SIZE, size.latent))
        for weight in (self.symbols.weight, self.stress.weight, self.kind.weight):
            nn.init.normal_(weight, std=0.02)

    @torch.no_grad()
    def start_from(self, tables: Tensor) -> None:
        """Begin with the codec's `tables` [8, 1024, latent]: as what is read and said."""
        self.codes.start_from(code_vectors(tables, self.size.width))
        self.tables.copy_(tables)

    def forward(
        self,
        codes: Tensor,
        symbols: Tensor,
        stress: Tensor,
        voice: Tensor,
        positions: Tensor,
        kind: Tensor,
        past_key: Tensor | None = None,
        past_value: Tensor | None = None,
        mask: Tensor | None = None,
        style: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """codes [B, T, 8] (of the target the first codebook alone), symbols, stress, positions
        [B, T] a frame, voice [B, 192] (zeros: not known), kind int64 scalar: 0 the prompt's rows, 1
        the target's; past_key, past_value [layers, B, H, P, hd] of the prompt; mask [B, P + T] true
        where the past and then the own rows are real; style [B, 5] classes (None: unset)
        -> added [B, T, latent], the sum of the vectors of the codebooks after the first (of the
        prompt it means nothing), key, value [layers, B, H, T, hd] of the own rows.
        """
        x = self.codes(codes) + self.symbols(symbols) + self.stress(stress) + self.kind(kind)
        x = x + self.voice(voice)[:, None]
        if style is not None:
            x = x + self.style(style)[:, None]
        x = F.dropout(x, self.size.dropout, self.training)
        cos, sin = rotary_angles(positions[:, None], self.size.width // self.size.heads)
        seen = None if mask is None else mask[:, None, None, :]
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            past = None
            if past_key is not None and past_value is not None:
                past = (past_key[layer], past_value[layer])
            x, key, value = block(x, cos, sin, past, seen)
            keys.append(key)
            values.append(value)
        return self.output(self.out_norm(x)), torch.stack(keys), torch.stack(values)

    def forward_training(
        self,
        prompt: tuple[Tensor, Tensor, Tensor],
        target: tuple[Tensor, Tensor, Tensor],
        voice: Tensor,
        prompt_frames: Tensor,
        target_frames: Tensor,
        style: Tensor | None = None,
    ) -> Tensor:
        """Prompt rows, then target rows that see them -> added [B, T, latent] of the target.

        prompt and target: codes [B, P or T, 8], symbols and stress [B, P or T], padded on the right
        (with any valid ids; code NO_CODE); prompt_frames, target_frames [B]: how many are real;
        style [B, 5] of the target (the prompt's rows serve any, and have none). Target codes must
        be `first_alone`.
        """
        codes, symbols, stress = target
        prompt_rows = torch.arange(prompt[1].shape[1], device=codes.device)
        target_rows = torch.arange(codes.shape[1], device=codes.device)
        prompt_real = prompt_rows < prompt_frames[:, None]
        real = torch.cat((prompt_real, target_rows < target_frames[:, None]), dim=1)
        kinds = torch.arange(2, device=codes.device)
        _, key, value = self(
            *prompt,
            voice,
            prompt_rows.expand_as(prompt[1]),
            kinds[0],
            # Without any prompt a row must still see something, or softmax gives NaN.
            mask=prompt_real | (prompt_rows == 0),
        )
        positions = prompt_frames[:, None] + target_rows  # right after each item's own prompt
        added, _, _ = self(
            codes, symbols, stress, voice, positions, kinds[1], key, value, real, style
        )
        return added


def unsaid(table: Tensor, first: Tensor, known: Tensor, left: Tensor) -> Tensor:
    """What is wanting in frames' `added`, by what was wanting in those of a prompt.

    Of all frames the mean, and on top of it a mean of those whose code of the first codebook lies
    near the frame's own (Nadaraya 1964, Watson 1964), both drawn towards nothing the fewer they
    are, as in the adaptation of recognisers to a speaker (Gauvain and Lee 1994, "Maximum a
    posteriori estimation for multivariate Gaussian mixture observations of Markov chains").

    Args:
        table: the first codebook [1024, latent].
        first: codes of the frames [B, T].
        known: codes of the prompt's frames [B, P]; P may be 0, and then nothing is wanting.
        left: of those what they add less what was said of them [B, P, latent].

    Returns:
        [B, T, latent].
    """
    mean = left.sum(1, keepdim=True) / (left.shape[1] + MANY)
    one, other = table[first], table[known]
    apart = one.square().sum(-1)[..., None] + other.square().sum(-1)[:, None]
    apart = apart - 2 * one @ other.transpose(1, 2)
    near = (-apart / (NEAR * table.square().sum(-1).mean())).exp()
    return mean + near @ (left - mean) / (near.sum(-1, keepdim=True) + FEW)


def first_alone(codes: Tensor) -> Tensor:
    """Codes [..., 8] without those after the first codebook."""
    return torch.where(torch.arange(CODEBOOKS, device=codes.device) > 0, NO_CODE, codes)
