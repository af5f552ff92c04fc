"""`valle train nar`: the codebooks after the first of all frames, one codebook a pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.store import Store
from valle.text import SYMBOLS
from valle.training.checkpoints import load_nar
from valle.training.examples import INFILLING, Example, ExampleSource, Piece, padded
from valle.training.guidance import divergence, guidance_of, guided, keep_teacher
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
        guidance: float | None = None,
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
        self.guidance = guidance or 0.0
        self.teacher: NAR | None = None
        if guidance is not None:
            self.teacher = load_nar(keep_teacher(folder, guidance)).to(self.device)

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
        """Cross-entropy of the undecided frames' codes, in nats; with guidance, the divergence of
        their probabilities from those of the guided teacher."""
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
        logits = self._logits(self.nar, examples, known, stage)
        wanted = codes.gather(2, stage[:, None, None].expand(-1, codes.shape[1], 1))[..., 0]
        row = torch.arange(codes.shape[1], device=self.device)
        past = row < torch.from_numpy(decided).to(self.device)[:, None]
        wanted = torch.where(past, NO_CODE, wanted)
        each = functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NO_CODE
        ).reshape(wanted.shape)
        real = wanted != NO_CODE
        figures = {"loss": float(each.detach()[real].mean())}
        first = real & (stage == 1)[:, None]
        if bool(first.any()):
            figures["second_codebook"] = float(each.detach()[first].mean())
        if self.teacher is None:
            return each.sum() / real.sum(), figures
        with torch.no_grad():
            prompted = self._logits(self.teacher, examples, known, stage)
            nobody = [example.unprompted() for example in examples]
            anybody = self._logits(self.teacher, nobody, known, stage)
        strength = self._tensor(guidance_of(examples, self.guidance))[:, None].expand(real.shape)
        aim = guided(prompted[real], anybody[real], strength[real])
        apart = divergence(logits[real], aim).mean()
        return apart, figures | {"divergence": float(apart.detach())}

    def _logits(self, nar: NAR, examples: list[Example], known: Tensor, stage: Tensor) -> Tensor:
        """[B, T, 1024] fp32, of the targets, whose known codes are given."""
        contexts = [list(example.context) for example in examples]
        targets = [[example.target] for example in examples]
        frames = [len(example.target.codes) for example in examples]
        with mixed_precision(self.device):
            logits = nar.forward_training(
                self._rows(contexts),
                (known, *self._rows(targets)[1:]),
                torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(self.device),
                torch.tensor([example.frames for example in examples], device=self.device),
                torch.tensor(frames, device=self.device),
                stage,
                self._tensor(np.stack([example.style for example in examples])),
            )
        return logits.float()

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
