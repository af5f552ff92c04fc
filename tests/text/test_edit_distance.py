"""Edit distance and alignment: known answers, and agreement with a direct definition."""

from __future__ import annotations

import math
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.text.edit_distance import align, edit_distance, phoneme_cost, unit_cost

SEQUENCES = st.lists(st.sampled_from(["p", "b", "t", "ɪ", "iː", "ə"]), max_size=7)


def define_distance(
    reference: list[str], hypothesis: list[str], phonemes: bool, deletion: float = 1.0
) -> float:
    """The recursive definition of the edit distance."""
    substitution = phoneme_cost if phonemes else unit_cost

    @cache
    def distance(i: int, j: int) -> float:
        if i == 0:
            return float(j)
        costs = [distance(i - 1, j) + deletion]
        if j:
            costs.append(distance(i, j - 1) + 1.0)
            pair = substitution(reference[i - 1], hypothesis[j - 1])
            costs.append(distance(i - 1, j - 1) + pair)
        return min(costs)

    return distance(len(reference), len(hypothesis))


@pytest.mark.parametrize(
    ("reference", "hypothesis", "distance"),
    [("kitten", "sitting", 3), ("", "", 0), ("", "abc", 3), ("abc", "", 3), ("abc", "abc", 0)],
)
def test_known_distances(reference: str, hypothesis: str, distance: int) -> None:
    assert edit_distance(reference, hypothesis) == distance


@settings(deadline=None)
@given(SEQUENCES, SEQUENCES)
def test_distance_agrees_with_its_definition(reference: list[str], hypothesis: list[str]) -> None:
    assert edit_distance(reference, hypothesis) == define_distance(reference, hypothesis, False)
    distance = edit_distance(reference, hypothesis, phoneme_cost)
    assert distance == define_distance(reference, hypothesis, True)


@settings(deadline=None)
@given(SEQUENCES, SEQUENCES, st.booleans(), st.sampled_from([1.0, math.inf]))
def test_alignment_has_the_least_cost(
    reference: list[str], hypothesis: list[str], phonemes: bool, deletion: float
) -> None:
    if deletion == math.inf and len(reference) > len(hypothesis):
        return
    substitution = phoneme_cost if phonemes else unit_cost
    edits = align(reference, hypothesis, substitution, deletion)
    assert [i for i, _ in edits if i >= 0] == list(range(len(reference)))
    assert [j for _, j in edits if j >= 0] == list(range(len(hypothesis)))
    cost = 0.0
    for i, j in edits:
        if i < 0:
            cost += 1.0
        elif j < 0:
            cost += deletion
        else:
            cost += substitution(reference[i], hypothesis[j])
    assert cost == define_distance(reference, hypothesis, phonemes, deletion)


def test_ties_prefer_a_pair_then_a_deletion_from_the_end() -> None:
    assert align("ab", "b") == [(0, -1), (1, 0)]
    assert align("aa", "a") == [(0, -1), (1, 0)]
    assert align("a", "aa") == [(-1, 0), (0, 1)]


def test_phoneme_cost_depends_on_the_class() -> None:
    assert phoneme_cost("p", "p") == 0.0
    assert phoneme_cost("p", "b") == phoneme_cost("ɪ", "iː") == 0.5
    assert phoneme_cost("p", "ɪ") == 1.5
