"""Regression bands: the range in which every figure of a row must stay."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from valle.errors import Error, UsageError
from valle.evaluation.report import METRICS, Clip, group_by_row, summarize_values

Bands = dict[str, dict[str, tuple[float, float]]]
"""Lowest and highest value by row and by metric."""


class OutOfBandError(Error):
    """A figure is outside its band."""


def read_bands(path: Path) -> Bands:
    """Read bands, `{ROW: {METRIC: [lowest, highest]}}`.

    Raises:
        UsageError: the file cannot be read, has another form, or names an unknown metric.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        bands = {
            row: {name: (float(low), float(high)) for name, (low, high) in metrics.items()}
            for row, metrics in content.items()
        }
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} has no bands, {{ROW: {{METRIC: [lowest, highest]}}}}") from error
    unknown = {name for metrics in bands.values() for name in metrics} - METRICS.keys()
    if unknown:
        raise UsageError(f"{path}: there is no metric {unknown.pop()!r}; use {', '.join(METRICS)}")
    return bands


def find_outside(clips: Sequence[Clip], bands: Bands) -> list[str]:
    """What is outside its band, a line each; a figure that was not measured is outside too."""
    rows = group_by_row(clips)
    outside = []
    for row, metrics in bands.items():
        figures = summarize_values(rows.get(row, []))
        for name, (low, high) in metrics.items():
            figure = figures.get(name)
            if figure is None:
                outside.append(f"{row}: {METRICS[name].heading} was not measured")
            elif not low <= figure <= high:
                outside.append(
                    f"{row}: {METRICS[name].heading} is {figure:.3f}, outside {low:g} to {high:g}"
                )
    return outside
