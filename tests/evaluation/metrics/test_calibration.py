"""The calibration error of known confidences."""

from __future__ import annotations

import numpy as np
import pytest

from valle.evaluation.metrics.calibration import (
    ScoredPhonemes,
    expected_calibration_error,
    score_phonemes,
)
from valle.runtime.recognizer import Recognition
from valle.text.symbols import PAUSE, UNKNOWN


def test_calibration_error_of_known_confidences() -> None:
    # In the bin of 0.8 to 0.9, half of 4 phonemes are correct; in that of 0.2 to 0.3, none of 6.
    confident = ScoredPhonemes("synthetic", "x", np.full(4, 0.8), np.array([1.0, 1.0, 0.0, 0.0]))
    unsure = ScoredPhonemes("synthetic", "x", np.full(6, 0.2), np.zeros(6))
    other = ScoredPhonemes("native", "y", np.full(3, 1.0), np.ones(3))
    figure, count = expected_calibration_error("synthetic", [confident, unsure, other])
    assert figure.value == pytest.approx((4 * 0.3 + 6 * 0.2) / 10)
    assert count == 10
    figure, count = expected_calibration_error("native", [confident, unsure, other])
    assert (figure.value, count) == (0.0, 3)


def test_phonemes_are_correct_where_the_fewest_edits_leave_them() -> None:
    recognition = Recognition(
        ["h", PAUSE, UNKNOWN, "n"],
        ["h", PAUSE, "e", "n"],
        np.arange(4),
        np.array([0.9, 1.0, 0.3, 0.6], np.float32),
    )
    scored = score_phonemes("synthetic", "x", recognition, ["h", "a", "n", "d"])
    np.testing.assert_allclose(scored.confidence, [0.9, 0.3, 0.6])
    np.testing.assert_array_equal(scored.correct, [1, 0, 1])
