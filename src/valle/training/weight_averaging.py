"""`valle average`: one model that is the mean of the weights of several.

Runs that went on from the same weights lie in one valley, and their mean is mostly better than each
of them; with the weights before as one of them, a fine-tuned model keeps more of what it knew
(Wortsman et al. 2022, "Robust fine-tuning of zero-shot models", section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from valle.errors import OutputError, UsageError
from valle.training.run_folder import (
    keep_borders,
    kept_borders,
    load_checkpoint,
    same_borders,
    write_checkpoint,
)


def average_runs(runs: Sequence[Path], into: Path) -> str:
    """Write the mean of the models of some runs as a run, as `valle import` writes one.

    Weights that all runs have alike stay so to the bit: where a codec's decoder alone learnt, codes
    stay what they were. Whatever is no weight (a counter, a switch) is the first run's. Returns the
    stage that they are of.

    Raises:
        OutputError: `into` holds a run already, which would be lost.
        UsageError: there are fewer than two runs, one is none, or they are of different stages,
            sizes or styles.
    """
    if len(runs) < 2:
        raise UsageError(f"a mean is of two runs or more, not of {len(runs)}")
    if (into / "checkpoint.pt").exists():
        raise OutputError(f"{into} holds a run already; give another folder")
    stage, first = _model(runs[0])
    borders = kept_borders(runs[0])
    sums = {
        name: weight.double() if weight.is_floating_point() else weight
        for name, weight in first.items()
    }
    for run in runs[1:]:
        other, weights = _model(run)
        if other != stage:
            raise UsageError(f"{runs[0]} is a run of {stage}, {run} of {other}: there is no mean")
        if _shapes(weights) != _shapes(first):
            raise UsageError(f"{runs[0]} and {run} are models of other sizes: there is no mean")
        if not same_borders(borders, kept_borders(run)):
            raise UsageError(
                f"{runs[0]} and {run} learnt from styles with other borders: a class of one means "
                "something else in the other"
            )
        for name, weight in weights.items():
            if weight.is_floating_point():
                sums[name] += weight
    mean = {
        name: (total / len(runs)).to(first[name].dtype) if total.is_floating_point() else total
        for name, total in sums.items()
    }
    into.mkdir(parents=True, exist_ok=True)
    (into / "size.json").write_bytes((runs[0] / "size.json").read_bytes())
    keep_borders(into, borders)
    write_checkpoint(into / "checkpoint.pt", {stage: mean}, step=0, spent_seconds=0.0)
    return stage


def _model(run: Path) -> tuple[str, dict[str, Tensor]]:
    """Stage and weights of a run's model, the first of its modules; the others only train it."""
    modules = load_checkpoint(run / "checkpoint.pt")["modules"]
    stage = next(iter(modules))
    return stage, modules[stage]


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}
