"""Classifier-free guidance that costs nothing when running: a model learns to speak as if guided.

Guidance (Ho and Salimans 2022, section 3.2) moves a model's logits further from what it would say
in anybody's voice: `anybody + (1 + strength) * (prompted - anybody)`. Applied when running it asks
for every step twice. Here a frozen copy of the model is guided, and the model learns its
distributions (as Meng et al. 2023 do for diffusion models).
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from valle.errors import UsageError
from valle.training.data.examples import Example
from valle.training.run_folder import load_checkpoint

STRONGEST = 10.0


def guided(prompted: Tensor, anybody: Tensor, strength: Tensor) -> Tensor:
    """Probabilities [rows, classes] of logits of the same shape; strength [rows] (0: unguided)."""
    return (prompted + strength[:, None] * (prompted - anybody)).softmax(-1)


def divergence(logits: Tensor, wanted: Tensor) -> Tensor:
    """[rows] Kullback-Leibler divergence, in nats, of logits from the probabilities wanted."""
    logs = logits.log_softmax(-1)
    return functional.kl_div(logs, wanted, reduction="none").sum(-1)


def guidance_of(examples: Sequence[Example], strength: float) -> NDArray[np.float32]:
    """[B] the strength for each example: a middle belongs to what is around it, and has none."""
    return np.array(
        [strength if example.prefix == example.frames else 0.0 for example in examples], np.float32
    )


def keep_teacher(run: Path, strength: float) -> Path:
    """The model that a run began from, kept in a run of its own below it.

    Raises:
        UsageError: there is none, the run has gone on from it already, or guidance of another
            strength was being learnt.
    """
    if not 0.0 < strength <= STRONGEST:
        raise UsageError(f"--guidance must be above 0 and at most {STRONGEST:.0f}, not {strength}")
    teacher, note = run / "teacher", run / "teacher" / "strength.txt"
    if note.is_file():
        before = float(note.read_text(encoding="utf-8"))
        if before != strength:
            raise UsageError(f"{run} learns from guidance of {before}; give that, or other --runs")
        return teacher
    begin = run / "checkpoint.pt"
    if not begin.is_file() or load_checkpoint(begin)["step"] > 0:
        raise UsageError(
            f"guidance teaches a model that has been trained, from its beginning in {run} on: "
            "`valle export` what was trained, and `valle import` that bundle into other --runs"
        )
    teacher.mkdir(exist_ok=True)
    for name in ("size.json", "checkpoint.pt"):
        shutil.copyfile(run / name, teacher / name)
    note.write_text(str(strength), encoding="utf-8")  # the last: all is there
    return teacher
