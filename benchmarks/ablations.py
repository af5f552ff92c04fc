"""Ablations of the AR: short trainings of a small one, each without one ingredient.

    python benchmarks/ablations.py --speech data/speech --speeds data/slower --speeds data/faster \
        --synthetic data/synthetic

One speaker in twelve is held out of all trainings. The figures are the cross-entropy of the first
codebook on targets in nats per code (lower is better), on held-out and on training speakers: the
difference shows how far the model overfits. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.split import is_calibration_speaker
from valle.corpora.store import Store
from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_codec
from valle.training.data.examples import ExampleSource
from valle.training.models.ar import AR
from valle.training.models.codec import Codec
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.models.sizes import CODEBOOK_SIZE, NO_CODE, ARSize
from valle.training.models.transformer import rotary_angles
from valle.training.trainers.ar import collate_examples, predict_batch
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)

_CPU = torch.device("cpu")
_SHAPE = {"layers": 4, "heads": 4, "width": 192, "feed_forward": 768}
_BATCH, _RATE = 8, 1e-3
_PROMPT, _TARGET, _FROM_START = (75, 150), (100, 300), 0.7  # as the AR is trained
_CALIBRATION_ONE_IN = 12
_TEST_BATCHES = 24
_SPEEDS_SHARE, _SYNTHETIC_SHARE = 0.52, 0.06  # of the examples, where they are used


@dataclass(frozen=True)
class Trial:
    """A training: its data, and the form of the AR."""

    speeds: bool = True
    synthetic: bool = True
    dropout: float = 0.1
    form: str = "pointer"


TRIALS = {
    "full": Trial(),
    "without synthetic speech": Trial(synthetic=False),
    "without speed perturbation": Trial(speeds=False),
    "without dropout": Trial(dropout=0.0),
    "recordings alone": Trial(speeds=False, synthetic=False, dropout=0.0),
    "pointer and text prefix": Trial(form="both"),
    "text prefix, no pointer": Trial(form="prefix"),
    "two frames per step": Trial(form="grouped"),
}


class Plain(nn.Module):
    """The AR as it is."""

    def __init__(self, ar: AR) -> None:
        super().__init__()
        self.ar = ar

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [B, T, 1024]."""
        return predict_batch(self.ar, batch)[0]


class Prefixed(nn.Module):
    """The symbols of prompt and target as rows before the frames (VALL-E); if `aligned`, each frame
    also reads its own symbol."""

    def __init__(self, ar: AR, aligned: bool) -> None:
        super().__init__()
        self.ar, self.aligned = ar, aligned

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [B, T, 1024]."""
        ar = self.ar
        encoded, symbols = _encode(ar, batch)
        frames = ar.codes(batch["inputs"])
        if self.aligned:
            frames = frames + _align(ar, encoded, batch)
        hidden = torch.cat([ar.project(encoded), frames], dim=1)
        is_real = functional.pad(symbols != PADDING, (0, frames.shape[1]), value=True)
        length = hidden.shape[1]
        mask = is_real[:, None, None] & torch.ones(length, length, dtype=torch.bool).tril()
        mask = mask | torch.eye(length, dtype=torch.bool)  # a padding row sees itself
        hidden = _run_blocks(ar, hidden, mask)
        logits: Tensor = ar.code_head(hidden[:, symbols.shape[1] :])
        return logits


class Grouped(nn.Module):
    """Two frames per row (VALL-E 2): both codes are predicted at once, from the rows before."""

    def __init__(self, ar: AR) -> None:
        super().__init__()
        width = ar.size.width
        self.ar = ar
        self.pair = nn.Linear(2 * width, width)
        self.second = nn.Linear(width, CODEBOOK_SIZE)
        with torch.no_grad():
            self.second.weight.copy_(ar.code_head.weight)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [B, T, 1024]."""
        ar = self.ar
        encoded, _ = _encode(ar, batch)
        aligned = _align(ar, encoded, batch)
        frames = batch["codes"].shape[1]
        # Row r reads the codes of frames 2r - 2 and 2r - 1, and is at the symbols of 2r and 2r + 1.
        codes = functional.pad(batch["inputs"], (0, 0, 0, 1 + frames % 2), value=NO_CODE)
        read = ar.codes(codes)  # read[t]: the code before frame t
        before = functional.pad(read, (0, 0, 1, 0))[:, : 2 * ((frames + 1) // 2)]
        now = read[:, : before.shape[1]]
        pairs = torch.cat([before[:, ::2], now[:, ::2]], dim=-1)
        aligned = functional.pad(aligned, (0, 0, 0, frames % 2))
        hidden = self.pair(pairs) + 0.5 * (aligned[:, ::2] + aligned[:, 1::2])
        hidden = _run_blocks(ar, hidden, None)
        logits = torch.stack([ar.code_head(hidden), self.second(hidden)], dim=2)
        return logits.flatten(1, 2)[:, :frames]


def _encode(ar: AR, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Encode the symbols of prompt and target separately: [B, S, width], and the symbols [B, S]."""
    rows, symbols = [], []
    for place, style in (("first", None), ("target", batch["style"])):
        part = batch[f"{place}_symbols"]
        rows.append(ar.phonemes(part, batch[f"{place}_stress"], batch["voice"], style))
        symbols.append(part)
    return torch.cat(rows, dim=1), torch.cat(symbols, dim=1)


def _align(ar: AR, encoded: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """The inputs of the frames from the symbols they are at, [B, T, width]."""
    rows: Tensor = ar.project(gather_rows(encoded, batch["frame_symbol"]))
    return rows + ar.stay(batch["stay"].clamp(max=FRAMES_ON_SYMBOL_BINS - 1))


def _run_blocks(ar: AR, hidden: Tensor, mask: Tensor | None) -> Tensor:
    hidden = functional.dropout(hidden, ar.size.dropout, ar.training)
    positions = torch.arange(hidden.shape[1])
    angles = rotary_angles(positions, ar.size.width // ar.size.heads)
    for block in ar.blocks:
        hidden, _, _ = block(hidden, angles, mask=mask, causal=mask is None)
    out: Tensor = ar.out_norm(hidden)
    return out


FORMS: dict[str, Callable[[AR], nn.Module]] = {
    "pointer": Plain,
    "both": lambda ar: Prefixed(ar, aligned=True),
    "prefix": lambda ar: Prefixed(ar, aligned=False),
    "grouped": Grouped,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speech", type=Path, required=True, help="a store of recordings")
    parser.add_argument("--speeds", type=Path, action="append", required=True)
    parser.add_argument("--synthetic", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="of the trained codec")
    parser.add_argument("--only", choices=TRIALS, action="append", help="(default: all)")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    codec = load_codec(arguments.runs / "codec")
    results = {}
    for name in arguments.only or TRIALS:
        start = time.monotonic()
        results[name] = _train(TRIALS[name], arguments, codec)
        minutes = (time.monotonic() - start) / 60
        print(name, results[name], f"{minutes:.1f} min", file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


def _train(trial: Trial, arguments: argparse.Namespace, codec: Codec) -> dict[str, Any]:
    torch.manual_seed(0)
    stores, shares = [_part(arguments.speech, held_out=False)], [1.0]
    if trial.speeds:
        stores += [_part(folder, held_out=False) for folder in arguments.speeds]
        share = _SPEEDS_SHARE / len(arguments.speeds)
        shares = [1.0 - _SPEEDS_SHARE, *[share] * len(arguments.speeds)]
    if trial.synthetic:
        stores.append(Store(arguments.synthetic))
        shares = [share * (1.0 - _SYNTHETIC_SHARE) for share in shares] + [_SYNTHETIC_SHARE]
    source = ExampleSource(stores, shares, seed=0)
    ar = AR(ARSize(**_SHAPE, dropout=trial.dropout), len(SYMBOLS))
    ar.initialize_from(codec.quantiser.tables)
    model = FORMS[trial.form](ar)
    optimizer = language_model_optimizer(model, _RATE)
    for number in range(arguments.steps):
        set_learning_rate(optimizer, learning_rate(number / arguments.steps, _RATE))
        loss, _ = _loss(model, source)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.eval()
    figures = {}
    for name, store in (
        ("held-out", _part(arguments.speech, held_out=True)),
        ("training", stores[0]),
    ):
        source = ExampleSource([store], [1.0], seed=1)
        with torch.no_grad():
            losses = [float(_loss(model, source)[1]) for _ in range(_TEST_BATCHES)]
        figures[name] = round(float(np.mean(losses)), 4)
    return figures


def _part(folder: Path, held_out: bool) -> Store:
    """A store reduced to the held-out speakers, or to the others."""
    store = Store(folder)
    rows = [
        row
        for row, utterance in enumerate(store.utterances)
        if _is_held_out(utterance.speaker) == held_out
    ]
    _ = store.labels  # read while all utterances are there
    store.voices = store.voices[rows]
    store.utterances = [store.utterances[row] for row in rows]
    return store


def _is_held_out(speaker: str) -> bool:
    """Whether a speaker is held out, at every speed."""
    return is_calibration_speaker("comparison", speaker.split("@")[0], _CALIBRATION_ONE_IN)


def _loss(model: nn.Module, source: ExampleSource) -> tuple[Tensor, Tensor]:
    """Nats per code of prompts and targets, and of the targets alone."""
    examples = [source.example(_PROMPT, _TARGET, _FROM_START) for _ in range(_BATCH)]
    batch = collate_examples(examples, _CPU)
    with mixed_precision(_CPU):
        logits = model(batch)
    targets = batch["codes"][..., 0]
    losses = functional.cross_entropy(
        logits.float().flatten(0, 1), targets.flatten(), reduction="none", ignore_index=NO_CODE
    ).reshape(targets.shape)
    is_real = targets != NO_CODE
    return losses[is_real].mean(), losses[is_real & batch["is_target"]].mean()


if __name__ == "__main__":
    main()
