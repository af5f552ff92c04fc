"""Every phoneme gets a frame, in order, and every sentence ends, whatever the model predicts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.arrays import Floats, Ints
from valle.errors import TextError, UsageError
from valle.runtime.pointer import (
    ADVANCE,
    SKIP,
    STAY,
    Pointer,
    count_frames_on_symbol,
    extract_transitions,
    measure_durations,
)
from valle.runtime.sampling import DurationController, Sampling, TransitionSampler

BORDERS = st.lists(st.booleans(), min_size=1, max_size=40)


def walk(
    pointer: Pointer,
    logits: Floats,
    sampling: Sampling | None = None,
    seed: int = 0,
    duration: DurationController | None = None,
) -> Ints:
    """Return the symbol of each frame when these rows of logits repeat."""
    rng = np.random.default_rng(seed)
    transitions = TransitionSampler(pointer, sampling or Sampling(), rng, duration)
    path: list[int] = []
    while not pointer.done:
        path.append(pointer.index)
        transitions.next(logits[len(path) % len(logits)])
        assert len(path) < 10_000, "it never ends"
    return np.array(path, np.int64)


@settings(max_examples=200, deadline=None)
@given(
    borders=BORDERS,
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 1.0, 10.0, 1000.0]),
    temperature=st.sampled_from([0.0, 0.5, 1.0]),
    has_target=st.booleans(),
)
def test_every_phoneme_gets_frames_once_and_in_order(
    borders: list[bool], seed: int, scale: float, temperature: float, has_target: bool
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.0, scale, (17, 3)).astype(np.float32)
    duration = None
    if has_target:
        duration = DurationController(len(borders) * 4, rng.uniform(1, 9, len(borders)))
    pointer = Pointer(borders, 5, 7, limit=duration.target_frames if duration else None)
    path = walk(pointer, logits, Sampling(temperature=temperature), seed, duration)
    assert path[0] == 0
    assert (np.diff(path) >= 0).all()
    durations = measure_durations(path, len(borders))
    assert (durations <= np.where(borders, 7, 5)).all()
    assert (durations[~np.array(borders)] >= 1).all()
    assert extract_transitions(path, borders).sum() == len(borders)
    if duration:
        assert len(path) <= duration.target_frames


def test_a_model_that_always_stays_is_moved_on() -> None:
    always_stay = np.array([[50.0, 0.0, 0.0]], np.float32)
    path = walk(Pointer([True, False, True], 5, 7), always_stay)
    assert measure_durations(path, 3).tolist() == [7, 5, 7]


def test_a_model_that_always_skips_skips_only_borders() -> None:
    always_skip = np.array([[0.0, 0.0, 500.0]], np.float32)
    borders = [True, False, True, False, False, True]
    path = walk(Pointer(borders), always_skip)
    assert set(path.tolist()) == {0, 1, 3, 4}
    assert extract_transitions(path, borders).tolist()[-1] == SKIP


def test_allowed_transitions_follow_borders_and_limits() -> None:
    pointer = Pointer([True, False, True], 2, 3)
    assert pointer.allowed_transitions() == (True, True, False)
    pointer.move(ADVANCE)
    assert pointer.allowed_transitions() == (True, True, True)
    assert pointer.ending_transitions() == (False, False, True)
    pointer.move(STAY)
    assert pointer.frames_on_symbol == 1
    assert pointer.allowed_transitions() == (False, True, True)
    with pytest.raises(ValueError, match="not allowed"):
        pointer.move(STAY)
    pointer.move(SKIP)
    assert pointer.done
    with pytest.raises(ValueError, match="not allowed"):
        pointer.move(ADVANCE)


def test_limit_is_exact_for_a_model_that_always_stays() -> None:
    always_stay = np.array([[50.0, 0.0, -50.0]], np.float32)
    borders = [True, False, True, False, True]
    for limit in range(3, 30):
        assert len(walk(Pointer(borders, 5, 7, limit=limit), always_stay)) == limit


def test_limit_below_one_frame_per_phoneme_is_refused() -> None:
    Pointer([True, False, True, False], limit=3)
    with pytest.raises(UsageError, match="at least 3"):
        Pointer([True, False, True, False], limit=2)


def test_empty_sentence_is_refused() -> None:
    with pytest.raises(TextError):
        Pointer([])


def test_frames_on_symbol_durations_and_transitions_of_an_alignment() -> None:
    path = np.array([0, 0, 1, 3, 3, 3])
    assert count_frames_on_symbol(path).tolist() == [0, 1, 0, 0, 1, 2]
    assert measure_durations(path, 5).tolist() == [2, 1, 0, 3, 0]
    transitions = extract_transitions(path, [True, False, True, False, True])
    assert transitions.tolist() == [STAY, ADVANCE, SKIP, STAY, STAY, SKIP]
    assert count_frames_on_symbol(np.zeros(0, np.int64)).tolist() == []


@pytest.mark.parametrize(
    "path",
    [[1, 2], [0, 2], [0, 1, 0, 1, 2], [0, 1], [], [0, 1, 1, 3]],
    ids=["late start", "skipped phoneme", "step back", "no end", "no frames", "skip of a phoneme"],
)
def test_alignments_with_impossible_transitions_are_refused(path: list[int]) -> None:
    with pytest.raises(ValueError, match="alignment"):
        extract_transitions(np.array(path, np.int64), [True, False, False, False])
