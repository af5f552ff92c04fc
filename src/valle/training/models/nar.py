"""The NAR model: the residual codebooks (2 to 8) of all frames of a block.

One pass of full attention predicts the sum of their vectors, which is then quantized as the codec
does. VALL-E predicts each codebook's code instead, in a pass of its own. But these codes are nearly
unpredictable (the second has 5.7 of 6.7 nats left), and sampling each frame independently gives
mostly noise; the expected vector sounds clearer and is learned faster. The codec's decoder, which
is trained on such codes, restores the difference between expected and natural speech.

The prompt's rows attend only to the prompt, so their keys and values are computed once per voice;
target rows attend to the prompt, the past and a few frames of lookahead.

With a voice that it was not trained on, the model uses little of the prompt: its prediction
residuals on the prompt's own frames are similar from frame to frame. So they are used to correct
the prediction, at run time and in training (`residual_correction`), as speech recognizers are
adapted to a speaker with a little transcribed speech.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from valle.training.models.phonemes import (
    STRESSES,
    Conditioning,
    SpeakerConditioning,
    StyleConditioning,
)
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, NARSize
from valle.training.models.transformer import (
    EPSILON,
    Block,
    CodeEmbedding,
    project_codebooks,
    rotary_angles,
)

# Chosen by explained variance on held-out speakers (docs/decisions/0005-residual-correction.md).
KERNEL_WIDTH = 0.2  # of the code kernel, relative to the mean squared norm of the codes
PRIOR_FRAMES = 40.0  # weight of a zero mean residual, in prompt frames (MAP shrinkage)
PRIOR_NEIGHBORS = 1.0  # weight of a zero local residual, in neighboring frames


class Frames(NamedTuple):
    """A batch of frames as the NAR reads them.

    Attributes:
        codes: [B, T, 8]; of a target, the first codebook only (`mask_residual_codebooks`).
        symbols: of each frame [B, T].
        stress: of each frame [B, T].
        positions: of each frame [B, T]; None: counted from 0.
    """

    codes: Tensor
    symbols: Tensor
    stress: Tensor
    positions: Tensor | None = None


class NAR(nn.Module):
    """The NAR model.

    Args:
        size: of the model.
        symbols: number of symbols.
    """

    tables: Tensor

    def __init__(self, size: NARSize, symbols: int) -> None:
        super().__init__()
        self.size = size
        self.codes = CodeEmbedding(size.width)
        self.symbols = nn.Embedding(symbols, size.width)
        self.stress = nn.Embedding(STRESSES, size.width)
        self.voice = SpeakerConditioning(size.width)
        self.style = StyleConditioning(size.width)
        self.kind = nn.Embedding(2, size.width)  # of rows: 0 prompt, 1 target
        self.blocks = nn.ModuleList(
            Block(size.width, size.heads, size.feed_forward, size.dropout, size.layers)
            for _ in range(size.layers)
        )
        self.out_norm = nn.LayerNorm(size.width, eps=EPSILON, bias=False)
        self.output = nn.Linear(size.width, size.latent)
        # The codec's codebooks, which quantize the prediction.
        self.register_buffer("tables", torch.randn(CODEBOOKS, CODEBOOK_SIZE, size.latent))
        for weight in (self.symbols.weight, self.stress.weight, self.kind.weight):
            nn.init.normal_(weight, std=0.02)

    @torch.no_grad()
    def initialize_from(self, codebooks: Tensor) -> None:
        """Initialize code embeddings and codebooks from those of the codec [8, 1024, latent]."""
        self.codes.initialize_from(project_codebooks(codebooks, self.size.width))
        self.tables.copy_(codebooks)

    def forward(
        self,
        frames: Frames,
        conditioning: Conditioning,
        kind: Tensor,
        past: tuple[Tensor, Tensor] | None = None,
        mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the residual vectors of some rows.

        Args:
            frames: one per row.
            conditioning: speaker and style.
            kind: int64 scalar, 0 for the prompt's rows, 1 for the target's.
            past: keys and values of the prompt [layers, B, H, P, head_dim].
            mask: [B, P + T], true where past and own rows are real.

        Returns:
            The predicted sum of the vectors of codebooks 2 to 8 [B, T, latent] (without meaning for
            the prompt's rows), and keys and values of the rows [layers, B, H, T, head_dim].
        """
        codes, symbols, stress, positions = frames
        x = self.codes(codes) + self.symbols(symbols) + self.stress(stress) + self.kind(kind)
        x = x + self.voice(conditioning.voice)[:, None]
        if conditioning.style is not None:
            x = x + self.style(conditioning.style)[:, None]
        x = F.dropout(x, self.size.dropout, self.training)
        if positions is None:
            positions = torch.arange(symbols.shape[1], device=symbols.device).expand_as(symbols)
        angles = rotary_angles(positions[:, None], self.size.width // self.size.heads)
        attended = None if mask is None else mask[:, None, None, :]
        keys, values = [], []
        for layer, block in enumerate(self.blocks):
            layer_past = None if past is None else (past[0][layer], past[1][layer])
            x, key, value = block(x, angles, layer_past, attended)
            keys.append(key)
            values.append(value)
        return self.output(self.out_norm(x)), torch.stack(keys), torch.stack(values)

    def forward_training(
        self,
        prompt: Frames,
        target: Frames,
        conditioning: Conditioning,
        prompt_frames: Tensor,
        target_frames: Tensor,
    ) -> Tensor:
        """Run the prompt's rows, then the target's rows with attention to them.

        Args:
            prompt: padded on the right with any valid ids and code NO_CODE.
            target: padded in the same way; its positions follow the prompt's.
            conditioning: speaker, and style of the target; the prompt's rows serve every style and
                have none.
            prompt_frames: frames of each prompt that are not padding [B].
            target_frames: the same for the targets [B].

        Returns:
            The predicted residual vectors of the target [B, T, latent].
        """
        device = target.codes.device
        prompt_rows = torch.arange(prompt.symbols.shape[1], device=device)
        target_rows = torch.arange(target.symbols.shape[1], device=device)
        prompt_real = prompt_rows < prompt_frames[:, None]
        real = torch.cat((prompt_real, target_rows < target_frames[:, None]), dim=1)
        prompt_kind, target_kind = torch.arange(2, device=device)
        _, key, value = self(
            prompt,
            Conditioning(conditioning.voice),
            prompt_kind,
            # Without a prompt a row must still attend to something, or softmax gives NaN.
            mask=prompt_real | (prompt_rows == 0),
        )
        # Directly after the item's prompt.
        placed = target._replace(positions=prompt_frames[:, None] + target_rows)
        predicted, _, _ = self(placed, conditioning, target_kind, (key, value), real)
        return predicted


def residual_correction(
    codebook: Tensor, codes: Tensor, prompt_codes: Tensor, prompt_residual: Tensor
) -> Tensor:
    """Speaker-adaptive correction of predictions by the prediction residuals of the prompt.

    The mean residual of all prompt frames, plus the kernel-smoothed mean (Nadaraya 1964, Watson
    1964) of those whose first code is near the frame's own. Both are shrunk toward zero the fewer
    frames they are of, as in MAP speaker adaptation (Gauvain and Lee 1994, "Maximum a posteriori
    estimation for multivariate Gaussian mixture observations of Markov chains").

    Args:
        codebook: the first one [1024, latent].
        codes: first codes of the frames [B, T].
        prompt_codes: first codes of the prompt [B, P]; without frames the correction is zero.
        prompt_residual: true minus predicted residual vectors of the prompt [B, P, latent].

    Returns:
        What to add to the predictions [B, T, latent].
    """
    mean = prompt_residual.sum(1, keepdim=True) / (prompt_residual.shape[1] + PRIOR_FRAMES)
    query, key = codebook[codes], codebook[prompt_codes]
    distance = query.square().sum(-1)[..., None] + key.square().sum(-1)[:, None]
    distance = distance - 2 * query @ key.transpose(1, 2)
    kernel = (-distance / (KERNEL_WIDTH * codebook.square().sum(-1).mean())).exp()
    local = kernel @ (prompt_residual - mean)
    return mean + local / (kernel.sum(-1, keepdim=True) + PRIOR_NEIGHBORS)


def mask_residual_codebooks(codes: Tensor) -> Tensor:
    """Replace the codes [..., 8] after the first codebook by NO_CODE."""
    return torch.where(torch.arange(CODEBOOKS, device=codes.device) > 0, NO_CODE, codes)
