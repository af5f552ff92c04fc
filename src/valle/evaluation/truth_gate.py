"""The truth gate: a table is valid only if ground truth scores in it as it was measured before.

A wrong evaluator, a wrong rate or a wrong list shows in the figures of the recordings first, which
no model can move.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valle.errors import Error, UsageError
from valle.evaluation.protocols.zero_shot import GROUND_TRUTH
from valle.evaluation.report import METRICS, Clip, summarize_values

# What rounding on another processor may move, at most.
TOLERANCES = {
    "word_error_rate": 0.01,
    "published_word_error_rate": 0.01,
    "character_error_rate": 0.01,
    "speaker_similarity": 0.005,
    "model_similarity": 0.005,
    "dnsmos": 0.02,
}


class InvalidTableError(Error):
    """Ground truth does not score as it was measured before."""


@dataclass(frozen=True)
class Expectation:
    """What ground truth must score."""

    source: str
    """Where it was measured."""
    items: str
    """SHA-256 of the test list."""
    evaluators: Mapping[str, Any]
    """What measured it, by names and hashes."""
    figures: Mapping[str, float]
    """By the names of `METRICS`."""


def read_expectation(path: Path) -> Expectation:
    """Read what ground truth scored from the report of an earlier evaluation.

    Raises:
        UsageError: the file is not a report of `valle evaluate list`, or has no ground truth.
    """
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        settings, row = report["settings"], report["rows"][GROUND_TRUTH]
        figures = {name: row[name]["value"] for name in TOLERANCES if row.get(name)}
        return Expectation(str(path), settings["items_sha256"], settings["evaluators"], figures)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{path} says nothing about ground truth; give the JSON of an earlier "
            "`valle evaluate list` of the same list"
        ) from error


def check_truth(
    clips: Sequence[Clip], expected: Expectation, items: str, evaluators: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare the ground truth of an evaluation with what it scored before.

    Args:
        clips: of all rows.
        expected: from `read_expectation`.
        items: SHA-256 of the test list.
        evaluators: names and hashes of the present ones.

    Returns:
        For the JSON: `valid`, `source`, `checked` figures, and `problems`.
    """
    problems = []
    if items != expected.items:
        problems.append("the test list is another one: its texts or recordings differ")
    truth = [clip for clip in clips if clip.row == GROUND_TRUTH]
    figures = summarize_values(truth)
    checked: dict[str, Any] = {}
    for name, wanted in expected.figures.items():
        figure = figures.get(name)
        if figure is None:
            continue
        checked[name] = {"expected": wanted, "measured": figure}
        if not abs(figure - wanted) <= TOLERANCES[name]:
            problems.append(
                f"{METRICS[name].heading} of ground truth is {figure:.3f}, not {wanted:.3f}"
            )
    if not checked:
        problems.append("nothing was measured of ground truth that could be compared")
    changed = sorted(
        name
        for name in expected.evaluators.keys() & evaluators.keys()
        if expected.evaluators[name] != evaluators[name]
    )
    # Another version can move figures within the tolerance: it is reported, and does not fail.
    return {
        "valid": not problems,
        "source": expected.source,
        "checked": checked,
        "problems": problems,
        "other_evaluators": changed,
    }
