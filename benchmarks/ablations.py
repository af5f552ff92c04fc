"""What the AR owes to what: short trainings of a small one, each without one thing.

    python benchmarks/ablations.py --speech data/speech --speeds data/slower --speeds data/faster \
        --made data/made

One speaker in twelve is kept out of all trainings. The figures are nats a code of the first
codebook on targets (lower is better), of speakers kept out and of those learnt from: the second
says how much is known by heart. Prints JSON.
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

from valle.corpora.split import is_held
from valle.corpora.store import Store
from valle.runtime.pointer import STAYS
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_codec
from valle.training.data.examples import ExampleSource
from valle.training.models.ar import AR
from valle.training.models.codec import Codec
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.models.sizes import CODEBOOK_SIZE, NO_CODE, ARSize
from valle.training.models.transformer import rotary_angles
from valle.training.trainers.ar import ar_batch, ar_outputs
from valle.training.trainers.loop import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)

_CPU = torch.device("cpu")
_SHAPE = {"layers": 4, "heads": 4, "width": 192, "feed_forward": 768}
_BATCH, _RATE = 8, 1e-3
_PROMPT, _TARGET, _FROM_START = (75, 150), (100, 300), 0.7  # as the AR is trained
_HELD_ONE_IN = 12
_JUDGED = 24  # batches
_SPEEDS_SHARE, _MADE_SHARE = 0.52, 0.06  # of the examples, where they are used


@dataclass(frozen=True)
class Trial:
    """A training: what it learns from, and which form of AR."""

    speeds: bool = True
    made: bool = True
    dropout: float = 0.1
    form: str = "pointer"


TRIALS = {
    "all of it": Trial(),
    "without made speech": Trial(made=False),
    "without other speeds": Trial(speeds=False),
    "without dropout": Trial(dropout=0.0),
    "recordings alone": Trial(speeds=False, made=False, dropout=0.0),
    "pointer and text prefix": Trial(form="both"),
    "text prefix, no pointer": Trial(form="prefix"),
    "two frames a step": Trial(form="grouped"),
}


class Plain(nn.Module):
    """The AR as it is."""

    def __init__(self, ar: AR) -> None:
        super().__init__()
        self.ar = ar

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [B, T, 1024]."""
        return ar_outputs(self.ar, batch)[0]


class Prefixed(nn.Module):
    """The symbols of prompt and target in rows before the frames (VALL-E); `aligned`: each frame
    reads its symbol as well."""

    def __init__(self, ar: AR, aligned: bool) -> None:
        super().__init__()
        self.ar, self.aligned = ar, aligned

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        """Logits [B, T, 1024]."""
        ar = self.ar
        encoded, symbols = _encoded(ar, batch)
        frames = ar.codes(batch["inputs"])
        if self.aligned:
            frames = frames + _aligned(ar, encoded, batch)
        hidden = torch.cat([ar.project(encoded), frames], dim=1)
        there = functional.pad(symbols != PADDING, (0, frames.shape[1]), value=True)
        length = hidden.shape[1]
        mask = there[:, None, None] & torch.ones(length, length, dtype=torch.bool).tril()
        mask = mask | torch.eye(length, dtype=torch.bool)  # a padded row sees itself
        hidden = _through(ar, hidden, mask)
        logits: Tensor = ar.code_head(hidden[:, symbols.shape[1] :])
        return logits


class Grouped(nn.Module):
    """Two frames a row (VALL-E 2): both codes are drawn at once, from the two rows before."""

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
        encoded, _ = _encoded(ar, batch)
        aligned = _aligned(ar, encoded, batch)
        frames = batch["codes"].shape[1]
        # Row r reads the codes of frames 2r - 2 and 2r - 1, and is at the symbols of 2r and 2r + 1.
        own = functional.pad(batch["inputs"], (0, 0, 0, 1 + frames % 2), value=NO_CODE)
        read = ar.codes(own)  # read[t]: the code before frame t
        before = functional.pad(read, (0, 0, 1, 0))[:, : 2 * ((frames + 1) // 2)]
        now = read[:, : before.shape[1]]
        pairs = torch.cat([before[:, ::2], now[:, ::2]], dim=-1)
        aligned = functional.pad(aligned, (0, 0, 0, frames % 2))
        hidden = self.pair(pairs) + 0.5 * (aligned[:, ::2] + aligned[:, 1::2])
        hidden = _through(ar, hidden, None)
        logits = torch.stack([ar.code_head(hidden), self.second(hidden)], dim=2)
        return logits.flatten(1, 2)[:, :frames]


def _encoded(ar: AR, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The prompt's and the target's symbols [B, S], encoded [B, S, width] each by itself."""
    rows, symbols = [], []
    for place, style in (("first", None), ("target", batch["style"])):
        own = batch[f"{place}_symbols"]
        rows.append(ar.phonemes(own, batch[f"{place}_stress"], batch["voice"], style))
        symbols.append(own)
    return torch.cat(rows, dim=1), torch.cat(symbols, dim=1)


def _aligned(ar: AR, encoded: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """What each frame reads of the symbol that it is at, [B, T, width]."""
    rows: Tensor = ar.project(gather_rows(encoded, batch["frame_symbol"]))
    return rows + ar.stay(batch["stay"].clamp(max=STAYS - 1))


def _through(ar: AR, hidden: Tensor, mask: Tensor | None) -> Tensor:
    hidden = functional.dropout(hidden, ar.size.dropout, ar.training)
    positions = torch.arange(hidden.shape[1])
    cos, sin = rotary_angles(positions, ar.size.width // ar.size.heads)
    for block in ar.blocks:
        hidden, _, _ = block(hidden, cos, sin, mask=mask, causal=mask is None)
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
    parser.add_argument("--made", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the codec is")
    parser.add_argument("--only", choices=TRIALS, action="append", help="(all)")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    codec = load_codec(arguments.runs / "codec")
    results = {}
    for name in arguments.only or TRIALS:
        begun = time.monotonic()
        results[name] = _tried(TRIALS[name], arguments, codec)
        minutes = (time.monotonic() - begun) / 60
        print(name, results[name], f"{minutes:.1f} min", file=sys.stderr, flush=True)
    print(json.dumps(results, indent=1))


def _tried(trial: Trial, arguments: argparse.Namespace, codec: Codec) -> dict[str, Any]:
    torch.manual_seed(0)
    stores, shares = [_part(arguments.speech, held=False)], [1.0]
    if trial.speeds:
        stores += [_part(folder, held=False) for folder in arguments.speeds]
        each = _SPEEDS_SHARE / len(arguments.speeds)
        shares = [1.0 - _SPEEDS_SHARE, *[each] * len(arguments.speeds)]
    if trial.made:
        stores.append(Store(arguments.made))
        shares = [share * (1.0 - _MADE_SHARE) for share in shares] + [_MADE_SHARE]
    source = ExampleSource(stores, shares, seed=0)
    ar = AR(ARSize(**_SHAPE, dropout=trial.dropout), len(SYMBOLS))
    ar.start_from(codec.quantiser.tables)
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
    for name, store in (("held", _part(arguments.speech, held=True)), ("learnt", stores[0])):
        judged = ExampleSource([store], [1.0], seed=1)
        with torch.no_grad():
            found = [float(_loss(model, judged)[1]) for _ in range(_JUDGED)]
        figures[name] = round(float(np.mean(found)), 4)
    return figures


def _part(folder: Path, held: bool) -> Store:
    """A store of which only the speakers that are held, or only the others, are left."""
    store = Store(folder)
    rows = [
        row
        for row, utterance in enumerate(store.utterances)
        if is_held("comparison", utterance.speaker.split("@")[0], _HELD_ONE_IN) == held
    ]
    _ = store.labels  # read while all utterances are there
    store.voices = store.voices[rows]
    store.utterances = [store.utterances[row] for row in rows]
    return store


def _loss(model: nn.Module, source: ExampleSource) -> tuple[Tensor, Tensor]:
    """Nats a code of prompts and targets, and of the targets alone."""
    drawn = [source.example(_PROMPT, _TARGET, _FROM_START) for _ in range(_BATCH)]
    batch = ar_batch(drawn, _CPU)
    with mixed_precision(_CPU):
        logits = model(batch)
    wanted = batch["codes"][..., 0]
    each = functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), reduction="none", ignore_index=NO_CODE
    ).reshape(wanted.shape)
    real = wanted != NO_CODE
    target = real & batch["is_target"]
    return each[real].mean(), each[target].mean()


if __name__ == "__main__":
    main()
