"""`valle average`: weight averaging of several training runs (a model soup).

Runs that continue from the same weights end in the same basin, where their average is usually
better than each of them (Wortsman et al. 2022, "Model soups"). With the initial weights as one of
the runs, a fine-tuned model keeps more of what it could do before (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models", section 3).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from valle.errors import OutputError, UsageError
from valle.training.run_folder import (
    CHECKPOINT,
    SIZE,
    Origin,
    have_same_bin_edges,
    load_bin_edges,
    load_checkpoint,
    load_origin,
    save_bin_edges,
    save_origin,
    write_checkpoint,
)


def average_runs(runs: Sequence[Path], into: Path) -> str:
    """Average the models of several runs and write the result as a run, as `valle import` does.

    Weights that are equal in all runs stay equal to the bit, so codes do not change where only the
    codec's decoder was trained. Buffers that are not floating-point come from the first run.

    Args:
        runs: folders of two or more runs of the same stage; one named twice counts twice.
        into: the folder of the new run.

    Returns:
        The stage of the runs.

    Raises:
        OutputError: `into` already has a run.
        UsageError: there are fewer than two runs, a folder is not a run, or the runs differ in
            stage, size or style bins.
    """
    if len(runs) < 2:
        raise UsageError(f"averaging needs two runs or more, not {len(runs)}")
    if (into / CHECKPOINT).exists():
        raise OutputError(f"{into} already has a run; give another folder")
    stage, first = _load_model(runs[0])
    bin_edges = load_bin_edges(runs[0])
    sums = {
        name: weight.double() if weight.is_floating_point() else weight
        for name, weight in first.items()
    }
    for run in runs[1:]:
        other_stage, weights = _load_model(run)
        if other_stage != stage:
            raise UsageError(
                f"{runs[0]} is a run of {stage}, {run} of {other_stage}: give runs of one"
            )
        if _shapes(weights) != _shapes(first):
            raise UsageError(f"{runs[0]} and {run} are models of different sizes: give one size")
        if not have_same_bin_edges(bin_edges, load_bin_edges(run)):
            raise UsageError(
                f"{runs[0]} and {run} were trained with different style bins, so their style "
                "embeddings cannot be averaged"
            )
        for name, weight in weights.items():
            if weight.is_floating_point():
                sums[name] += weight
    mean = {
        name: (total / len(runs)).to(first[name].dtype) if total.is_floating_point() else total
        for name, total in sums.items()
    }
    into.mkdir(parents=True, exist_ok=True)
    (into / SIZE).write_bytes((runs[0] / SIZE).read_bytes())
    save_bin_edges(into, bin_edges)
    origins = [origin for run in runs if (origin := load_origin(run)) is not None]
    if origins:
        consents = {str(r.get("id")): r for origin in origins for r in origin.consents}
        name = ", ".join(sorted({origin.bundle for origin in origins}))
        save_origin(into, Origin(bundle=name, graphs={}, consents=tuple(consents.values())))
    write_checkpoint(into / CHECKPOINT, {stage: mean}, step=0, spent_seconds=0.0)
    return stage


def _load_model(run: Path) -> tuple[str, dict[str, Tensor]]:
    """Stage and weights of a run's model: the first of its modules; the others only train it."""
    modules = load_checkpoint(run / CHECKPOINT)["modules"]
    stage = next(iter(modules))
    return stage, modules[stage]


def _shapes(weights: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}
