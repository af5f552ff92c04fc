"""What lies in the folder of a run: the checkpoint, the model's size, the borders of styles."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from valle.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_NAME = "styles.json"
# Of a size, what may differ from the checkpoint that a run goes on from.
_NO_SHAPE = frozenset({"dropout", "max_positions", "block", "past", "ahead"})


def write_checkpoint(path: Path, modules: dict[str, dict[str, Tensor]], **state: Any) -> None:
    """Write the weights of modules, and plain values beside them, whole or not at all."""
    temporary = path.with_suffix(".tmp")
    torch.save({"modules": modules, **state}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

    Raises:
        UsageError: there is none.
    """
    if not path.is_file():
        raise UsageError(f"no checkpoint at {path}; train that model first (valle train ...)")
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return state


def keep_size(folder: Path, size: DataclassInstance, deeper: frozenset[str] = frozenset()) -> None:
    """Write a model's shapes into its run's folder, for those who read its checkpoint.

    Of the shapes named in `deeper` the checkpoint may have fewer: its model grows.

    Raises:
        UsageError: the folder holds a checkpoint of a model of other shapes.
    """
    path, wanted = folder / "size.json", asdict(size)
    if (folder / "checkpoint.pt").is_file() and path.is_file():
        there = json.loads(path.read_text(encoding="utf-8"))
        for name in wanted.keys() - _NO_SHAPE:
            known = there.get(name, wanted[name])
            if known != wanted[name] and not (name in deeper and known < wanted[name]):
                raise UsageError(
                    f"{folder} holds a model of another --size ({name} {there[name]}, not "
                    f"{wanted[name]}); give that size, or another --runs"
                )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(wanted), encoding="utf-8")


def keep_borders(folder: Path, borders: NDArray[np.float64] | None) -> None:
    """Write borders [5, 7] into a run's folder, whole or not at all; None writes nothing."""
    if borders is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (_NAME + ".tmp")
    temporary.write_text(json.dumps(np.asarray(borders).tolist()), encoding="utf-8")
    temporary.replace(folder / _NAME)


def same_borders(one: NDArray[np.float64] | None, other: NDArray[np.float64] | None) -> bool:
    """Whether the classes of two runs mean the same; so they do where neither knows styles."""
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def kept_borders(folder: Path) -> NDArray[np.float64] | None:
    """The borders [5, 7] that a run has learnt from so far; None if it knows no styles.

    They stay what they are when a run goes on with other corpora: what a class means is part of
    the model.
    """
    path = folder / _NAME
    if not path.is_file():
        return None
    return np.array(json.loads(path.read_text(encoding="utf-8")), np.float64)
