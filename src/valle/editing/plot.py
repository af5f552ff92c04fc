"""A plot of a recording before and after an edit (extra `plot`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Floats
from valle.audio.figure import new_figure
from valle.editing.edit import EditedRecording
from valle.files import write_atomically

_AROUND = 1.5  # seconds shown before and after the words
_MOST = 12  # edits that are shown
_OLD, _NEW, _WAVE, _BLEND = "#c0392b", "#2f6db5", "#5b6b7b", "#e08a00"


def save_edit_plot(target: str | Path, edited: EditedRecording) -> None:
    """Plot each edit: the recording above, the result below.

    Args:
        target: The PNG file to write.
        edited: From `edit_recording`.

    Raises:
        UsageError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    spans = edited.spans[:_MOST]
    figure = new_figure((12, 0.8 + 3.2 * len(spans)), dpi=90)
    from matplotlib.patches import Patch

    grid = figure.subplots(2 * len(spans), 1, squeeze=False)[:, 0]
    rate = edited.sample_rate
    for number, span in enumerate(spans):
        before, after = grid[2 * number], grid[2 * number + 1]
        longest = max(span.was[1] - span.was[0], span.now[1] - span.now[0])
        for axes, samples, part, words, color, title in (
            (before, edited.original.samples, span.was, span.removed, _OLD, "before"),
            (after, edited.samples, span.now, span.added, _NEW, "after"),
        ):
            begin = max(0.0, part[0] - _AROUND)
            _draw_wave(axes, samples, rate, (begin, begin + longest + 2 * _AROUND))
            axes.axvspan(*part, color=color, alpha=0.2, linewidth=0)
            axes.set_ylabel(title)
            axes.text(
                part[0],
                1.02,
                words,
                color=color,
                fontsize=9,
                va="bottom",
                clip_on=True,
                parse_math=False,
            )
        for start, end in (
            (span.now[0], span.new_speech[0]),
            (span.new_speech[1], span.now[1]),
        ):
            after.axvspan(start, end, color=_BLEND, alpha=0.35, linewidth=0)
    labels = {_OLD: "replaced", _NEW: "new", _BLEND: "lead-in and cross-fade"}
    figure.legend(
        handles=[Patch(color=color, alpha=0.4, label=label) for color, label in labels.items()],
        loc="outside upper center",
        ncols=len(labels),
        frameon=False,
    )
    grid[-1].set_xlabel("seconds")
    with write_atomically(target) as part_file:
        figure.savefig(part_file, format="png")


def _draw_wave(axes: Any, samples: Floats, rate: int, window: tuple[float, float]) -> None:
    first = round(window[0] * rate)
    shown = samples[first : round(window[1] * rate)].mean(axis=1)
    hop = max(1, rate // 1000)
    peaks = np.abs(np.pad(shown, (0, -len(shown) % hop))).reshape(-1, hop).max(axis=1)
    times = first / rate + np.arange(len(peaks)) * hop / rate
    top = max(float(np.abs(samples).max(initial=0.0)), 1e-6)
    axes.fill_between(times, -peaks / top, peaks / top, color=_WAVE, linewidth=0)
    axes.set_xlim(*window)
    axes.set_ylim(-1, 1.25)
    axes.set_yticks([])
