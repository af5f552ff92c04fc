"""The style input of the phoneme encoder and the NAR model."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeGuard

import numpy as np

from valle.arrays import Ints
from valle.audio.prosody import CLASSES, STYLES, UNSPECIFIED
from valle.errors import UsageError

if TYPE_CHECKING:
    from valle.bundle.config import BundleConfig


def is_style_set(style: Ints | None) -> TypeGuard[Ints]:
    """Return whether any of the style classes [5] is set; None means that none is."""
    return style is not None and bool(style.any())


def make_style_input(config: BundleConfig, style: Ints | None) -> dict[str, Ints]:
    """Return the graph input of a style; none for a bundle that takes no style.

    Args:
        config: The bundle's.
        style: [5] classes as in `valle.audio.prosody`; None leaves all of them unset.

    Raises:
        UsageError: A style is set that the bundle does not know.
    """
    if config.style is None:
        if is_style_set(style):
            raise UsageError(f"the bundle {config.name!r} was trained without styles")
        return {}
    classes = np.full(len(STYLES), UNSPECIFIED, np.int64) if style is None else style
    if classes.shape != (len(STYLES),) or classes.min() < UNSPECIFIED or classes.max() > CLASSES:
        raise UsageError(
            f"a style has {len(STYLES)} classes from {UNSPECIFIED} (unset) to {CLASSES}"
        )
    return {"style": classes[None]}
