"""The benchmark of books measures a small book, and fits lines whose slope is known."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av", reason="needs the extra [media]")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks"))

import books
import valle

TEXT = "# One\n\nIt rains on the old green house.\n\n# Two\n\nThe sun came out again at noon.\n"


def test_a_small_book_is_measured(model: valle.Model, voice: valle.Voice) -> None:
    with books.make_book(model, voice, TEXT, None) as book:
        cost = books.measure_cost(book)
    assert cost["sentences"] == 4
    assert cost["processor_seconds_per_hour"] > 0
    with books.make_book(model, voice, TEXT, 2) as book:
        slopes = books.measure_slopes(model, voice, book)
    assert (slopes["sentences"], slopes["measured"]) == (2, 1)
    with books.make_book(model, voice, TEXT, None) as book:
        repair = books.measure_repair(model, book)
    assert repair["sentences"] == 4
    assert 0 < repair["processor_seconds_redoing"] < repair["processor_seconds"]


def test_lines_are_fitted() -> None:
    rng = np.random.default_rng(0)
    line = books.fit_line([5 + 3 * n / 999 + rng.normal(0, 0.5) for n in range(1000)])
    assert line is not None
    assert line["mean"] == pytest.approx(6.5, abs=0.05)
    assert line["standard_error"] == pytest.approx(0.5 * np.sqrt(12 / 1000), rel=0.1)
    assert abs(line["change"] - 3) < 3 * line["standard_error"]
