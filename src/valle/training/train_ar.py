"""`valle train ar`: codebook 1 of each frame and the pointer's move after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.store import Store
from valle.pointer import stays
from valle.text import SYMBOLS
from valle.training.examples import ExampleSource, Piece, padded
from valle.training.loop import (
    keep_size,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.models.ar import AR, input_codes
from valle.training.models.codec import Codec
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.sizes import NO_CODE, size_named

_BATCH = 8
_PROMPT = (75, 150)  # frames: 1.5 to 4 s
_TARGET = (100, 300)
_FROM_START = 0.7
_PROMPT_WEIGHT = 0.5  # of the prompt's rows in the loss: speech like any other, but read in full
_IGNORED = -100


class ARJob:
    """Prompt and target in one sequence; each frame is predicted from what comes before."""

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
    ) -> None:
        torch.manual_seed(seed)
        self.device = torch.device(device)
        self.examples = ExampleSource(stores, shares, seed)
        shape = size_named(size).ar
        self.ar = AR(shape, len(SYMBOLS))
        if codec is not None:
            self.ar.start_from(codec.quantiser.tables)
        self.ar.to(self.device)
        self.modules: dict[str, nn.Module] = {"ar": self.ar}
        self.optimizer = torch.optim.AdamW(
            self.ar.parameters(), lr=self.peak_rate, betas=(0.9, 0.95), weight_decay=0.05
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {"ar": self.optimizer}
        self.generators = {"examples": self.examples.rng}
        keep_size(folder, shape)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        pairs = [self.examples.pair(_PROMPT, _TARGET, _FROM_START) for _ in range(_BATCH)]
        code_loss, move_loss, figures = self.losses(pairs)
        self.optimizer.zero_grad(set_to_none=True)
        (code_loss + move_loss).backward()
        nn.utils.clip_grad_norm_(self.ar.parameters(), 1.0)
        self.optimizer.step()
        return figures

    def losses(self, pairs: list[tuple[Piece, Piece]]) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Cross-entropy of codes and of moves, in nats; figures are of the targets alone."""
        batch = ar_batch(pairs, self.device)
        with mixed_precision(self.device):
            encoded = torch.cat(
                [
                    self.ar.phonemes(
                        batch["prompt_symbols"], batch["prompt_stress"], batch["voice"]
                    ),
                    self.ar.phonemes(
                        batch["target_symbols"], batch["target_stress"], batch["voice"]
                    ),
                ],
                dim=1,
            )
            rows = gather_rows(encoded, batch["frame_symbol"])
            logits, moves = self.ar.forward_rows(batch["inputs"], rows, batch["stay"])
        wanted = batch["codes"][..., 0]
        each = functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NO_CODE
        ).reshape(wanted.shape)
        weight = torch.where(batch["is_target"], 1.0, _PROMPT_WEIGHT) * (wanted != NO_CODE)
        code_loss = (each * weight).sum() / weight.sum()
        move_loss = functional.cross_entropy(
            moves.float().flatten(0, 1), batch["moves"].flatten(), ignore_index=_IGNORED
        )
        target = batch["is_target"] & (wanted != NO_CODE)
        figures = {
            "code": float(each.detach()[target].mean()),
            "move": float(move_loss.detach()),
        }
        return code_loss, move_loss, figures

    def sample(self, folder: Path, number: int) -> None:
        """Its samples need the whole chain: `valle export`, then `valle speak`."""


def ar_batch(pairs: list[tuple[Piece, Piece]], device: torch.device) -> dict[str, Tensor]:
    """Tensors of the pairs: prompt rows, then target rows, padded on the right."""
    prompt_frames = np.array([len(prompt.codes) for prompt, _ in pairs])
    width = max(len(prompt.symbols) for prompt, _ in pairs)
    both = list(zip(pairs, prompt_frames, strict=True))
    codes = padded([np.concatenate([p.codes, t.codes]) for p, t in pairs], NO_CODE)
    arrays = {
        "prompt_symbols": padded([p.symbols for p, _ in pairs], PADDING),
        "prompt_stress": padded([p.stress for p, _ in pairs], 0),
        "target_symbols": padded([t.symbols for _, t in pairs], PADDING),
        "target_stress": padded([t.stress for _, t in pairs], 0),
        "codes": codes,
        "frame_symbol": padded(
            [np.concatenate([p.frame_symbol, width + t.frame_symbol]) for p, t in pairs], 0
        ),
        "stay": padded(
            [np.concatenate([stays(p.frame_symbol), stays(t.frame_symbol)]) for p, t in pairs], 0
        ),
        "moves": padded([np.concatenate([_moves(p), _moves(t)]) for p, t in pairs], _IGNORED),
        "is_target": padded(
            [(np.arange(len(p.codes) + len(t.codes)) >= n).astype(np.int64) for (p, t), n in both],
            0,
        ),
    }
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    tensors["is_target"] = tensors["is_target"].bool()
    # The voice is the prompt's, as it is when a stranger's recording is all there is.
    tensors["voice"] = torch.from_numpy(np.stack([p.voice for p, _ in pairs])).to(device)
    tensors["inputs"] = input_codes(tensors["codes"], torch.from_numpy(prompt_frames).to(device))
    return tensors


def _moves(piece: Piece) -> np.ndarray:
    """The move after each frame; where a piece was cut, its last one is not known."""
    last = len(piece.symbols) - piece.frame_symbol[-1] if piece.ends else _IGNORED
    return np.append(np.diff(piece.frame_symbol), last)
