"""Confidence intervals, and the equal error rate.

Intervals are expanded percentiles (Hesterberg 2015, "What teachers should know about the
bootstrap"). Resamples of n speakers spread less than n other speakers would, by a factor of
sqrt((n - 1) / n), and have the tails of a normal distribution instead of those of Student's t.
Without this, an interval of 95 % over 16 speakers holds 92 times of 100, and over 8 speakers 87.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


@functools.cache
def interval_quantiles(count: int) -> tuple[float, float]:
    """The quantiles of bootstrap figures between which the 95 % interval lies.

    Args:
        count: how many speakers were resampled.
    """
    if count < 2:
        return 0.0, 1.0
    # A value of Student's t is sqrt(n - 1) tan(angle), and the angle has a density of cos^(n - 2).
    angles = np.linspace(-np.pi / 2, np.pi / 2, 100_001)
    density = np.cos(angles) ** (count - 2)
    cumulative = np.cumsum(density) - density / 2
    angle = np.interp(0.025, cumulative / density.sum(), angles)
    deviation = math.sqrt(count) * math.tan(angle)  # sqrt(n / (n - 1)) times the value of t
    low = math.erfc(-deviation / math.sqrt(2)) / 2
    return low, 1.0 - low


def bootstrap_interval(
    numerators: Sequence[float] | FloatArray,
    denominators: Sequence[float] | FloatArray,
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A ratio of sums over speakers, with its 95 % interval by bootstrap over the speakers.

    Clips of one speaker are correlated, so speakers are resampled, never single clips: the interval
    says how far the figure would move with other speakers of the same kind.

    Args:
        numerators: one per speaker, for example how many of the clips were correct.
        denominators: one per speaker, for example how many clips; their sum is above 0.
        resamples: how many times the speakers are resampled.
        seed: of the resampling.

    Returns:
        The ratio and the lower and upper end of its interval.

    Raises:
        ValueError: there is no speaker, or not one denominator for each.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if len(top) == 0 or len(top) != len(bottom) or bottom.sum() <= 0:
        raise ValueError("a figure needs at least one speaker, and one denominator for each")
    chosen = np.random.default_rng(seed).integers(len(top), size=(resamples, len(top)))
    tops, bottoms = top[chosen].sum(-1), bottom[chosen].sum(-1)
    ratios = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.quantile(ratios, interval_quantiles(len(top)))
    return float(top.sum() / bottom.sum()), float(low), float(high)


def bootstrap_median(
    groups: Sequence[Sequence[float] | FloatArray], resamples: int = 500, seed: int = 0
) -> tuple[float, float, float]:
    """The median over all clips, with its 95 % interval by bootstrap over the speakers.

    Args:
        groups: the values of each speaker's clips; at least one value in all.
        resamples: how many times the speakers are resampled.
        seed: of the resampling.

    Returns:
        The median and the lower and upper end of its interval.

    Raises:
        ValueError: there is no value.
    """
    values = [np.asarray(group, np.float64) for group in groups if len(group)]
    if not values:
        raise ValueError("a median needs at least one value")
    rng = np.random.default_rng(seed)
    medians = [
        np.median(np.concatenate([values[i] for i in rng.integers(len(values), size=len(values))]))
        for _ in range(resamples)
    ]
    low, high = np.quantile(medians, interval_quantiles(len(values)))
    return float(np.median(np.concatenate(values))), float(low), float(high)


def wilson_interval(successes: int, trials: int) -> tuple[float, float, float]:
    """A proportion with its 95 % Wilson score interval, which holds near 0 and 1 too.

    Returns:
        The proportion and the lower and upper end of its interval.
    """
    z = 1.959964
    share = successes / trials
    center = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return share, max(0.0, float(center - half) / scale), min(1.0, float(center + half) / scale)


def equal_error_rate(
    scores: FloatArray, same: NDArray[np.bool_], weights: FloatArray | None = None
) -> float:
    """The error rate at the threshold where false rejections are as frequent as false acceptances.

    Args:
        scores: [trials], higher for targets.
        same: [trials], whether the trial is a target trial (for example, the same speaker).
        weights: [trials], how many times each trial counts (default: once).

    Raises:
        ValueError: all trials that count are of one kind.
    """
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(scores, kind="stable")
    targets, nontargets = weights[order] * same[order], weights[order] * ~same[order]
    if not targets.sum() or not nontargets.sum():
        raise ValueError("an equal error rate needs target trials and non-target trials")
    # With the threshold above each score in turn: all targets up to there are rejected.
    false_rejection = np.concatenate([[0.0], np.cumsum(targets) / targets.sum()])
    false_acceptance = np.concatenate([[1.0], 1.0 - np.cumsum(nontargets) / nontargets.sum()])
    at = int(np.argmin(np.abs(false_rejection - false_acceptance)))
    return float((false_rejection[at] + false_acceptance[at]) / 2.0)


def bootstrap_equal_error_rate(
    speakers: Sequence[str],
    scores: Sequence[float] | FloatArray,
    targets: Sequence[bool] | NDArray[np.bool_],
    resamples: int = 1000,
) -> tuple[float, float, float]:
    """The equal error rate, with its 95 % interval by bootstrap over the speakers.

    Args:
        speakers: [trials], the speaker of each trial.
        scores: [trials], higher for targets.
        targets: [trials], whether each is a target trial.
        resamples: how many times the speakers are resampled.

    Returns:
        The rate and the lower and upper end of its interval.

    Raises:
        ValueError: all trials are of one kind.
    """
    scores, targets = np.asarray(scores, np.float64), np.asarray(targets, bool)
    names = sorted(set(speakers))
    labels = np.array([names.index(speaker) for speaker in speakers])
    rng, rates = np.random.default_rng(0), []
    for _ in range(resamples):
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        weights = times[labels]
        if weights[targets].sum() and weights[~targets].sum():
            rates.append(equal_error_rate(scores, targets, weights))
    low, high = np.quantile(rates, interval_quantiles(len(names)))
    return equal_error_rate(scores, targets), float(low), float(high)
