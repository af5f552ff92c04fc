"""Every phoneme once, in order, and always an end: whatever the model says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.errors import TextError, UsageError
from valle.runtime.pointer import ADVANCE, SKIP, STAY, Pointer, durations, moves, stays
from valle.runtime.sampling import MoveSampler, Pace, Sampling

BORDERS = st.lists(st.booleans(), min_size=1, max_size=40)


def walk(
    pointer: Pointer, logits: np.ndarray, sampling: Sampling, seed: int, pace: Pace | None = None
) -> np.ndarray:
    """The symbol of each frame when the model's move logits are these rows, over and over."""
    mover = MoveSampler(pointer, sampling, np.random.default_rng(seed), pace)
    frames = []
    while not pointer.done:
        frames.append(pointer.index)
        mover.next(logits[len(frames) % len(logits)])
        assert len(frames) < 10_000, "it never ends"
    return np.array(frames, np.int64)


@settings(max_examples=200, deadline=None)
@given(
    borders=BORDERS,
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 1.0, 10.0, 1000.0]),
    temperature=st.sampled_from([0.0, 0.5, 1.0]),
    paced=st.booleans(),
)
def test_every_phoneme_once_and_in_order(borders, seed, scale, temperature, paced):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, scale, (17, 3)).astype(np.float32)
    pace = Pace(len(borders) * 4, rng.uniform(1, 9, len(borders))) if paced else None
    pointer = Pointer(borders, 5, 7, limit=len(borders) * 4 if paced else None)
    path = walk(pointer, logits, Sampling(temperature=temperature), seed, pace)
    assert path[0] == 0
    assert (np.diff(path) >= 0).all()
    spent = durations(path, len(borders))
    longest = np.where(borders, 7, 5)
    assert (spent <= longest).all()
    assert (spent[~np.array(borders)] >= 1).all()
    assert moves(path, borders).sum() == len(borders)
    if paced:
        assert len(path) <= pace.wanted


def test_a_model_that_never_moves_is_moved_on():
    never = np.array([[50.0, 0.0, 0.0]], np.float32)
    path = walk(Pointer([True, False, True], 5, 7), never, Sampling(), 0)
    assert durations(path, 3).tolist() == [7, 5, 7]


def test_a_model_that_always_skips_skips_only_borders():
    skips = np.array([[0.0, 0.0, 500.0]], np.float32)
    borders = [True, False, True, False, False, True]
    path = walk(Pointer(borders), skips, Sampling(), 0)
    assert set(path.tolist()) == {0, 1, 3, 4}
    assert moves(path, borders).tolist()[-1] == SKIP


def test_what_may_follow():
    pointer = Pointer([True, False, True], 2, 3)
    assert pointer.allowed() == (True, True, False)
    pointer.move(ADVANCE)
    assert pointer.allowed() == (True, True, True)
    assert pointer.ending() == (False, False, True)
    pointer.move(STAY)
    assert pointer.stay == 1
    assert pointer.allowed() == (False, True, True)
    with pytest.raises(ValueError, match="not allowed"):
        pointer.move(STAY)
    pointer.move(SKIP)
    assert pointer.done
    with pytest.raises(ValueError):
        pointer.move(ADVANCE)


def test_a_limit_is_kept_to_the_frame():
    never = np.array([[50.0, 0.0, -50.0]], np.float32)
    borders = [True, False, True, False, True]
    for limit in range(3, 30):
        pointer = Pointer(borders, 5, 7, limit=limit)
        assert len(walk(pointer, never, Sampling(), 0)) == limit


def test_a_limit_below_one_frame_a_phoneme_is_refused():
    Pointer([True, False, True, False], limit=3)
    with pytest.raises(UsageError, match="at least 3"):
        Pointer([True, False, True, False], limit=2)


def test_no_symbols():
    with pytest.raises(TextError):
        Pointer([])


def test_stays_and_durations():
    path = np.array([0, 0, 1, 3, 3, 3])
    assert stays(path).tolist() == [0, 1, 0, 0, 1, 2]
    assert durations(path, 5).tolist() == [2, 1, 0, 3, 0]
    assert moves(path, [True, False, True, False, True]).tolist() == [0, 1, 2, 0, 0, 2]
    assert stays(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize(
    "path",
    [[1, 2], [0, 2], [0, 1, 0, 1, 2], [0, 1], [], [0, 1, 1, 3]],
    ids=["late start", "skipped phoneme", "step back", "no end", "no frames", "skip of a phoneme"],
)
def test_alignments_that_break_the_grammar(path):
    with pytest.raises(ValueError, match="alignment"):
        moves(np.array(path, np.int64), [True, False, False, False])
