"""Which listener hears what, and in which order.

Orders are rows of Williams' Latin squares (Williams 1949, "Experimental designs balanced for the
estimation of residual effects of treatments"): every stimulus is at every place equally often, and
follows every other one equally often. Each listener can have a subset of the trials; over all
listeners, every trial is heard equally often, give or take one.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from valle.evaluation.listening.options import Kind

REFERENCE, ANCHOR = "reference", "anchor"


@dataclass(frozen=True)
class Trial:
    """What is compared on one screen."""

    item: str
    systems: tuple[str, ...]
    """Those that are rated, before they are put in order."""


@dataclass(frozen=True)
class Step:
    """A trial as one listener has it."""

    trial: int
    """Index of the trial."""
    order: tuple[int, ...]
    """Indices of its systems, in the order in which they are presented."""


def williams_square(size: int) -> list[tuple[int, ...]]:
    """Rows of a Latin square balanced for order: `size` rows, or twice as many for an odd size."""
    first = [0]
    for step in range(1, size):
        first.append((first[-1] + (step if step % 2 else -step)) % size)
    rows = [tuple((value + shift) % size for value in first) for shift in range(size)]
    return rows + [row[::-1] for row in rows] if size % 2 and size > 1 else rows


def plan_trials(kind: Kind, items: Sequence[str], systems: Sequence[str]) -> list[Trial]:
    """All trials, so ordered that any of them in a row have different items and all systems.

    Args:
        kind: of the test.
        items: their names.
        systems: their names; of preference and CMOS, every pair is compared.
    """
    compared: list[tuple[str, ...]]
    if kind == "mushra":
        compared = [(REFERENCE, *systems, ANCHOR)]
    elif kind == "smos":
        compared = [(system,) for system in systems]
    else:
        compared = list(itertools.combinations(systems, 2))
    return [
        Trial(item, compared[(place + turn) % len(compared)])
        for turn in range(len(compared))
        for place, item in enumerate(items)
    ]


def plan_listeners(
    trials: Sequence[Trial], listeners: int, per_listener: int | None = None
) -> list[list[Step]]:
    """The steps of each listener.

    Args:
        trials: from `plan_trials`.
        listeners: how many.
        per_listener: trials of each; None gives all to everybody.
    """
    count = min(per_listener or len(trials), len(trials))
    orders = williams_square(count)
    heard = [0] * len(trials)
    plans = []
    for listener in range(listeners):
        subset = [(listener * count + place) % len(trials) for place in range(count)]
        steps = []
        for place in orders[listener % len(orders)]:
            trial = subset[place]
            rows = williams_square(len(trials[trial].systems))
            # Neighboring trials begin with different rows, so that no system is always first.
            steps.append(Step(trial, rows[(trial + heard[trial]) % len(rows)]))
            heard[trial] += 1
        plans.append(steps)
    return plans
