"""`valle train nar`: what the codebooks after the first add, of all frames of a window at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valle.corpora.store import Store
from valle.text import SYMBOLS
from valle.training.examples import INFILLING, Example, ExampleSource, Piece, padded
from valle.training.loop import (
    keep_size,
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.models.codec import Codec
from valle.training.models.nar import NAR, first_alone
from valle.training.models.quantiser import residual_vectors
from valle.training.sizes import NO_CODE, size_named
from valle.training.style_borders import keep_borders, kept_borders

_BATCH = 12
_PROMPT = (75, 150)
_FROM_START = 0.4


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
        self.examples = ExampleSource(stores, shares, seed + 1, infilling, kept_borders(folder))
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
        contexts = [list(example.context) for example in examples]
        targets = [[example.target] for example in examples]
        frames = [len(example.target.codes) for example in examples]
        codes, symbols, stress = self._rows(targets)
        with mixed_precision(self.device):
            added = self.nar.forward_training(
                self._rows(contexts),
                (first_alone(codes), symbols, stress),
                torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(self.device),
                torch.tensor([example.frames for example in examples], device=self.device),
                torch.tensor(frames, device=self.device),
                self._tensor(np.stack([example.style for example in examples])),
            )
        real = codes[..., 0] != NO_CODE
        wanted = residual_vectors(self.nar.tables[1:], codes[real][:, 1:])
        left = (added[real].float() - wanted).square().sum() / wanted.square().sum()
        return left, {"loss": float(left.detach())}

    def sample(self, folder: Path, number: int) -> None:
        """Its samples need the whole chain: `valle export`, then `valle speak`."""

    def _rows(self, items: list[list[Piece]]) -> tuple[Tensor, Tensor, Tensor]:
        """Codes, symbols and stress of the frames of each item's pieces, one after another."""
        codes = [np.concatenate([p.codes for p in row]) for row in items]
        symbols = [np.concatenate([p.symbols[p.frame_symbol] for p in row]) for row in items]
        stress = [np.concatenate([p.stress[p.frame_symbol] for p in row]) for row in items]
        return (
            self._tensor(padded(codes, NO_CODE)),
            self._tensor(padded(symbols, 0)),
            self._tensor(padded(stress, 0)),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)
