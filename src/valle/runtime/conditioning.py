"""What a graph is fed as the style that is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from numpy.typing import NDArray

from valle.audio.prosody import CLASSES, STYLES, UNSET
from valle.errors import UsageError

if TYPE_CHECKING:
    from valle.bundle.config import BundleConfig


def is_asked(style: NDArray[np.int64] | None) -> TypeGuard[NDArray[np.int64]]:
    """Whether any of the classes [5] is set (None: none is)."""
    return style is not None and bool(style.any())


def style_input(
    config: BundleConfig, style: NDArray[np.int64] | None
) -> dict[str, NDArray[np.int64]]:
    """What a graph of a bundle is fed as its style: classes [5] (None: all are unset).

    Raises:
        UsageError: a style is asked for that the bundle does not know.
    """
    if config.style is None:
        if is_asked(style):
            raise UsageError(f"the bundle {config.name!r} was trained without styles")
        return {}
    asked = np.full(len(STYLES), UNSET, np.int64) if style is None else style
    if asked.shape != (len(STYLES),) or asked.min() < UNSET or asked.max() > CLASSES:
        raise UsageError(f"a style has {len(STYLES)} classes from {UNSET} (unset) to {CLASSES}")
    return {"style": asked[None]}
