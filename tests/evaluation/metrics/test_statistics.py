"""Intervals and equal error rates of known values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.evaluation.metrics.statistics import (
    bootstrap_equal_error_rate,
    bootstrap_interval,
    bootstrap_median,
    equal_error_rate,
    interval_quantiles,
    wilson_interval,
)


def test_bootstrap_interval_of_known_samples() -> None:
    assert bootstrap_interval([1, 2, 3], [2, 4, 6]) == (0.5, 0.5, 0.5)
    # 400 speakers of deviation 1: the mean's interval is 1.96 / 20 to each side.
    scores = np.random.default_rng(3).normal(5.0, 1.0, 400)
    value, low, high = bootstrap_interval(scores, np.ones(400))
    assert value == pytest.approx(scores.mean())
    assert (value - low, high - value) == pytest.approx((0.098, 0.098), abs=0.015)
    assert bootstrap_interval(scores, np.ones(400)) == (value, low, high)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_interval([], [])


def test_intervals_of_few_speakers_reach_farther() -> None:
    assert interval_quantiles(1) == (0.0, 1.0)
    # By scipy: norm.cdf(sqrt(n / (n - 1)) * t.ppf(0.025, n - 1)).
    for count, low in ((5, 0.000954), (8, 0.005738), (16, 0.013856), (400, 0.024512)):
        assert interval_quantiles(count) == pytest.approx((low, 1 - low), abs=2e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_bootstrap_interval_lies_within_the_range_of_the_speakers(scores: list[float]) -> None:
    value, low, high = bootstrap_interval(scores, [1.0] * len(scores), resamples=200)
    assert min(scores) - 1e-9 <= low <= high <= max(scores) + 1e-9
    assert min(scores) - 1e-9 <= value <= max(scores) + 1e-9


def test_bootstrap_median_resamples_speakers() -> None:
    assert bootstrap_median([[1.0, 2.0, 9.0]]) == (2.0, 2.0, 2.0)
    value, low, high = bootstrap_median([[0.0], [0.02], [0.5], []])
    assert (value, low, high) == (0.02, 0.0, 0.5)
    with pytest.raises(ValueError, match="at least one"):
        bootstrap_median([[], []])


def test_wilson_interval_of_no_success() -> None:
    share, low, high = wilson_interval(0, 100)
    assert (share, low) == (0.0, 0.0)
    assert high == pytest.approx(0.037, abs=0.001)


def test_known_equal_error_rates() -> None:
    same = np.array([True, True, False, False])
    assert equal_error_rate(np.array([0.9, 0.8, 0.2, 0.1]), same) == 0.0
    assert equal_error_rate(np.array([0.1, 0.2, 0.8, 0.9]), same) == 1.0
    assert equal_error_rate(np.array([0.9, 0.3, 0.6, 0.1]), same) == 0.5
    # The wrong trial in the middle has no weight.
    assert equal_error_rate(np.array([0.9, 0.3, 0.6, 0.1]), same, np.array([1, 1, 0, 1])) == 0.0
    with pytest.raises(ValueError, match="trials"):
        equal_error_rate(np.array([0.1, 0.2]), np.array([True, True]))


@given(st.integers(0, 2**32 - 1), st.floats(0.0, 3.0))
def test_equal_error_rate_of_two_normal_distributions(seed: int, distance: float) -> None:
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(distance, 1, 2000), rng.normal(0, 1, 2000)])
    same = np.arange(4000) < 2000
    center = (np.mean(scores[same] < distance / 2) + np.mean(scores[~same] > distance / 2)) / 2
    assert equal_error_rate(scores, same) == pytest.approx(center, abs=0.03)


def test_equal_error_rate_has_an_interval_over_speakers() -> None:
    speakers = ["a", "a", "b", "b"]
    value, low, high = bootstrap_equal_error_rate(
        speakers, [0.9, 0.3, 0.6, 0.1], [True, True, False, False], resamples=50
    )
    assert value == 0.5
    assert low <= value <= high
