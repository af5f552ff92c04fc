"""`valle train ar`: codebook 1 of each frame and the pointer's move after it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.store import Store
from valle.runtime.pointer import stays
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_ar
from valle.training.data.examples import INFILLING, Example, ExampleSource, Piece, padded
from valle.training.models.ar import AR, input_codes
from valle.training.models.codec import Codec
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.models.sizes import NO_CODE, size_named
from valle.training.run_folder import keep_borders, keep_size, kept_borders
from valle.training.trainers.guidance import divergence, guidance_of, guided, keep_teacher
from valle.training.trainers.loop import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)

_BATCH = 8
_PROMPT = (75, 150)  # frames: 1.5 to 3 s
_LONG_PROMPT, _LONG = (150, 500), 0.25  # 3 to 10 s, in a share of the batches
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
        infilling: float = INFILLING,
        guidance: float | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.device = torch.device(device)
        self.examples = ExampleSource(stores, shares, seed, infilling, kept_borders(folder))
        shape = size_named(size).ar
        self.ar = AR(shape, len(SYMBOLS))
        if codec is not None:
            self.ar.start_from(codec.quantiser.tables)
        self.ar.to(self.device)
        self.modules: dict[str, nn.Module] = {"ar": self.ar}
        self.optimizer = language_model_optimizer(self.ar, self.peak_rate)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"ar": self.optimizer}
        self.generators = {"examples": self.examples.rng, "styles": self.examples.told_rng}
        keep_size(folder, shape)
        keep_borders(folder, self.examples.borders)
        self.guidance = guidance or 0.0
        self.teacher: AR | None = None
        if guidance is not None:
            self.teacher = load_ar(keep_teacher(folder, guidance)).to(self.device)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        prompt = _LONG_PROMPT if self.examples.rng.random() < _LONG else _PROMPT
        drawn = [self.examples.example(prompt, _TARGET, _FROM_START) for _ in range(_BATCH)]
        code_loss, move_loss, figures = self.losses(drawn)
        self.optimizer.zero_grad(set_to_none=True)
        (code_loss + move_loss).backward()
        nn.utils.clip_grad_norm_(self.ar.parameters(), 1.0)
        self.optimizer.step()
        return figures

    def losses(self, examples: list[Example]) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Cross-entropy of codes and of moves, in nats; figures are of the targets alone.

        With guidance, of the targets' codes it is the divergence of their probabilities from those
        of the guided teacher.
        """
        batch = ar_batch(examples, self.device)
        with mixed_precision(self.device):
            logits, moves = ar_outputs(self.ar, batch)
        wanted = batch["codes"][..., 0]
        each = functional.cross_entropy(
            logits.float().flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NO_CODE
        ).reshape(wanted.shape)
        weight = torch.where(batch["is_target"], 1.0, _PROMPT_WEIGHT) * (wanted != NO_CODE)
        move_loss = functional.cross_entropy(
            moves.float().flatten(0, 1), batch["moves"].flatten(), ignore_index=_IGNORED
        )
        target = batch["is_target"] & (wanted != NO_CODE)
        figures = {
            "code": float(each.detach()[target].mean()),
            "move": float(move_loss.detach()),
        }
        if self.teacher is not None:
            apart = divergence(logits.float()[target], self._aim(self.teacher, batch, examples))
            figures["divergence"] = float(apart.detach().mean())
            each = each.masked_scatter(target, apart)
        code_loss = (each * weight).sum() / weight.sum()
        return code_loss, move_loss, figures

    @torch.no_grad()
    def _aim(self, teacher: AR, batch: dict[str, Tensor], examples: list[Example]) -> Tensor:
        """The guided teacher's probabilities [rows, 1024] of the targets' frames, item by item."""
        alone = ar_batch([example.unprompted() for example in examples], self.device)
        found = []
        for given in (batch, alone):
            with mixed_precision(self.device):
                logits, _ = ar_outputs(teacher, given)
            found.append(logits.float()[given["is_target"] & (given["codes"][..., 0] != NO_CODE)])
        lengths = torch.tensor([len(e.target.codes) for e in examples], device=self.device)
        strength = torch.from_numpy(guidance_of(examples, self.guidance)).to(self.device)
        return guided(found[0], found[1], strength.repeat_interleave(lengths))

    def sample(self, folder: Path, number: int) -> None:
        """Its samples need the whole chain: `valle export`, then `valle speak`."""


def ar_outputs(ar: AR, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits [B, T, 1024] and moves [B, T, 3] of a batch; T: the context's rows, then the target's.

    Every piece is encoded by itself, the context without the style: so running reads it.
    """
    encoded = [
        ar.phonemes(batch[f"{place}_symbols"], batch[f"{place}_stress"], batch["voice"], style)
        for place, style in (("first", None), ("second", None), ("target", batch["style"]))
        if f"{place}_symbols" in batch
    ]
    rows = gather_rows(torch.cat(encoded, dim=1), batch["frame_symbol"])
    return ar.forward_rows(batch["inputs"], rows, batch["stay"])


def ar_batch(examples: list[Example], device: torch.device) -> dict[str, Tensor]:
    """Tensors of the examples: rows of the context, then of the target, padded on the right.

    Symbols lie in columns: the context's first piece, its second where any example has one, the
    target; `frame_symbol` counts through all of them.
    """
    pieces = [(*example.context, example.target) for example in examples]
    places: dict[str, list[Piece | None]] = {
        "first": [example.context[0] for example in examples],
        "second": [example.context[1] if example.context[1:] else None for example in examples],
        "target": [example.target for example in examples],
    }
    if not any(places["second"]):
        del places["second"]
    none = np.zeros(0, np.int64)
    arrays: dict[str, NDArray[np.int64]] = {}
    begin = 0
    begins: dict[str, int] = {}
    for place, own in places.items():
        symbols = padded([none if piece is None else piece.symbols for piece in own], PADDING)
        arrays[f"{place}_symbols"] = symbols
        stress = [none if piece is None else piece.stress for piece in own]
        arrays[f"{place}_stress"] = padded(stress, 0)
        begins[place] = begin
        begin += symbols.shape[1]
    paths = [
        np.concatenate(
            [
                begins[place] + piece.frame_symbol
                for place, own in places.items()
                if (piece := own[index]) is not None
            ]
        )
        for index in range(len(examples))
    ]
    arrays |= {
        "codes": padded([np.concatenate([p.codes for p in row]) for row in pieces], NO_CODE),
        "frame_symbol": padded(paths, 0),
        "stay": padded([np.concatenate([stays(p.frame_symbol) for p in row]) for row in pieces], 0),
        "moves": padded([np.concatenate([_moves(p) for p in row]) for row in pieces], _IGNORED),
        "is_target": padded(
            [
                (np.arange(len(p)) >= e.frames).astype(np.int64)
                for p, e in zip(paths, examples, strict=True)
            ],
            0,
        ),
        "style": np.stack([example.style for example in examples]),
        "prompt_frames": np.array([example.frames for example in examples]),
        "prefix_frames": np.array([example.prefix for example in examples]),
    }
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    tensors["is_target"] = tensors["is_target"].bool()
    # The voice is the prompt's, as it is when a stranger's recording is all there is.
    tensors["voice"] = torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(device)
    frames = tensors["prompt_frames"], tensors["prefix_frames"]
    tensors["inputs"] = input_codes(tensors["codes"], *frames)
    return tensors


def _moves(piece: Piece) -> NDArray[np.int64]:
    """The move after each frame; where a piece was cut, its last one is not known."""
    if not len(piece.frame_symbol):
        return piece.frame_symbol
    last = _IGNORED if piece.stop is None else piece.stop - piece.frame_symbol[-1]
    return np.append(np.diff(piece.frame_symbol), last)
