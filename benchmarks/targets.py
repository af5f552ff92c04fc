"""Targets of the benchmark, for two idle cores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """A figure, and the limit that it should keep at each size."""

    description: str
    section: str
    """Of the results of a size."""
    name: str
    """Of the figure in its section."""
    limits: Mapping[str, float]
    """By size; a size without a limit has no target."""
    at_least: bool = False
    """Whether the limit is a minimum, not a maximum."""

    def value(self, result: dict[str, Any], size: str) -> float | None:
        """The figure of a size; None if it was not measured."""
        value = result["sizes"].get(size, {}).get(self.section, {}).get(self.name)
        return float(value) if isinstance(value, int | float) else None

    def is_met(self, value: float, size: str) -> bool:
        """Whether a figure keeps the limit of a size."""
        limit = self.limits[size]
        return value >= limit if self.at_least else value <= limit


TARGETS = (
    Target("RTF, check included", "end_to_end", "rtf", {"default": 0.15, "paper": 1.0}),
    Target("TTFA, warm, ms", "end_to_end", "ttfa_ms", {"default": 150, "paper": 700}),
    Target(
        "process start to first audio, s", "process", "start_to_first_audio_s", {"default": 1.5}
    ),
    Target("peak memory, MB", "process", "peak_memory_mb", {"default": 350, "paper": 900}),
    Target("AR step / lower bound", "lower_bound", "times_lower_bound", {"paper": 1.6}),
    Target(
        "sampling and Python, share of an AR step",
        "step",
        "sampling_and_python_share",
        {"default": 0.15},
    ),
    Target(
        "AR speed / PyTorch with cache",
        "baselines",
        "pytorch_times",
        {"default": 3, "paper": 2.5},
        at_least=True,
    ),
    Target(
        "AR speed / PyTorch without cache",
        "baselines",
        "pytorch_no_cache_times",
        {"default": 30, "paper": 50},
        at_least=True,
    ),
    Target(
        "AR throughput, 8 sentences / 1",
        "end_to_end",
        "eight_gain_ar",
        {"default": 3.5},
        at_least=True,
    ),
    Target(
        "speech throughput, 8 sentences / 1",
        "end_to_end",
        "eight_gain",
        {"default": 1.8},
        at_least=True,
    ),
    Target("time for 60 s / 6 times 10 s", "lengths", "sixty_over_six_tens", {"default": 1.2}),
)
