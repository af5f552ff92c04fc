"""Codes, moves and lengths: known odds come out, and the same seed gives the same."""

import numpy as np
import pytest

from valle.errors import UsageError
from valle.runtime.pointer import Pointer, durations
from valle.runtime.sampling import MoveSampler, Pace, Sampling, expected_frames, sample


def shares(probabilities, sampling, recent=(), draws=4000):
    """How often each code is drawn from these probabilities."""
    rng = np.random.default_rng(1)
    logits = np.log(np.array(probabilities, np.float32))
    drawn = [sample(logits, sampling, rng, recent) for _ in range(draws)]
    return np.bincount(drawn, minlength=len(probabilities)) / draws


def test_temperature_zero_takes_the_likeliest():
    logits = np.array([0.0, 3.0, 2.9], np.float32)
    rng = np.random.default_rng(0)
    assert {sample(logits, Sampling(temperature=0.0), rng) for _ in range(20)} == {1}


def test_draws_follow_the_odds():
    found = shares([0.5, 0.2, 0.3], Sampling(top_p=1.0))
    np.testing.assert_allclose(found, [0.5, 0.2, 0.3], atol=0.03)


def test_temperature_flattens():
    found = shares([0.8, 0.2], Sampling(top_p=1.0, temperature=2.0))
    np.testing.assert_allclose(found, [2 / 3, 1 / 3], atol=0.03)


def test_top_p_keeps_the_smallest_set_that_holds_its_share():
    found = shares([0.1, 0.5, 0.1, 0.3], Sampling(top_p=0.75))
    np.testing.assert_allclose(found, [0, 5 / 8, 0, 3 / 8], atol=0.03)
    assert shares([0.4, 0.6], Sampling(top_p=0.5)).tolist() == [0, 1]


def test_a_code_that_repeats_is_drawn_from_all():
    odds, sampling = [0.9, 0.05, 0.05], Sampling(top_p=0.5, window=4, repetition=0.5)
    assert shares(odds, sampling, recent=[0, 1, 0, 1]).tolist() == [1, 0, 0]
    found = shares(odds, sampling, recent=[0, 0, 0, 1])
    np.testing.assert_allclose(found, odds, atol=0.03)
    # Only the window counts.
    assert shares(odds, sampling, recent=[0, 0, 0, 1, 1, 1, 1])[0] == 1


def test_the_same_seed_draws_the_same():
    logits = np.random.default_rng(3).normal(size=(50, 1024)).astype(np.float32)

    def draw(seed):
        rng = np.random.Generator(np.random.PCG64(seed))
        return [sample(row, Sampling(), rng) for row in logits]

    assert draw(5) == draw(5)
    assert draw(5) != draw(6)


@pytest.mark.parametrize(
    "wrong", [{"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"repetition": 2.0}]
)
def test_out_of_range(wrong):
    with pytest.raises(UsageError):
        Sampling(**wrong)


def lengths(logits, borders, sampling=None, runs=200, pace=None):
    """Durations [runs, symbols] of walks on constant logits."""
    rng = np.random.default_rng(0)
    logits = np.log(np.array(logits, np.float32))
    found = []
    for _ in range(runs):
        pointer = Pointer(borders, limit=pace.wanted if pace else None)
        mover, path = MoveSampler(pointer, sampling or Sampling(temperature=1.0), rng, pace), []
        while not pointer.done:
            path.append(pointer.index)
            mover.next(logits)
        found.append(durations(np.array(path), len(borders)))
    return np.array(found)


def test_moves_follow_the_odds_of_each_frame():
    # Leaving with chance 0.2 a frame is 5 frames on average; a border is skipped 1 time in 4.
    found = lengths([0.8, 0.15, 0.05], [False, True] * 10, runs=1000)
    # The grammar takes the skip's share away where no border follows.
    np.testing.assert_allclose(found[:, 0::2].mean(), 1 / 0.2, rtol=0.05)
    np.testing.assert_allclose((found[:, 1::2] == 0).mean(), 0.25, atol=0.03)
    heard = found[:, 1:-1:2]
    np.testing.assert_allclose(heard[heard > 0].mean(), 0.95 / 0.15, rtol=0.06)


def test_temperature_zero_stays_for_the_median():
    # 0.9 ** 6 is the last power above a half: the seventh frame is the median.
    found = lengths([0.9, 0.1, 0.0001], [False] * 4, Sampling(temperature=0.0), runs=1)
    assert found.tolist() == [[7, 7, 7, 7]]


def test_a_lower_temperature_is_steadier():
    plain = lengths([0.8, 0.2, 1e-9], [False] * 10)
    steady = lengths([0.8, 0.2, 1e-9], [False] * 10, Sampling(temperature=0.5))
    assert steady.std() < 0.6 * plain.std()


@pytest.mark.parametrize("share", [0.4, 0.7, 1.0, 1.5, 2.5])
def test_a_wanted_length_is_met_and_shared_out(share):
    borders = [True] + [False] * 40 + [True]
    expected = np.full(len(borders), 5.0)
    wanted = round(share * expected.sum())
    found = lengths([0.8, 0.2, 1e-9], borders, pace=Pace(wanted, expected), runs=60)
    assert (found.sum(axis=1) == wanted).all()
    # The ends as fast as the middle: no rush and no wait at the end.
    means = found.mean(axis=0)
    np.testing.assert_allclose(means[2:14].mean(), 5 * share, rtol=0.25)
    np.testing.assert_allclose(means[-13:-1].mean(), 5 * share, rtol=0.25)


def test_expected_frames_come_from_the_voice():
    voice = np.array([1, 10, 11, 10, 2, 11, 10, 5])
    borders = np.array([True, False, False, False, True, False, False, True])
    spent = np.array([90, 12, 4, 12, 0, 4, 12, 80])
    wanted = np.array([1, 10, 11, 12, 2])
    flags = np.array([True, False, False, False, True])
    slow = expected_frames(wanted, flags, voice, borders, spent)
    assert slow[1] > slow[3] > slow[2], "a symbol that the voice draws out is expected longer"
    assert slow[0] < 3, "the recording's own silences do not count"
    fast = expected_frames(wanted, flags, voice, borders, spent // 3)
    assert fast.sum() < 0.7 * slow.sum()
    none = np.zeros(0, np.int64)
    typical = expected_frames(wanted, flags, none, none.astype(bool), none)
    assert (typical > 0).all()


def test_no_length():
    with pytest.raises(UsageError):
        Pace(0, np.ones(3))
