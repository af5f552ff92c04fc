"""How sure a figure is: intervals, and the equal error rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]


def bootstrap_interval(
    numerators: Sequence[float] | FloatArray,
    denominators: Sequence[float] | FloatArray,
    draws: int = 10_000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """A ratio of sums over speakers, with its 95 % interval by bootstrap over the speakers.

    Clips of one speaker are alike, so it is speakers that are drawn again, never single clips:
    the interval says how far the figure would move with other speakers of the same kind.

    Args:
        numerators: one a speaker, for example how many of the clips were right.
        denominators: one a speaker, for example how many clips; above 0 together.

    Returns:
        The ratio and the lower and upper end of its interval.
    """
    top, bottom = np.asarray(numerators, np.float64), np.asarray(denominators, np.float64)
    if len(top) == 0 or len(top) != len(bottom) or bottom.sum() <= 0:
        raise ValueError("a figure needs at least one speaker, and one denominator for each")
    drawn = np.random.default_rng(seed).integers(len(top), size=(draws, len(top)))
    tops, bottoms = top[drawn].sum(-1), bottom[drawn].sum(-1)
    ratios = tops[bottoms > 0] / bottoms[bottoms > 0]
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(top.sum() / bottom.sum()), float(low), float(high)


def wilson_interval(successes: int, trials: int) -> tuple[float, float, float]:
    """A share with its 95 % interval by Wilson's score, which is right for shares near 0 and 1 too.

    Returns:
        The share and the lower and upper end of its interval.
    """
    z = 1.959964
    share = successes / trials
    middle = share + z**2 / (2 * trials)
    half = z * np.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    scale = 1 + z**2 / trials
    return share, max(0.0, float(middle - half) / scale), min(1.0, float(middle + half) / scale)


def equal_error_rate(
    scores: FloatArray, same: NDArray[np.bool_], weights: FloatArray | None = None
) -> float:
    """The rate at which as large a share of the pairs of one speaker is refused as of two accepted.

    Args:
        scores: [pairs], higher for the same speaker.
        same: [pairs] whether it is the same.
        weights: [pairs] how often each pair counts; 1 each if not given.

    Raises:
        ValueError: all pairs that count are of one kind.
    """
    weights = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    order = np.argsort(scores, kind="stable")
    own, others = weights[order] * same[order], weights[order] * ~same[order]
    if not own.sum() or not others.sum():
        raise ValueError("an equal error rate needs pairs of one speaker and pairs of two")
    # With the threshold above each score in turn: those of one speaker so far are refused.
    refused = np.concatenate([[0.0], np.cumsum(own) / own.sum()])
    accepted = np.concatenate([[1.0], 1.0 - np.cumsum(others) / others.sum()])
    at = int(np.argmin(np.abs(refused - accepted)))
    return float((refused[at] + accepted[at]) / 2.0)
