"""Intervals cover what they should, and a system compared with itself comes out even."""

from __future__ import annotations

import numpy as np
import pytest

from valle.evaluation import comparison
from valle.evaluation.comparison import Report, compare
from valle.evaluation.metrics.statistics import bootstrap_interval
from valle.evaluation.metrics.word_errors import WordErrors
from valle.evaluation.report import Clip


@pytest.mark.parametrize(("speakers", "tolerance"), [(8, 0.03), (16, 0.015), (60, 0.015)])
def test_intervals_cover_the_true_rate(speakers: int, tolerance: float) -> None:
    # Speakers of different rates, 8 clips of 10 words each: the sample voices, the model card's
    # table, and a list of usual size. Eight speakers are too few for what no resample shows.
    rng = np.random.default_rng(3)
    words, trials = 80, 3000
    rates = rng.beta(3, 17, size=(trials, speakers))  # mean 0.15
    errors = rng.binomial(words, rates)
    covered = 0
    for row in errors:
        _, low, high = bootstrap_interval(row, np.full(speakers, words), resamples=600)
        covered += low <= 0.15 <= high
    assert abs(covered / trials - 0.95) <= tolerance


def make_report(name: str, rng: np.random.Generator) -> Report:
    clips = {}
    for speaker in range(16):
        rate = 0.1 + 0.02 * (speaker % 5)
        for text in range(6):
            wrong = int(rng.binomial(10, rate))
            words = WordErrors("", "", wrong, 0, 0, 10, wrong, 50)
            clips["", "synthesized", str(speaker), str(text), 0] = Clip(
                row="synthesized", speaker=str(speaker), corpus="", text=str(text), seconds=3.0,
                similarity=float(np.clip(rng.normal(0.75, 0.05), 0, 1)), similarity_to_others=0.5,
                speaker_identified=True, pitch_range=None, words=words,
            )  # fmt: skip
    return Report(name, "list", {}, clips)  # type: ignore[arg-type]


def test_the_same_system_comes_out_even(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two runs of one system, which differ by their seeds alone: 5 of 100 may be significant by
    # chance, and the adjustment for several metrics makes the test cautious.
    # A test of permutations is exact with any number of them, so fewer do here.
    monkeypatch.setattr(comparison, "_RESAMPLES", 800)
    rng = np.random.default_rng(0)
    even = 0
    for _ in range(100):
        first, second = make_report("a", rng), make_report("b", rng)
        even += not any(difference.is_significant for difference in compare(first, second))
    assert even >= 95
    same = compare(first, first)
    assert same
    assert all(d.p == 1.0 and d.low <= 0.0 <= d.high for d in same)
