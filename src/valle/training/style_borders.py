"""What the classes of styles mean to a run: the borders between them, kept in its folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_NAME = "styles.json"


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
