"""A plot of a dubbed film: its cues, and the speech in them (extra `plot`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from valle.audio.figure import new_figure
from valle.dubbing.report import PEAKS_PER_SECOND, DubbedCue, DubResult
from valle.files import write_atomically

_ROW_SECONDS, _MAX_ROWS = 30.0, 60
_CUE = "#d5dce6"
_FITS, _SPILLED, _TOO_LONG, _LATE = "#2a7f62", "#e08a00", "#c62828", "#7b4fa3"


def save_dub_plot(target: str | Path, result: DubResult) -> None:
    """Plot the cues as boxes, the speech as a waveform, and what runs over its cue in color.

    Args:
        target: The PNG file to write.
        result: From `dub_film`.

    Raises:
        UsageError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    seconds = max([result.seconds, *(dubbed.placement.end for dubbed in result.cues)])
    row_seconds = max(min(_ROW_SECONDS, seconds), seconds / _MAX_ROWS)
    rows = max(1, math.ceil(seconds / row_seconds))
    figure = new_figure((14, 1.2 + 1.15 * rows), dpi=90)
    from matplotlib.patches import Patch

    grid = figure.subplots(rows, 1, squeeze=False)[:, 0]
    for row, axes in enumerate(grid):
        _draw_row(axes, result, row * row_seconds, row_seconds)
    colors = {
        "cue": _CUE,
        "speech that fits": _FITS,
        "runs into the gap": _SPILLED,
        "too long": _TOO_LONG,
        "late": _LATE,
    }
    figure.legend(
        handles=[Patch(color=color, label=label) for label, color in colors.items()],
        loc="outside upper center",
        ncols=len(colors),
        frameon=False,
    )
    grid[-1].set_xlabel("minutes and seconds of the film; above a cue its rate, if it is fast")
    with write_atomically(target) as part:
        figure.savefig(part, format="png")


def _draw_row(axes: Any, result: DubResult, begin: float, length: float) -> None:
    end = begin + length
    for number, dubbed in enumerate(result.cues):
        slot, placement = dubbed.slot, dubbed.placement
        if slot.start < end and slot.end > begin:
            axes.axvspan(slot.start, slot.end, ymax=0.8, color=_CUE, ec="#8fa0b8", zorder=1)
        if begin <= slot.start < end:
            axes.text(
                slot.start, 1.25 + 0.25 * (number % 2), _label(dubbed), fontsize=7, parse_math=False
            )
        if placement.start < end and placement.end > begin:
            _draw_speech(axes, result, dubbed)
    axes.set_xlim(begin, end)
    axes.set_ylim(-1.05, 1.75)
    axes.set_yticks([])
    ticks = np.linspace(begin, end, 7)
    axes.set_xticks(ticks, [f"{int(tick) // 60}:{tick % 60:04.1f}" for tick in ticks], fontsize=7)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _draw_speech(axes: Any, result: DubResult, dubbed: DubbedCue) -> None:
    first = int(dubbed.placement.start * PEAKS_PER_SECOND)
    last = int(dubbed.placement.end * PEAKS_PER_SECOND) + 2
    times = np.arange(first, min(last, len(result.peaks))) / PEAKS_PER_SECOND
    top = max(0.05, float(result.peaks.max(initial=0.0)))
    level = result.peaks[first:last] / top * 0.95
    own = _LATE if dubbed.placement.late > 0.02 else _FITS
    axes.fill_between(times, -level, level, color=own, linewidth=0, zorder=2)
    over = times >= dubbed.slot.end
    color = _TOO_LONG if dubbed.excess else _SPILLED
    axes.fill_between(times, -level, level, where=over, color=color, linewidth=0, zorder=3)


def _label(dubbed: DubbedCue) -> str:
    rate = f" ×{dubbed.rate:.2f}" if dubbed.rate > 1.02 else ""
    return f"{dubbed.cue.label}{rate}"
