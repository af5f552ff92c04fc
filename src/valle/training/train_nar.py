"""`valle train nar`: the codebooks after the first of all frames, one codebook a pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

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
from valle.training.models.nar import NAR, known_codes
from valle.training.sizes import NO_CODE, size_named
from valle.training.style_borders import keep_borders, kept_borders

_BATCH = 12
_PROMPT = (75, 150)
_FROM_START = 0.4
# Early codebooks carry the most of the voice, and the later ones depend on them.
_STAGE_WEIGHTS = np.array([2.0, 1.5, 1.2, 1.0, 1.0, 1.0, 1.0])  # as many as there may be stages


class NARJob:
    """One random codebook an example; the window is what running sees: past, block, some ahead."""

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
            "styles": self.examples.style_rng,
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
        share = _STAGE_WEIGHTS[: self.shape.stages] / _STAGE_WEIGHTS[: self.shape.stages].sum()
        stage = self.rng.choice(np.arange(1, self.shape.stages + 1), _BATCH, p=share)
        loss, figures = self.loss(drawn, stage)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.nar.parameters(), 1.0)
        self.optimizer.step()
        return figures

    def loss(self, examples: list[Example], stages: np.ndarray) -> tuple[Tensor, dict[str, float]]:
        """Cross-entropy of the undecided frames' codes, in nats."""
        contexts = [list(example.context) for example in examples]
        targets = [example.target for example in examples]
        stage = torch.from_numpy(stages).to(self.device)
        frames = np.array([len(t.codes) for t in targets])
        # Half of the windows begin a sentence: nothing before them is decided.
        most = np.minimum(self.shape.past, frames // 2)
        decided = self.rng.integers(0, most + 1) * (self.rng.random(len(examples)) < 0.5)
        codes = self._tensor(padded([t.codes for t in targets], NO_CODE))
        known = known_codes(
            codes, stage, torch.from_numpy(decided).to(self.device), self.shape.stages
        )
        with mixed_precision(self.device):
            logits = self.nar.forward_training(
                self._rows(contexts),
                (known, *self._rows([[target] for target in targets])[1:]),
                torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(self.device),
                torch.tensor([example.frames for example in examples], device=self.device),
                torch.from_numpy(frames).to(self.device),
                stage,
                self._tensor(np.stack([example.style for example in examples])),
            )
        wanted = codes.gather(2, stage[:, None, None].expand(-1, codes.shape[1], 1))[..., 0]
        row = torch.arange(codes.shape[1], device=self.device)
        past = row < torch.from_numpy(decided).to(self.device)[:, None]
        wanted = torch.where(past, NO_CODE, wanted)
        each = functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NO_CODE
        ).reshape(wanted.shape)
        real = wanted != NO_CODE
        figures = {"loss": float(each.detach()[real].mean())}
        first = real & (stage == 1)[:, None]
        if bool(first.any()):
            figures["second_codebook"] = float(each.detach()[first].mean())
        return each.sum() / real.sum(), figures

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
