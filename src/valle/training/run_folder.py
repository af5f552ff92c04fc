"""The files of a training run: its checkpoint, the model's size, the edges of the style bins."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from valle.errors import UsageError
from valle.files import write_atomically

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

CHECKPOINT = "checkpoint.pt"
SIZE = "size.json"
_STYLES = "styles.json"
_ORIGIN = "origin.json"
# Fields of a size that may differ from those of the checkpoint, since no weight depends on them.
_NOT_SHAPES = frozenset({"dropout", "max_positions", "block", "past", "ahead"})


class Origin(BaseModel):
    """Where the models of a run come from, if `valle import` wrote it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    """The bundle's name."""
    graphs: dict[str, str]
    """SHA-256 of its graphs by name."""
    consents: tuple[dict[str, Any], ...]
    """Its receipts, which every bundle that descends from it carries on."""


def save_origin(folder: Path, origin: Origin) -> None:
    """Write where the models of a run come from into its folder."""
    with write_atomically(folder / _ORIGIN) as temporary:
        temporary.write_text(origin.model_dump_json(), encoding="utf-8")


def load_origin(folder: Path) -> Origin | None:
    """Read where the models of a run come from; None if they were trained from random weights.

    Raises:
        UsageError: the file is damaged.
    """
    path = folder / _ORIGIN
    if not path.is_file():
        return None
    try:
        return Origin.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} is damaged: the models may need receipts that are in it; import the bundle "
            "again"
        ) from error


def write_checkpoint(path: Path, modules: dict[str, dict[str, Tensor]], **state: Any) -> None:
    """Write the weights of modules and further state atomically."""
    temporary = path.with_suffix(".tmp")
    torch.save({"modules": modules, **state}, temporary)
    temporary.replace(path)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint; only tensors and plain values are unpickled.

    Raises:
        UsageError: there is none, or the file is damaged.
    """
    if not path.is_file():
        raise UsageError(f"there is no checkpoint at {path}; train that model first (valle train)")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UsageError(
            f"{path} is not a checkpoint of this program or is damaged ({reason}); restore it, or "
            "train again with other --runs"
        ) from error
    return state


def save_size(folder: Path, size: DataclassInstance, deeper: frozenset[str] = frozenset()) -> None:
    """Write a model's size into its run's folder, where it is read with the checkpoint.

    Args:
        folder: of the run.
        size: the size's dataclass.
        deeper: numbers of layers that may be larger than in the checkpoint (depth growth).

    Raises:
        UsageError: the folder has a checkpoint of a model of another size.
    """
    path, new = folder / SIZE, asdict(size)
    if (folder / CHECKPOINT).is_file() and path.is_file():
        old = json.loads(path.read_text(encoding="utf-8"))
        for name in new.keys() - _NOT_SHAPES:
            value = old.get(name, new[name])
            if value != new[name] and not (name in deeper and value < new[name]):
                raise UsageError(
                    f"{folder} has a model of another --size ({name} {value}, not {new[name]}); "
                    "give that size, or other --runs"
                )
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(new), encoding="utf-8")


def save_bin_edges(folder: Path, bin_edges: NDArray[np.float64] | None) -> None:
    """Write the edges of the style bins [5, 7] into a run's folder atomically; None: nothing."""
    if bin_edges is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (_STYLES + ".tmp")
    temporary.write_text(json.dumps(np.asarray(bin_edges).tolist()), encoding="utf-8")
    temporary.replace(folder / _STYLES)


def have_same_bin_edges(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    """Whether the style bins of two runs are the same; also if neither run has styles (None)."""
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b)


def load_bin_edges(folder: Path) -> NDArray[np.float64] | None:
    """The edges of the style bins [5, 7] of a run; None if it has no styles.

    They do not change when a run continues with other corpora: what a bin means is part of the
    model.
    """
    path = folder / _STYLES
    if not path.is_file():
        return None
    return np.array(json.loads(path.read_text(encoding="utf-8")), np.float64)
