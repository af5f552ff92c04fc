from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from valle.evaluation.listening.design import (
    ANCHOR,
    REFERENCE,
    plan_listeners,
    plan_trials,
    williams_square,
)


@given(st.integers(1, 12))
def test_every_row_and_column_has_everything_equally_often(size: int) -> None:
    rows = williams_square(size)
    assert all(sorted(row) == list(range(size)) for row in rows)
    for place in range(size):
        counts = Counter(row[place] for row in rows)
        assert len(counts) == size
        assert len(set(counts.values())) == 1


@given(st.integers(2, 12))
def test_everything_follows_everything_else_equally_often(size: int) -> None:
    pairs = Counter(pair for row in williams_square(size) for pair in itertools.pairwise(row))
    assert len(pairs) == size * (size - 1)
    assert len(set(pairs.values())) == 1


@given(
    st.sampled_from(["preference", "cmos", "smos", "mushra"]),
    st.integers(1, 7),
    st.integers(2, 4),
    st.integers(1, 9),
    st.integers(1, 30),
)
def test_exposure_is_balanced(kind, items, systems, per_listener, listeners) -> None:
    names = [f"item {number}" for number in range(items)]
    trials = plan_trials(kind, names, [f"system {number}" for number in range(systems)])
    plans = plan_listeners(trials, listeners, per_listener)
    heard = Counter(step.trial for plan in plans for step in plan)
    counts = [heard[trial] for trial in range(len(trials))]
    assert max(counts) - min(counts) <= 1  # every trial equally often
    for plan in plans:
        assert len({step.trial for step in plan}) == len(plan)  # nothing twice
        if len(plan) <= items:
            assert len({trials[step.trial].item for step in plan}) == len(plan)
    for number, trial in enumerate(trials):
        first = Counter(s.order[0] for plan in plans for s in plan if s.trial == number)
        seen = sum(first.values())
        if seen % len(williams_square(len(trial.systems))) == 0 and seen:
            assert len(set(first.values())) == 1  # every system first equally often


def test_what_is_compared() -> None:
    mushra = plan_trials("mushra", ["a"], ["x", "y"])
    assert [trial.systems for trial in mushra] == [(REFERENCE, "x", "y", ANCHOR)]
    pairs = plan_trials("cmos", ["a", "b"], ["x", "y", "z"])
    assert len({(trial.item, trial.systems) for trial in pairs}) == 6
    assert {trial.systems for trial in plan_trials("smos", ["a"], ["x"])} == {("x",)}
