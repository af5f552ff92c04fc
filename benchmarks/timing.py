"""How long something takes: jobs run in turn, again and again, and each one's median."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Lap:
    """Seconds that something took: by the clock on the wall, and of all processors together."""

    wall: float
    cpu: float

    def __mul__(self, factor: float) -> Lap:
        return Lap(self.wall * factor, self.cpu * factor)

    def __add__(self, other: Lap) -> Lap:
        return Lap(self.wall + other.wall, self.cpu + other.cpu)


Job = Callable[[], object]


def lap(job: Job) -> Lap:
    """Run a job once. A job that returns a Lap has measured itself."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = job()
    if isinstance(found, Lap):
        return found
    return Lap(time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(jobs: Mapping[str, Job], repeats: int, warm: bool = True) -> dict[str, Lap]:
    """The median lap of each job. All take their turn in every repeat, so that what else the
    machine does meanwhile falls on all of them alike. `warm`: one turn before, not counted."""
    laps: dict[str, list[Lap]] = {name: [] for name in jobs}
    for repeat in range(repeats + warm):
        for name, job in jobs.items():
            found = lap(job)
            if repeat >= warm:
                laps[name].append(found)
    return {name: median_lap(found) for name, found in laps.items()}


def median_lap(laps: Sequence[Lap]) -> Lap:
    """The median by each clock."""
    return Lap(median(one.wall for one in laps), median(one.cpu for one in laps))
