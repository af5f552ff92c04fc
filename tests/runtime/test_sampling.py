"""Samples follow known probabilities and targets, and the same seed gives the same samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.errors import UsageError
from valle.runtime.pointer import Pointer, measure_durations
from valle.runtime.sampling import (
    DurationController,
    Sampling,
    TransitionSampler,
    expected_frames,
    sample,
)


def sample_shares(
    probabilities: Sequence[float],
    sampling: Sampling,
    previous: Sequence[int] = (),
    count: int = 4000,
) -> NDArray[np.float64]:
    """Return the share of each code among samples from these probabilities."""
    rng = np.random.default_rng(1)
    logits = np.log(np.array(probabilities, np.float32))
    codes = [sample(logits, sampling, rng, previous) for _ in range(count)]
    return np.bincount(codes, minlength=len(probabilities)) / count


def test_temperature_zero_takes_the_most_likely_code() -> None:
    logits = np.array([0.0, 3.0, 2.9], np.float32)
    rng = np.random.default_rng(0)
    assert {sample(logits, Sampling(temperature=0.0), rng) for _ in range(20)} == {1}


def test_samples_follow_the_probabilities() -> None:
    shares = sample_shares([0.5, 0.2, 0.3], Sampling(top_p=1.0))
    np.testing.assert_allclose(shares, [0.5, 0.2, 0.3], atol=0.03)


def test_temperature_flattens_the_distribution() -> None:
    shares = sample_shares([0.8, 0.2], Sampling(top_p=1.0, temperature=2.0))
    np.testing.assert_allclose(shares, [2 / 3, 1 / 3], atol=0.03)


def test_top_p_samples_from_the_smallest_nucleus() -> None:
    shares = sample_shares([0.1, 0.5, 0.1, 0.3], Sampling(top_p=0.75))
    np.testing.assert_allclose(shares, [0, 5 / 8, 0, 3 / 8], atol=0.03)
    assert sample_shares([0.4, 0.6], Sampling(top_p=0.5)).tolist() == [0, 1]


def test_repeated_codes_are_resampled_from_all_codes() -> None:
    probabilities = [0.9, 0.05, 0.05]
    sampling = Sampling(top_p=0.5, window=4, repetition=0.5)
    assert sample_shares(probabilities, sampling, previous=[0, 1, 0, 1]).tolist() == [1, 0, 0]
    shares = sample_shares(probabilities, sampling, previous=[0, 0, 0, 1])
    np.testing.assert_allclose(shares, probabilities, atol=0.03)
    # Only the window counts.
    assert sample_shares(probabilities, sampling, previous=[0, 0, 0, 1, 1, 1, 1])[0] == 1


def test_repetition_is_a_share_of_the_frames_so_far_while_the_window_fills() -> None:
    probabilities = [0.9, 0.05, 0.05]
    sampling = Sampling(top_p=0.5, window=10, repetition=0.3)
    resampled = sample_shares(probabilities, sampling, previous=[0])  # 1 of 1, not 1 of 10
    np.testing.assert_allclose(resampled, probabilities, atol=0.03)
    assert sample_shares(probabilities, sampling, previous=[0, 1, 1, 1])[0] == 1


def test_same_seed_gives_same_samples() -> None:
    logits = np.random.default_rng(3).normal(size=(50, 1024)).astype(np.float32)

    def sample_rows(seed: int) -> list[int]:
        rng = np.random.Generator(np.random.PCG64(seed))
        return [sample(row, Sampling(), rng) for row in logits]

    assert sample_rows(5) == sample_rows(5)
    assert sample_rows(5) != sample_rows(6)


@pytest.mark.parametrize(
    "options", [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"repetition": 2.0}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Sampling(**options)  # type: ignore[arg-type]


def sample_durations(
    probabilities: Sequence[float],
    borders: Sequence[bool],
    sampling: Sampling | None = None,
    runs: int = 200,
    duration: DurationController | None = None,
) -> Ints:
    """Return durations [runs, symbols] of walks with constant transition probabilities."""
    rng = np.random.default_rng(0)
    logits = np.log(np.array(probabilities, np.float32))
    durations = []
    for _ in range(runs):
        pointer = Pointer(borders, limit=duration.target_frames if duration else None)
        transitions = TransitionSampler(
            pointer, sampling or Sampling(temperature=1.0), rng, duration
        )
        path = []
        while not pointer.done:
            path.append(pointer.index)
            transitions.next(logits)
        durations.append(measure_durations(np.array(path), len(borders)))
    return np.array(durations)


def test_transitions_follow_the_probabilities_of_each_frame() -> None:
    # Leaving with probability 0.2 per frame takes 5 frames on average; 1 border in 4 is skipped.
    durations = sample_durations([0.8, 0.15, 0.05], [False, True] * 10, runs=1000)
    # Where no border follows, skipping is not allowed, and its probability is redistributed.
    np.testing.assert_allclose(durations[:, 0::2].mean(), 1 / 0.2, rtol=0.05)
    np.testing.assert_allclose((durations[:, 1::2] == 0).mean(), 0.25, atol=0.03)
    of_borders = durations[:, 1:-1:2]
    np.testing.assert_allclose(of_borders[of_borders > 0].mean(), 0.95 / 0.15, rtol=0.06)


def test_temperature_zero_gives_the_median_duration() -> None:
    # 0.9 ** 6 is the last power above one half: the seventh frame is the median.
    durations = sample_durations([0.9, 0.1, 0.0001], [False] * 4, Sampling(temperature=0.0), runs=1)
    assert durations.tolist() == [[7, 7, 7, 7]]


def test_lower_temperature_varies_durations_less() -> None:
    at_one = sample_durations([0.8, 0.2, 1e-9], [False] * 10)
    at_half = sample_durations([0.8, 0.2, 1e-9], [False] * 10, Sampling(temperature=0.5))
    assert at_half.std() < 0.6 * at_one.std()


@pytest.mark.parametrize("scale", [0.4, 0.7, 1.0, 1.5, 2.5])
def test_target_duration_is_met_and_spread_evenly(scale: float) -> None:
    borders = [True] + [False] * 40 + [True]
    expected = np.full(len(borders), 5.0)
    target = round(scale * expected.sum())
    durations = sample_durations(
        [0.8, 0.2, 1e-9], borders, duration=DurationController(target, expected), runs=60
    )
    assert (durations.sum(axis=1) == target).all()
    # The first and the last phonemes are as fast as each other: no rush and no wait at the end.
    means = durations.mean(axis=0)
    np.testing.assert_allclose(means[2:14].mean(), 5 * scale, rtol=0.25)
    np.testing.assert_allclose(means[-13:-1].mean(), 5 * scale, rtol=0.25)


def test_expected_frames_are_learned_from_the_voice() -> None:
    voice = np.array([1, 10, 11, 10, 2, 11, 10, 5])
    voice_borders = np.array([True, False, False, False, True, False, False, True])
    durations = np.array([90, 12, 4, 12, 0, 4, 12, 80])
    symbols = np.array([1, 10, 11, 12, 2])
    borders = np.array([True, False, False, False, True])
    slow = expected_frames(symbols, borders, voice, voice_borders, durations)
    assert slow[1] > slow[3] > slow[2], "a symbol that is long in the voice is expected longer"
    assert slow[0] < 3, "silences at the ends of the recording do not count"
    fast = expected_frames(symbols, borders, voice, voice_borders, durations // 3)
    assert fast.sum() < 0.7 * slow.sum()
    empty = np.zeros(0, np.int64)
    typical = expected_frames(symbols, borders, empty, empty.astype(bool), empty)
    assert (typical > 0).all()


def test_target_of_no_frames_is_refused() -> None:
    with pytest.raises(UsageError):
        DurationController(0, np.ones(3))


def test_timed_symbols_are_left_on_time_and_pauses_are_not_skipped() -> None:
    expected = np.array([5.0, 10.0, 5.0])  # a phoneme, a pause, a phoneme
    loose = DurationController(20, expected)
    timed = DurationController(20, expected, is_timed=True)
    assert timed.bias(0, 8) > loose.bias(0, 8) > 0
    # Frame 8 is late for leaving the phoneme, but early for what comes after the pause.
    assert timed.bias_skip(0, 8) < 0 < timed.bias(0, 8)
    assert timed.bias_skip(0, 16) > 0
    assert loose.bias_skip(0, 8) == loose.bias(0, 8)
    assert timed.bias_skip(2, 19) == timed.bias(2, 19)  # nothing follows the last symbol
