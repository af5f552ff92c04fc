"""Speaker similarity on a real recording."""

from __future__ import annotations

import numpy as np
import pytest

from valle.arrays import Samples
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder


def test_two_halves_are_more_similar_than_another_voice(
    encoder: ResemblyzerEncoder, recorded: Samples
) -> None:
    half = len(recorded) // 2
    first, second = encoder.embed(recorded[:half]), encoder.embed(recorded[half:])
    assert first.shape == (256,)
    assert np.linalg.norm(first) == pytest.approx(1.0, abs=1e-4)
    # Played a third faster it is another, smaller person.
    faster = np.interp(np.arange(0, half, 1.33), np.arange(half), recorded[:half])
    other = encoder.embed(faster)
    assert first @ second > 0.85
    assert first @ other < first @ second - 0.15


def test_silence_has_no_voice(encoder: ResemblyzerEncoder) -> None:
    assert not encoder.embed(np.zeros(16_000, np.float32)).any()


@pytest.mark.parametrize("decibels", [-20, 6])
def test_the_level_does_not_matter(
    encoder: ResemblyzerEncoder, recorded: Samples, decibels: int
) -> None:
    changed = recorded * np.float32(10 ** (decibels / 20))
    assert encoder.embed(changed) @ encoder.embed(recorded) > 0.999
