"""How fast cues are spoken, and where they go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.dubbing.fitting import MAX_COMPRESSION, Slot, make_slots, place, plan_rates
from valle.media.subtitles import Cue


def cue(start: float, end: float) -> Cue:
    return Cue(1, 0, start, end, "text", None, "text")


def test_slots_run_into_gaps_but_not_into_cues() -> None:
    cues = [cue(0, 1), cue(1.5, 2), cue(2, 3), cue(9, 10)]
    limits = [slot.limit for slot in make_slots(cues, 1.0, 10.2)]
    assert limits == pytest.approx([1.5, 2.0, 4.0, 10.2])
    assert [slot.limit for slot in make_slots(cues, 0.0, 10.2)] == [1, 2, 3, 10]


def test_short_lines_keep_their_pace_and_long_ones_are_spoken_faster_first() -> None:
    slot = Slot(0, 2, 3)
    assert plan_rates(np.array([1.0]), [slot], 1.35)[0] == 1.0
    assert plan_rates(np.array([1.95]), [slot], 1.35)[0] == 1.0
    # Faster before the gap is used, the gap before compression.
    assert plan_rates(np.array([2.5]), [slot], 1.35)[0] == pytest.approx(2.5 / 1.98)
    assert plan_rates(np.array([3.5]), [slot], 1.35)[0] == pytest.approx(1.35)
    assert plan_rates(np.array([4.15]), [slot], 1.35)[0] == pytest.approx(4.15 / 2.98)
    assert plan_rates(np.array([9.0]), [slot], 1.35)[0] == pytest.approx(1.35 * MAX_COMPRESSION)


LENGTHS = st.lists(st.floats(0.05, 12.0), min_size=1, max_size=20)


@given(LENGTHS, st.floats(1.0, 2.0))
def test_neighbors_are_alike_and_nobody_is_slower_than_needed(
    lengths: list[float], max_rate: float
) -> None:
    natural = np.array(lengths)
    slots = [Slot(3.0 * index, 3.0 * index + 2, 3.0 * index + 3) for index in range(len(lengths))]
    rates = plan_rates(natural, slots, max_rate)
    assert (rates >= 1.0).all()
    assert (rates <= max_rate * MAX_COMPRESSION + 1e-9).all()
    ratios = rates[1:] / rates[:-1]
    assert (np.maximum(ratios, 1 / ratios) < 1.1).all()
    alone = np.array(
        [plan_rates(natural[i : i + 1], [slots[i]], max_rate)[0] for i in range(len(slots))]
    )
    assert (rates >= alone - 1e-9).all()


@given(LENGTHS)
def test_speech_is_never_cut_nor_overlaps(lengths: list[float]) -> None:
    slots = [Slot(3.0 * index, 3.0 * index + 2, 3.0 * index + 3) for index in range(len(lengths))]
    factors = [1.0 + 0.04 * (index % 2) for index in range(len(lengths))]
    placements = place(lengths, factors, slots)
    end = 0.0
    for length, factor, slot, placement in zip(lengths, factors, slots, placements, strict=True):
        assert placement.start == max(slot.start, end)
        assert placement.late == pytest.approx(placement.start - slot.start)
        assert factor <= placement.compression <= MAX_COMPRESSION
        assert placement.end - placement.start == pytest.approx(length / placement.compression)
        if length / factor <= slot.limit - placement.start:
            assert placement.compression == pytest.approx(factor)
        end = placement.end
