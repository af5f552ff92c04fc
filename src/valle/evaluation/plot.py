"""A plot of speech: waveform, spectrogram, and the words at their times (extra `plot`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valle.audio.figure import new_figure
from valle.errors import UsageError
from valle.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# (word, start, end), times in seconds.
TimedWord = tuple[str, float, float]

_RANGE_DB = 70.0  # from the loudest point to what is drawn as silence
_WINDOW_SECONDS = 0.025
_STEP_SECONDS = 0.005


def spectrogram(samples: NDArray[np.floating[Any]], sample_rate: int) -> NDArray[np.float64]:
    """Levels in dB below the loudest point, [frequencies, times], clipped at -70.

    Rows go from 0 Hz to half the sample rate; columns are 5 ms apart, the first centered on 0 s.
    """
    window = np.hanning(round(_WINDOW_SECONDS * sample_rate))
    half = len(window) // 2
    padded = np.pad(np.asarray(samples, np.float64), (half, len(window)))
    starts = np.arange(0, max(1, len(samples)), round(_STEP_SECONDS * sample_rate))
    frames = np.lib.stride_tricks.sliding_window_view(padded, len(window))[starts]
    power = np.abs(np.fft.rfft(frames * window, 1024, axis=1)) ** 2
    levels = 10 * np.log10(power + 1e-12)
    return np.maximum(levels - levels.max(), -_RANGE_DB).T


def open_figure(target: str | Path, inches: tuple[float, float]) -> tuple[Figure, str]:
    """An empty figure, and the image format by the suffix of `target`.

    Raises:
        UsageError: matplotlib is not installed, or the suffix is unknown.
    """
    figure = new_figure(inches)
    image_format = Path(target).suffix.lower().removeprefix(".")
    if image_format not in figure.canvas.get_supported_filetypes():
        raise UsageError(f"cannot plot to {str(target)!r}: end its name in .png, .svg or .pdf")
    return figure, image_format


def save_plot(
    target: str | Path,
    samples: NDArray[np.floating[Any]],
    sample_rate: int,
    words: Sequence[TimedWord] = (),
    title: str = "",
) -> None:
    """Plot speech to an image file, whose suffix is its format (png, svg, pdf).

    Args:
        target: replaced only when the plot is complete.
        samples: [N] in [-1, 1], N at least 1.
        sample_rate: Hz.
        words: what is said, with start and end in seconds.
        title: a line above the plot.

    Raises:
        UsageError: matplotlib is not installed, there are no samples, or the suffix is unknown.
        OutputError: the file cannot be written.
    """
    if len(samples) == 0:
        raise UsageError("there are no samples to plot")
    seconds = len(samples) / sample_rate
    figure, image_format = open_figure(target, (min(40.0, max(8.0, 2.0 * seconds)), 5.0))
    waves, spectrum, text = figure.subplots(3, 1, sharex=True, height_ratios=(2.0, 4.0, 1.0))
    waves.set_title(title, loc="left", parse_math=False)
    waves.plot(np.arange(len(samples)) / sample_rate, samples, linewidth=0.4, color="#205080")
    peak = float(np.abs(samples).max()) or 1.0
    waves.set(ylim=(-1.05 * peak, 1.05 * peak), ylabel="amplitude", xlim=(0.0, seconds))
    spectrum.imshow(
        spectrogram(samples, sample_rate),
        origin="lower",
        aspect="auto",
        cmap="magma",
        extent=(0.0, seconds, 0.0, sample_rate / 2000),
    )
    spectrum.set(ylabel="kHz")
    for axes in (waves, spectrum):
        for _, start, end in words:
            for edge in {start, end}:
                axes.axvline(edge, color="#808080", linewidth=0.5, alpha=0.6)
    _write_words(figure, text, words)
    with write_atomically(target) as part:
        figure.savefig(part, format=image_format, dpi=100)


def _write_words(figure: Figure, axes: Axes, words: Sequence[TimedWord]) -> None:
    """Each word centered below its time, on the first line where it touches no other word."""
    axes.set(xlabel="seconds", ylim=(0.0, 1.0), yticks=[])
    axes.spines[["top", "left", "right"]].set_visible(False)
    figure.draw_without_rendering()  # fixes the layout, so that widths can be measured
    lines = [0.82, 0.5, 0.18]
    ends = [-np.inf] * len(lines)  # right edge of the last word of each line, in pixels
    for word, start, end in words:
        label = axes.text(
            (start + end) / 2, 0.5, word, ha="center", va="center", fontsize=9, parse_math=False
        )
        box = label.get_window_extent()
        line = next((k for k, edge in enumerate(ends) if box.x0 > edge), int(np.argmin(ends)))
        label.set_y(lines[line])
        ends[line] = box.x1 + 3
        axes.plot((start, end), (0.99, 0.99), color="#205080", linewidth=2, solid_capstyle="butt")
