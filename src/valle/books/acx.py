"""The levels of an audiobook file, against what Audible's ACX accepts.

Measured of the file that was written, after its encoding: the root mean square and the highest
sample of all of it, and, as the noise floor, the quietest half second.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.books.packets import import_av
from valle.errors import RecordingError

RMS_RANGE = (-23.0, -18.0)  # dBFS
MAX_PEAK = -3.0  # dBFS
MAX_NOISE = -60.0  # dBFS
MAX_SECONDS = 120 * 60.0
_WINDOW = 0.5  # seconds
_SILENT = 1e-10  # power, -100 dBFS


@dataclass(frozen=True)
class AcxLevels:
    """What was measured of a file, in dBFS, and its length."""

    rms: float
    peak: float
    noise_floor: float
    seconds: float

    @property
    def problems(self) -> list[str]:
        """What ACX would refuse; empty if nothing."""
        low, high = RMS_RANGE
        found = []
        if not low <= self.rms <= high:
            found.append(f"its level is {self.rms:.1f} dBFS, not {low:g} to {high:g}")
        if self.peak > MAX_PEAK:
            found.append(f"its peaks reach {self.peak:.1f} dBFS, more than {MAX_PEAK:g}")
        if self.noise_floor > MAX_NOISE:
            found.append(f"its noise floor is {self.noise_floor:.1f} dBFS, above {MAX_NOISE:g}")
        if self.seconds > MAX_SECONDS:
            found.append(f"it lasts {self.seconds / 60:.0f} minutes, more than 120")
        return found

    def describe(self) -> dict[str, Any]:
        """Return all as plain values that `json` can write."""
        return {
            "rms": round(self.rms, 2),
            "peak": round(self.peak, 2),
            "noise_floor": round(self.noise_floor, 2),
            "seconds": round(self.seconds, 3),
            "problems": self.problems,
        }


def measure_levels(path: Path) -> AcxLevels:
    """Return the levels of an audio file.

    Raises:
        RecordingError: It cannot be decoded, or is shorter than half a second.
        UsageError: PyAV is not installed.
    """
    total, peak, quietest, count = 0.0, 0.0, np.inf, 0
    rate = 1
    pending = np.zeros(0, np.float32)
    for samples, rate in _decode(path):
        total += float(np.square(samples, dtype=np.float64).sum())
        peak = max(peak, float(np.abs(samples).max(initial=0.0)))
        count += len(samples)
        pending = np.concatenate((pending, samples))
        window = round(_WINDOW * rate)
        whole = len(pending) // window * window
        if whole:
            powers = np.square(pending[:whole].reshape(-1, window), dtype=np.float64).mean(axis=1)
            quietest = min(quietest, float(powers.min()))
            pending = pending[whole:]
    if not np.isfinite(quietest):
        raise RecordingError(f"{path} is shorter than half a second")
    return AcxLevels(
        rms=_to_decibels(total / count),
        peak=_to_decibels(peak**2),
        noise_floor=_to_decibels(quietest),
        seconds=count / rate,
    )


def _decode(path: Path) -> Iterator[tuple[Samples, int]]:
    """Yield blocks [N] of a file with one channel, and its rate in Hz."""
    av = import_av()
    try:
        with av.open(str(path)) as container:
            resampler = av.AudioResampler(format="fltp", layout="mono")
            for frame in container.decode(audio=0):
                for converted in resampler.resample(frame):
                    yield converted.to_ndarray()[0], converted.sample_rate
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise RecordingError(f"{path} cannot be decoded: {error}") from error


def _to_decibels(power: float) -> float:
    return float(10 * np.log10(max(power, _SILENT)))
