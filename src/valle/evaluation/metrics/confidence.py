"""How far the listener may be believed: how sure it is of phonemes, and how often it is right.

The expected calibration error (Guo et al. 2017, "On calibration of modern neural networks",
section 2): phonemes are sorted into bins by their confidence, and the distances between mean
confidence and share right are averaged by how many phonemes lie in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.evaluation.report import Figure
from valle.runtime.check import edit_path
from valle.runtime.recognizer import Heard
from valle.text.symbols import PAUSE

BINS = 10
_DRAWS = 500  # of speakers, for an interval

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judged:
    """The phonemes heard of one speaker: `confidence` and `right` (0 or 1), both [phonemes]."""

    row: str
    speaker: str
    confidence: Floats
    right: Floats


def judged(row: str, speaker: str, heard: Heard, asked: Sequence[str]) -> Judged:
    """Which of the phonemes heard are those asked (no borders), by the fewest edits."""
    kept = [index for index, guess in enumerate(heard.guesses) if guess != PAUSE]
    matched, where = edit_path(asked, [heard.guesses[index] for index in kept])
    right = np.zeros(len(kept))
    right[where[matched]] = 1.0
    return Judged(row, speaker, heard.confidence[kept].astype(np.float64), right)


def calibration(row: str, phonemes: Sequence[Judged]) -> tuple[Figure, int]:
    """The calibration error of one row, and over how many phonemes.

    Its interval is by bootstrap over speakers.
    """
    own = [each for each in phonemes if each.row == row]
    speakers = sorted({each.speaker for each in own})
    by_speaker = np.zeros((len(speakers), 2, BINS))
    for each in own:
        by_speaker[speakers.index(each.speaker)] += _bins(each)
    rng = np.random.default_rng(0)
    drawn = by_speaker[rng.integers(len(speakers), size=(_DRAWS, len(speakers)))].sum(axis=1)
    low, high = np.quantile([_error(sums) for sums in drawn], [0.025, 0.975])
    together = by_speaker.sum(axis=0)
    return Figure(_error(together), float(low), float(high)), int(together[0].sum())


def _bins(phonemes: Judged) -> Floats:
    """Of each bin of confidence: how many phonemes, and their confidence less how many are right,
    [2, BINS]."""
    place = np.minimum((phonemes.confidence * BINS).astype(int), BINS - 1)
    excess = phonemes.confidence - phonemes.right
    return np.stack([np.bincount(place, minlength=BINS), np.bincount(place, excess, BINS)])


def _error(bins: Floats) -> float:
    return float(np.abs(bins[1]).sum() / max(1.0, bins[0].sum()))
