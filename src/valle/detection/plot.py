"""A plot of where a recording is watermarked, and where it sounds synthetic (extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from valle.audio.figure import new_figure
from valle.files import write_atomically

_POINTS = 2000  # of the waveform's outline, however long the recording is


def save_detection_plot(
    target: str | Path,
    samples: NDArray[np.float32],
    sample_rate: int,
    spans: Sequence[tuple[float, float]],
    synthetic: NDArray[np.float64] | None,
) -> None:
    """Plot the waveform, the watermarked spans, and the probability of synthetic speech.

    Args:
        target: The PNG file to write.
        samples: [N] mono in [-1, 1], N at least 1.
        sample_rate: Hz.
        spans: Start and end of each watermarked span, in seconds.
        synthetic: [S] probability that each second is synthetic, drawn as steps from bottom (0) to
            top (1); None without a detector.

    Raises:
        UsageError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    starts = np.linspace(0, len(samples), min(_POINTS, len(samples)), endpoint=False).astype(int)
    times = starts / sample_rate
    figure = new_figure((10, 3))
    axes = figure.add_subplot()
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    axes.fill_between(times, low, high, color="0.3", linewidth=0)
    for start, end in spans:
        axes.axvspan(start, end, color="tab:orange", alpha=0.35, linewidth=0)
    if synthetic is not None:
        edges = np.minimum(np.arange(len(synthetic) + 1), len(samples) / sample_rate)
        axes.stairs(2 * synthetic - 1, edges, baseline=None, color="tab:red", linewidth=1.5)
    axes.set_xlim(0, len(samples) / sample_rate)
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.set_xlabel("seconds")
    title = "watermarked by valle" if spans else "no watermark found"
    if synthetic is not None:
        title += "; red: probability that each second is synthetic"
    axes.set_title(title)
    with write_atomically(target) as part:
        figure.savefig(part, format="png")
