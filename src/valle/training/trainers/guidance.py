"""Guidance distillation: an AR learns the distribution of its guided self.

Classifier-free guidance (Ho and Salimans 2022, section 3.2) extrapolates a model's logits away from
its unconditional ones: `unconditional + (1 + scale) * (conditional - unconditional)`. At run time
that costs every step twice. Here a frozen copy of the model is guided, and the model is trained on
its distributions (as Meng et al. 2023, "On distillation of guided diffusion models").
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
from valle.files import write_atomically
from valle.training.data.examples import Example
from valle.training.run_folder import CHECKPOINT, SIZE, load_checkpoint

MAX_SCALE = 10.0


def guided_probabilities(conditional: Tensor, unconditional: Tensor, scale: Tensor) -> Tensor:
    """Probabilities [rows, classes] of guided logits.

    Args:
        conditional: logits [rows, classes].
        unconditional: logits [rows, classes].
        scale: guidance scale of each row [rows]; 0 is unguided.
    """
    return (conditional + scale[:, None] * (conditional - unconditional)).softmax(-1)


def kl_divergence(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Kullback-Leibler divergence of logits from target probabilities, in nats; [rows]."""
    return functional.kl_div(logits.log_softmax(-1), probabilities, reduction="none").sum(-1)


def guidance_scales(examples: Sequence[Example], scale: float) -> NDArray[np.float32]:
    """The guidance scale of each example [B]: infilling is not guided, it fits its context."""
    return np.array(
        [scale if example.prefix == example.frames else 0.0 for example in examples], np.float32
    )


def save_teacher(run: Path, scale: float) -> Path:
    """Copy the model that a run starts from into a run of its own below it.

    Args:
        run: folder of the run.
        scale: of the guidance.

    Returns:
        The folder of the teacher.

    Raises:
        UsageError: the scale is out of range, there is no model, it has already been trained
            further, or the run distills guidance of another scale.
    """
    if not 0.0 < scale <= MAX_SCALE:
        raise UsageError(f"--guidance must be above 0 and at most {MAX_SCALE:.0f}, not {scale}")
    teacher, note = run / "teacher", run / "teacher" / "strength.txt"
    if note.is_file():
        earlier = float(note.read_text(encoding="utf-8"))
        if earlier != scale:
            raise UsageError(
                f"{run} distills --guidance {earlier}; give that scale, or other --runs"
            )
        return teacher
    copy_start(run, teacher, "guidance is distilled into")
    note.write_text(str(scale), encoding="utf-8")  # written last, when the copy is complete
    return teacher


def copy_start(run: Path, copy: Path, purpose: str) -> None:
    """Copy the model that a run starts from into another folder.

    Args:
        run: folder of the run.
        copy: the other folder.
        purpose: what the model is copied for, for the error message: "... a trained model".

    Raises:
        UsageError: there is no model, or it has already been trained further.
    """
    start = run / CHECKPOINT
    if not start.is_file() or load_checkpoint(start)["step"] > 0:
        raise UsageError(
            f"{purpose} a trained model, from the first step in {run}: `valle export` the trained "
            "models, and `valle import` that bundle into other --runs"
        )
    copy.mkdir(exist_ok=True)
    for name in (SIZE, CHECKPOINT):
        with write_atomically(copy / name) as temporary:
            shutil.copyfile(run / name, temporary)
