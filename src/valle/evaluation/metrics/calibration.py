"""Calibration of the recognizer: its confidence in phonemes against how often it is right.

The expected calibration error (Guo et al. 2017, "On calibration of modern neural networks",
section 2): phonemes are sorted into bins by confidence, and the distances between the mean
confidence and the accuracy of each bin are averaged, weighted by the bin's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.evaluation.report import Figure
from valle.runtime.check import match_symbols
from valle.runtime.recognizer import Recognition
from valle.text.symbols import PAUSE

BINS = 10
_RESAMPLES = 500  # bootstrap resamples of the speakers

Float64s = NDArray[np.float64]


@dataclass(frozen=True)
class ScoredPhonemes:
    """The recognized phonemes of one speaker: `confidence` and `correct` (0 or 1), [phonemes]."""

    row: str
    speaker: str
    confidence: Float64s
    correct: Float64s


def score_phonemes(
    row: str, speaker: str, recognition: Recognition, expected: Sequence[str]
) -> ScoredPhonemes:
    """Which of the recognized phonemes are correct, by the alignment with the fewest edits.

    Args:
        row: of the report.
        speaker: name.
        recognition: of one recording.
        expected: the phonemes that it says, without word and sentence boundaries.
    """
    spoken = [index for index, guess in enumerate(recognition.guesses) if guess != PAUSE]
    matched, positions = match_symbols(expected, [recognition.guesses[index] for index in spoken])
    correct = np.zeros(len(spoken))
    correct[positions[matched]] = 1.0
    return ScoredPhonemes(row, speaker, recognition.confidence[spoken].astype(np.float64), correct)


def expected_calibration_error(row: str, phonemes: Sequence[ScoredPhonemes]) -> tuple[Figure, int]:
    """The calibration error of one row, and the number of its phonemes.

    The 95 % interval is by bootstrap over speakers.
    """
    in_row = [scored for scored in phonemes if scored.row == row]
    speakers = sorted({scored.speaker for scored in in_row})
    by_speaker = np.zeros((len(speakers), 2, BINS))
    for scored in in_row:
        by_speaker[speakers.index(scored.speaker)] += _bins(scored)
    rng = np.random.default_rng(0)
    resampled = by_speaker[rng.integers(len(speakers), size=(_RESAMPLES, len(speakers)))].sum(
        axis=1
    )
    low, high = np.quantile([_error(sums) for sums in resampled], [0.025, 0.975])
    total = by_speaker.sum(axis=0)
    return Figure(_error(total), float(low), float(high)), int(total[0].sum())


def _bins(phonemes: ScoredPhonemes) -> Float64s:
    """Count phonemes and sum confidence minus correctness, per bin of confidence: [2, BINS]."""
    places = np.minimum((phonemes.confidence * BINS).astype(int), BINS - 1)
    excess = phonemes.confidence - phonemes.correct
    return np.stack([np.bincount(places, minlength=BINS), np.bincount(places, excess, BINS)])


def _error(bins: Float64s) -> float:
    return float(np.abs(bins[1]).sum() / max(1.0, bins[0].sum()))
