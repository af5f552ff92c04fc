"""A plot of the words of a recording over its waveform (extra `plot`)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.audio.figure import new_figure
from valle.files import write_atomically
from valle.runtime.transcript import TimedTranscript, TranscriptWord

_ROW_SECONDS, _MAX_ROWS = 10.0, 60
_PEAKS_PER_SECOND = 100
_WORD, _DOUBTFUL, _NEW = "#2a7f62", "#e08a00", "#2f6db5"
_SCORE = 0.1  # of a word, below which it was hardly heard


def save_word_plot(
    target: str | Path,
    transcript: TimedTranscript,
    samples: Samples,
    sample_rate: int,
    new_words: list[tuple[str, float, float]] | None = None,
) -> None:
    """Plot a waveform, and a line for each word from its beginning to its end.

    Args:
        target: The PNG file to write.
        transcript: When the words are said.
        samples: [N] the recording.
        sample_rate: In Hz.
        new_words: (word, start, end) of speech at these times, drawn below the waveform.

    Raises:
        UsageError: Matplotlib is not installed.
        OutputError: The file cannot be written.
    """
    seconds = max(1.0, len(samples) / sample_rate)
    row_seconds = max(min(_ROW_SECONDS, seconds), seconds / _MAX_ROWS)
    rows = math.ceil(seconds / row_seconds)
    figure = new_figure((14, 1.2 + 1.5 * rows), dpi=90)
    from matplotlib.patches import Patch

    grid = figure.subplots(rows, 1, squeeze=False)[:, 0]
    hop = max(1, sample_rate // _PEAKS_PER_SECOND)
    peaks = np.abs(np.pad(samples, (0, -len(samples) % hop))).reshape(-1, hop).max(axis=1)
    peaks = peaks / max(float(peaks.max(initial=0.0)), 1e-6)
    times = np.arange(len(peaks)) * hop / sample_rate
    for row, axes in enumerate(grid):
        begin = row * row_seconds
        inside = (times >= begin) & (times < begin + row_seconds)
        axes.fill_between(
            times[inside], -peaks[inside], peaks[inside], color="#9aa7b5", linewidth=0
        )
        axes.set_xlim(begin, begin + row_seconds)
        axes.set_ylim(-2.4, 2.4)
        axes.set_yticks([])
        # Every other word is higher, so that short ones can be read.
        for number, word in enumerate(transcript.words):
            _draw_word(axes, word, (begin, begin + row_seconds), 1.2 + 0.5 * (number % 2))
        for number, (text, start, end) in enumerate(new_words or []):
            if begin <= start < begin + row_seconds:
                _draw_span(axes, text, (start, end), -1.2 - 0.5 * (number % 2), _NEW)
    colors = {"word": _WORD, "hardly heard": _DOUBTFUL}
    if new_words is not None:
        colors["new speech"] = _NEW
    figure.legend(
        handles=[Patch(color=color, label=label) for label, color in colors.items()],
        loc="outside upper center",
        ncols=len(colors),
        frameon=False,
    )
    grid[-1].set_xlabel("seconds")
    with write_atomically(target) as part:
        figure.savefig(part, format="png")


def _draw_word(axes: Any, word: TranscriptWord, row: tuple[float, float], level: float) -> None:
    if word.start is None or word.end is None or not row[0] <= word.start < row[1]:
        return
    color = _DOUBTFUL if word.score < _SCORE else _WORD
    _draw_span(axes, word.text, (word.start, word.end), level, color)


def _draw_span(axes: Any, text: str, span: tuple[float, float], level: float, color: str) -> None:
    axes.plot(span, (level, level), color=color, linewidth=3, solid_capstyle="butt")
    axes.plot((span[0], span[0]), (0, level), color=color, linewidth=0.6)
    offset = 0.08 if level > 0 else -0.08
    side = "bottom" if level > 0 else "top"
    axes.text(span[0], level + offset, text, fontsize=8, va=side, clip_on=True, parse_math=False)
