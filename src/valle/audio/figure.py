"""Figures of Matplotlib, which the extra `plot` installs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from valle.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(inches: tuple[float, float], dpi: float | None = None) -> Figure:
    """Return an empty figure.

    It is a `Figure` of its own, not one of pyplot: no window system, and no state that callers
    share.

    Args:
        inches: Width and height.
        dpi: Dots per inch; None for Matplotlib's.

    Raises:
        UsageError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "a plot needs the package matplotlib: pip install 'valle[plot]'"
        ) from error
    return Figure(figsize=inches, dpi=dpi, layout="constrained")
