"""The NAR model: codebooks 2 and on, one pass a codebook over all frames of a block.

Full attention. The prompt's rows see only the prompt, so their keys and values belong to the voice
and are made once (stage 0); target rows see the prompt, the past and a few frames ahead.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.training.models.phonemes import STRESSES, StyleInput, VoiceInput
from valle.training.models.transformer import (
    EPSILON,
    Block,
    CodeEmbedding,
    code_vectors,
    rotary_angles,
)
from valle.training.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, NARSize


class NAR(nn.Module):
    """``table``: number of symbols."""

    def __init__(self, size: NARSize, table: int) -> None:
        super().__init__()
        self.size = size
        self.codes = CodeEmbedding(size.width)
        self.symbols = nn.Embedding(table, size.width)
        self.stress = nn.Embedding(STRESSES, size.width)
        self.voice = VoiceInput(size.width)
        self.style = StyleInput(size.width)
        self.stage = nn.Embedding(CODEBOOKS, size.width)  # 0: the prompt's rows
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, size.feed_forward, size.dropout, size.layers)
            for _ in range(size.layers)
        )
        self.out_norm = nn.LayerNorm(size.width, eps=EPSILON, bias=False)
        # One output head a stage; head s - 1 predicts codebook index s.
        self.heads = nn.Parameter(torch.empty(size.stages, size.width, CODEBOOK_SIZE))
        for weight in (self.symbols.weight, self.stress.weight, self.stage.weight, self.heads):
            nn.init.normal_(weight, std=0.02)

    @torch.no_grad()
    def start_from(self, tables: Tensor) -> None:
        """Begin with the codec's `tables` [8, 1024, latent]: as what is read and predicted."""
        vectors = code_vectors(tables, self.size.width)
        self.codes.start_from(vectors)
        self.heads.copy_(vectors[1 : 1 + self.size.stages].transpose(1, 2))

    def forward(
        self,
        codes: Tensor,
        symbols: Tensor,
        stress: Tensor,
        voice: Tensor,
        positions: Tensor,
        stage: Tensor,
        past_key: Tensor | None = None,
        past_value: Tensor | None = None,
        mask: Tensor | None = None,
        style: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """codes [B, T, 8] (NO_CODE where unknown), symbols, stress, positions [B, T] a frame,
        voice [B, 192] (zeros: not known),
        stage int64 scalar or [B]: 0 the prompt (all codes known; its logits mean nothing), 1 to
        `stages` the codebook index to predict; past_key, past_value [layers, B, H, P, hd] of the
        prompt; mask [B, P + T] true where the past and then the own rows are real;
        style [B, 5] classes (None: unset)
        -> logits [B, T, 1024], key, value [layers, B, H, T, hd] of the own rows.
        """
        hidden, key, value = self._hidden(
            codes, symbols, stress, voice, positions, stage, past_key, past_value, mask, style
        )
        heads = self.heads[(stage - 1).clamp(min=0)]  # [W, V], or [B, W, V] for a stage an item
        return hidden @ heads, key, value

    def forward_training(
        self,
        prompt: tuple[Tensor, Tensor, Tensor],
        target: tuple[Tensor, Tensor, Tensor],
        voice: Tensor,
        prompt_frames: Tensor,
        target_frames: Tensor,
        stage: Tensor,
        style: Tensor | None = None,
    ) -> Tensor:
        """Prompt rows, then target rows that see them -> the target's logits [B, T, 1024].

        prompt and target: codes [B, P or T, 8], symbols and stress [B, P or T], padded on the right
        (with any valid ids; code NO_CODE); prompt_frames, target_frames [B]: how many are real;
        stage [B] int64, 1 to `stages`; style [B, 5] of the target (the prompt's rows serve any, and
        have none). Target codes must already be masked: see ``known_codes``.
        """
        prompt_rows = torch.arange(prompt[1].shape[1], device=stage.device)
        target_rows = torch.arange(target[1].shape[1], device=stage.device)
        prompt_real = prompt_rows < prompt_frames[:, None]
        real = torch.cat((prompt_real, target_rows < target_frames[:, None]), dim=1)
        _, key, value = self._hidden(
            *prompt,
            voice,
            prompt_rows.expand_as(prompt[1]),
            torch.zeros_like(stage),
            # Without any prompt a row must still see something, or softmax gives NaN.
            mask=prompt_real | (prompt_rows == 0),
        )
        positions = prompt_frames[:, None] + target_rows  # right after each item's own prompt
        logits, _, _ = self(*target, voice, positions, stage, key, value, real, style)
        return logits

    def _hidden(
        self,
        codes: Tensor,
        symbols: Tensor,
        stress: Tensor,
        voice: Tensor,
        positions: Tensor,
        stage: Tensor,
        past_key: Tensor | None = None,
        past_value: Tensor | None = None,
        mask: Tensor | None = None,
        style: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        staged = self.stage(stage.reshape(-1, 1))  # [1 or B, 1, width]
        x = self.codes(codes) + self.symbols(symbols) + self.stress(stress) + staged
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
        return self.out_norm(x), torch.stack(keys), torch.stack(values)


def known_codes(codes: Tensor, stage: Tensor, decided: Tensor, stages: int) -> Tensor:
    """What the NAR may read of target ``codes`` [B, T, 8] at each item's stage [B].

    The first ``decided`` [B] frames of an item are the past, of which all codebooks up to the last
    of the ``stages`` are known (0 to
    ``NARSize.past`` of them, drawn anew each time in training: running has such frames before every
    block but the first); of the others only the codebooks below the stage. Loss belongs on the
    undecided frames alone: ``target = codes.gather(2, stage)``.
    """
    frame = torch.arange(codes.shape[1], device=codes.device)
    unknown = frame[None, :, None] >= decided[:, None, None]
    later = torch.arange(CODEBOOKS, device=codes.device) >= stage[:, None, None]
    never = torch.arange(CODEBOOKS, device=codes.device) > stages
    return torch.where((unknown & later) | never, NO_CODE, codes)
