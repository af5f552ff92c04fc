"""What the figures should be, on two cores that do nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """One figure of one size, and the limit that it should keep."""

    words: str
    size: str
    section: str
    name: str
    limit: float
    at_least: bool = False

    def found(self, result: dict[str, Any]) -> float | None:
        """The figure, if it was measured."""
        value = result["sizes"].get(self.size, {}).get(self.section, {}).get(self.name)
        return float(value) if isinstance(value, int | float) else None

    def met(self, value: float) -> bool:
        """Whether a figure keeps the limit."""
        return value >= self.limit if self.at_least else value <= self.limit


GOALS = (
    Goal("RTF, check included", "default", "whole", "rtf", 0.15),
    Goal("RTF, check included", "paper", "whole", "rtf", 1.0),
    Goal("first sound, warm, ms", "default", "whole", "first_sound_ms", 150),
    Goal("first sound, warm, ms", "paper", "whole", "first_sound_ms", 700),
    Goal(
        "start of the process to first sound, s",
        "default",
        "process",
        "start_to_first_sound_s",
        1.5,
    ),
    Goal("peak memory, MB", "default", "process", "peak_memory_mb", 350),
    Goal("peak memory, MB", "paper", "process", "peak_memory_mb", 900),
    Goal("AR step over its floor", "paper", "floor", "times_floor", 1.6),
    Goal("sampling and Python in an AR step", "default", "step", "sampling_and_python_share", 0.15),
    Goal("AR, times PyTorch with cache", "default", "rivals", "pytorch_times", 3, True),
    Goal("AR, times PyTorch with cache", "paper", "rivals", "pytorch_times", 2.5, True),
    Goal(
        "AR, times PyTorch without cache", "default", "rivals", "pytorch_no_cache_times", 30, True
    ),
    Goal("AR, times PyTorch without cache", "paper", "rivals", "pytorch_no_cache_times", 50, True),
    Goal("AR steps, eight at once against one", "default", "whole", "eight_gain_ar", 3.5, True),
    Goal("speech, eight at once against one", "default", "whole", "eight_gain", 1.8, True),
    Goal("60 s of speech over six times 10 s", "default", "lengths", "sixty_over_six_tens", 1.2),
)
