"""Timing: jobs run in turn, repeatedly, and the median of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Lap:
    """Seconds that a job took: wall-clock time, and processor time over all threads."""

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
    result = job()
    if isinstance(result, Lap):
        return result
    return Lap(time.perf_counter() - wall, time.process_time() - cpu)


def interleaved(jobs: Mapping[str, Job], repeats: int, warm_up: bool = True) -> dict[str, Lap]:
    """The median lap of each job.

    All jobs run in turn in every repeat, so that whatever else the machine does affects all alike.

    Args:
        jobs: by name.
        repeats: laps of each job.
        warm_up: run every job once before, without measuring it.
    """
    laps: dict[str, list[Lap]] = {name: [] for name in jobs}
    for repeat in range(repeats + warm_up):
        for name, job in jobs.items():
            measured = lap(job)
            if repeat >= warm_up:
                laps[name].append(measured)
    return {name: median_lap(of_job) for name, of_job in laps.items()}


def median_lap(laps: Sequence[Lap]) -> Lap:
    """The median of each clock."""
    return Lap(median(lap.wall for lap in laps), median(lap.cpu for lap in laps))
