"""A picture of where a recording is marked, and where it sounds made (extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from valle.errors import UsageError
from valle.files import replacing

_POINTS = 2000  # of the outline of a waveform, however long it is


def save_picture(
    target: str | Path,
    samples: NDArray[np.float32],
    sample_rate: int,
    spans: Sequence[tuple[float, float]],
    made: NDArray[np.float64] | None,
) -> None:
    """Draw `samples` [N], N at least 1, with the marked spans (seconds) in colour; PNG.

    `made` [S]: the probability that each second is made speech, 0 to 1, drawn as steps from bottom
    to top; None where there is no detector.

    Raises UsageError without matplotlib, OutputError if the file cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            "--picture needs the package matplotlib: pip install 'valle[plot]'"
        ) from error
    starts = np.linspace(0, len(samples), min(_POINTS, len(samples)), endpoint=False).astype(int)
    times = starts / sample_rate
    figure = Figure(figsize=(10, 3), layout="constrained")
    axes = figure.add_subplot()
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    axes.fill_between(times, low, high, color="0.3", linewidth=0)
    for start, end in spans:
        axes.axvspan(start, end, color="tab:orange", alpha=0.35, linewidth=0)
    if made is not None:
        edges = np.minimum(np.arange(len(made) + 1), len(samples) / sample_rate)
        axes.stairs(2 * made - 1, edges, baseline=None, color="tab:red", linewidth=1.5)
    axes.set_xlim(0, len(samples) / sample_rate)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.set_xlabel("seconds")
    title = "marked as made by valle" if spans else "no watermark found"
    axes.set_title(title if made is None else f"{title}; red: how surely each second sounds made")
    with replacing(target) as part:
        figure.savefig(part, format="png")
