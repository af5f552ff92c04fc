"""How fast each cue is spoken, so that it fits its slot and its neighbors' pace.

A cue that is shorter than its slot keeps its own pace. A longer one is faster, up to a limit; then
it may run into the gap after it; then its samples are compressed in time as far as they may be.
Where a cue is fast, its neighbors are faster too, so that the pace changes step by step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.media.subtitles import Cue

MAX_COMPRESSION = 1.08  # of time, after speaking
_STEP = 1.085  # between neighbors: below 1.1, as the end of sound is not known to the millisecond
_UNNOTICED = 1.01  # a rate that is not worth a change
_MARGIN = 0.02  # seconds, a frame of the codec: what speech may be longer than it was asked to be
_SHORTEST = 0.2  # seconds

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Slot:
    """When a cue may be heard, in seconds."""

    start: float
    end: float
    """Of the cue."""
    limit: float
    """Until when it may run into the gap after it; `end` or later."""


def make_slots(cues: Sequence[Cue], spill: float, film_seconds: float) -> list[Slot]:
    """Return the slots of cues, which are in the order of their times.

    Args:
        cues: They do not overlap.
        spill: Seconds that a cue may run into the gap after it.
        film_seconds: Where the gap after the last cue ends.
    """
    borders = [*(cue.start for cue in cues[1:]), max(film_seconds, cues[-1].end if cues else 0.0)]
    return [
        Slot(cue.start, cue.end, max(cue.end, min(cue.end + spill, border)))
        for cue, border in zip(cues, borders, strict=True)
    ]


def plan_rates(natural: Floats, slots: Sequence[Slot], max_rate: float) -> Floats:
    """Return how many times as fast as usual each cue is spoken, compression included.

    Args:
        natural: [cues] seconds that each cue takes at its own pace.
        slots: [cues].
        max_rate: The fastest that a cue is spoken without compression.

    Returns:
        [cues] from 1 to `max_rate * MAX_COMPRESSION`; neighbors differ by at most `_STEP`.
    """
    needed = np.array(
        [_find_rate(seconds, slot, max_rate) for seconds, slot in zip(natural, slots, strict=True)]
    )
    return _smooth(needed)


def _find_rate(natural: float, slot: Slot, max_rate: float) -> float:
    """Return the least rate at which a cue fits, in the order: faster, into the gap, compressed."""
    own = natural / max(_SHORTEST, slot.end - slot.start - _MARGIN)
    if own <= max_rate:
        return max(1.0, own)
    with_gap = natural / max(_SHORTEST, slot.limit - slot.start - _MARGIN)
    return float(np.clip(with_gap, max_rate, max_rate * MAX_COMPRESSION))


def _smooth(rates: Floats) -> Floats:
    """Raise rates until neighbors differ by at most `_STEP`, by no more than that takes."""
    steps = np.arange(len(rates)) * np.log(_STEP)
    logs = np.log(rates)
    forward = np.maximum.accumulate(logs + steps) - steps
    backward = (np.maximum.accumulate((logs - steps)[::-1]))[::-1] + steps
    smooth = np.exp(np.maximum(forward, backward))
    return np.where((rates <= 1.0) & (smooth < _UNNOTICED), 1.0, smooth)


@dataclass(frozen=True)
class Placement:
    """Where speech goes, in seconds."""

    start: float
    end: float
    compression: float
    """How many times as fast its samples are played; 1 leaves them as they are."""
    late: float
    """Seconds after the beginning of its slot, because the cue before it was too long."""


def place(
    lengths: Sequence[float], factors: Sequence[float], slots: Sequence[Slot]
) -> list[Placement]:
    """Place speech in slots. Nothing is cut: what is too long delays what comes after it.

    Args:
        lengths: [cues] seconds of speech.
        factors: [cues] how many times as fast its samples are to be played for the pace.
        slots: [cues].
    """
    placements: list[Placement] = []
    free = 0.0
    for length, factor, slot in zip(lengths, factors, slots, strict=True):
        start = max(slot.start, free)
        room = max(_SHORTEST, slot.limit - start)
        compression = max(factor, min(length / room, MAX_COMPRESSION))
        end = start + length / compression
        placements.append(Placement(start, end, compression, start - slot.start))
        free = end
    return placements
