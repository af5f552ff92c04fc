"""`valle train nar`: what the codebooks after the first add, of all frames of a window at once.

What was wanting in what it says of the prompt is added when running (`unsaid`), and so here: the
model learns to say what that leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valle.arrays import Ints
from valle.corpora.store import Store
from valle.text.symbols import SYMBOLS
from valle.training.data.examples import INFILLING, Example, ExampleSource, Piece, padded
from valle.training.models.codec import Codec
from valle.training.models.nar import NAR, first_alone, unsaid
from valle.training.models.quantizer import residual_vectors
from valle.training.models.sizes import NO_CODE, size_named
from valle.training.run_folder import keep_borders, keep_size, kept_borders
from valle.training.trainers.loop import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)

_BATCH = 12
_PROMPT = (75, 150)
_FROM_START = 0.4
# Share of prompts without the speaker's embedding: voices that are learnt from are known by it, and
# then nothing need be heard in the prompt, which is all that tells of a new one's details.
_VOICELESS = 0.5

Rows = tuple[Ints, Ints, Ints]  # codes [T, 8], symbols, stress [T] of frames


class NARJob:
    """The window is what running sees: past, block, some ahead."""

    peak_rate = 1e-3

    def __init__(
        self,
        stores: list[Store],
        shares: list[float],
        folder: Path,
        size: str,
        device: str,
        seed: int,
        codec: Codec | None = None,
        infilling: float = INFILLING,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        self.examples = ExampleSource(
            stores, shares, seed + 1, infilling, kept_borders(folder), _VOICELESS, unprompted=0.0
        )
        self.shape = size_named(size).nar
        self.nar = NAR(self.shape, len(SYMBOLS))
        if codec is not None:
            self.nar.start_from(codec.quantiser.tables)
        self.nar.to(self.device)
        self.modules: dict[str, nn.Module] = {"nar": self.nar}
        self.optimizer = language_model_optimizer(self.nar, self.peak_rate)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"nar": self.optimizer}
        self.generators = {
            "job": self.rng,
            "examples": self.examples.rng,
            "styles": self.examples.told_rng,
        }
        keep_size(folder, self.shape)
        keep_borders(folder, self.examples.borders)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        window = self.shape.past + self.shape.block + self.shape.ahead
        drawn = [
            self.examples.example(_PROMPT, (window // 2, window), _FROM_START)
            for _ in range(_BATCH)
        ]
        loss, figures = self.loss(drawn)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.nar.parameters(), 1.0)
        self.optimizer.step()
        return figures

    def loss(self, examples: list[Example]) -> tuple[Tensor, dict[str, float]]:
        """Squared error in shares of what is wanted (1: as good as nothing said)."""
        contexts = [_rows(example.context) for example in examples]
        targets = [_rows((example.target,)) for example in examples]
        voice = torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(self.device)
        style = self._tensor(np.stack([example.style for example in examples]))
        left = self._left(contexts, voice)
        said = self._said(contexts, targets, voice, style)
        added = []
        for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
            known, codes = self._tensor(context[0]), self._tensor(target[0])
            wanting = unsaid(self.nar.tables[0], codes[None, :, 0], known[None, :, 0], left[row])
            added.append(said[row, : len(codes)] + wanting[0])
        wanted = self._given(np.concatenate([codes for codes, _, _ in targets]))
        error = (torch.cat(added) - wanted).square().sum() / wanted.square().sum()
        return error, {"loss": float(error.detach())}

    @torch.no_grad()
    def _left(self, contexts: list[Rows], voice: Tensor) -> list[Tensor]:
        """Of each context what its frames add less what would be said of them [1, frames, latent]:
        of each half in the voice of the other, as running asks."""
        halves = [[np.array_split(array, 2) for array in context] for context in contexts]
        first, second = ([(c[h], s[h], t[h]) for c, s, t in halves] for h in range(2))
        was = self.nar.training
        self.nar.eval()
        said = self._said([*second, *first], [*first, *second], torch.cat((voice, voice)), None)
        self.nar.train(was)
        left = []
        for row, (codes, _, _) in enumerate(contexts):
            ends = len(first[row][0]), len(second[row][0])
            guessed = torch.cat((said[row, : ends[0]], said[len(contexts) + row, : ends[1]]))
            left.append((self._given(codes) - guessed)[None])
        return left

    def _given(self, codes: Ints) -> Tensor:
        """[T, latent] what codes [T, 8] add after the first codebook."""
        return residual_vectors(self.nar.tables[1:], self._tensor(codes[:, 1:]))

    def _said(
        self, contexts: list[Rows], targets: list[Rows], voice: Tensor, style: Tensor | None
    ) -> Tensor:
        """[B, longest target, latent] what the model itself says of each target after its context;
        voice [B, 192], style [B, 5]."""
        codes, symbols, stress = self._batch(targets)
        before, frames = ([len(rows[0]) for rows in side] for side in (contexts, targets))
        with mixed_precision(self.device):
            added = self.nar.forward_training(
                self._batch(contexts),
                (first_alone(codes), symbols, stress),
                voice,
                torch.tensor(before, device=self.device),
                torch.tensor(frames, device=self.device),
                style,
            )
        return added.float()

    def sample(self, folder: Path, number: int) -> None:
        """Its samples need the whole chain: `valle export`, then `valle speak`."""

    def _batch(self, items: list[Rows]) -> tuple[Tensor, Tensor, Tensor]:
        """The rows of each item as one batch, padded on the right."""
        codes, symbols, stress = (list(each) for each in zip(*items, strict=True))
        return (
            self._tensor(padded(codes, NO_CODE)),
            self._tensor(padded(symbols, 0)),
            self._tensor(padded(stress, 0)),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _rows(pieces: Sequence[Piece]) -> Rows:
    """Codes [T, 8], symbols and stress [T] of the frames of pieces, one after another."""
    return (
        np.concatenate([piece.codes for piece in pieces]),
        np.concatenate([piece.symbols[piece.frame_symbol] for piece in pieces]),
        np.concatenate([piece.stress[piece.frame_symbol] for piece in pieces]),
    )
