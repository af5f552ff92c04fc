"""Where a recording has sound, how loud it is, and which part of it is the best to learn from.

Everything here works on powers: the variance of each 20 ms, 1.0 being a square wave at full scale.
An hour is then 180,000 numbers, whatever its sample rate.
"""

import math

import numpy as np
from numpy.typing import NDArray

Powers = NDArray[np.float64]

STEPS_PER_SECOND = 50

SILENCE = 1e-7  # -70 dBFS
_GATE = 1e-2  # what is 20 dB under the mean is a pause
_PAUSE = 15  # steps; pauses of up to twice this belong to the speech around them
_BREATH = 5  # steps around sound that belong to it (stops, onsets, breaths)


def powers(samples: NDArray[np.float32], sample_rate: int) -> Powers:
    """Variance of each whole 20 ms of `samples` [N]. A constant offset is no sound."""
    step = sample_rate // STEPS_PER_SECOND
    cells = samples[: len(samples) // step * step].reshape(-1, step)
    return np.asarray(cells.var(axis=1, dtype=np.float64))


def _mean_of_sound(power: Powers) -> float:
    loud = power[power > SILENCE]
    return float(loud[loud > loud.mean() * _GATE].mean()) if len(loud) else 0.0


def level(power: Powers) -> float:
    """dBFS of the parts with sound; minus infinity for silence."""
    mean = _mean_of_sound(power)
    return 10 * math.log10(mean) if mean else -math.inf


def sound_gate(power: Powers) -> float:
    """The power above which a step is sound: 20 dB under the mean, and never digital silence."""
    return max(_mean_of_sound(power) * _GATE, SILENCE)


def sound(power: Powers) -> NDArray[np.bool_]:
    """Which steps are sound. Short pauses within it count, silence around it does not."""
    loud = np.pad(power > sound_gate(power), _PAUSE)
    closed = ~_widen(~_widen(loud, _PAUSE), _PAUSE)
    return _widen(closed, _BREATH)[_PAUSE : len(loud) - _PAUSE]


def _widen(mask: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    near = np.convolve(mask, np.ones(2 * steps + 1))[steps : steps + len(mask)]
    return np.asarray(near > 0.5)


def best_part(power: Powers, peak: NDArray[np.floating], seconds: float) -> tuple[int, int]:
    """First step and the one after the last of the best part, at most `seconds` long.

    `peak` [T]: greatest magnitude of each step.
    """
    width = max(1, int(seconds * STEPS_PER_SECOND))
    speaks = sound(power)
    first, last = 0, len(power)
    if last > width:
        first = _best_window(power, speaks, peak, width)
        last = first + width
        # So that no word is cut, both edges go to the quietest place within half a second.
        reach = max(1, min(STEPS_PER_SECOND // 2, width // 4))
        smooth = np.convolve(power, np.ones(3), "same")
        first += int(smooth[first : first + reach].argmin())
        last -= int(smooth[last - reach : last][::-1].argmin())
    (where,) = np.nonzero(speaks[first:last])
    if not len(where):
        return first, last
    return first + int(where[0]), first + int(where[-1]) + 1


def _best_window(
    power: Powers, speaks: NDArray[np.bool_], peak: NDArray[np.floating], width: int
) -> int:
    """First step of the best window of `width` steps; the points are decibels or like them."""
    hop = STEPS_PER_SECOND // 2
    starts = np.arange(0, len(power) - width + 1, hop)
    if starts[-1] != len(power) - width:
        starts = np.append(starts, len(power) - width)

    def windows(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.lib.stride_tricks.sliding_window_view(values, width)[starts]

    cells = windows(power + 1e-10)
    loudness = 10 * np.log10(cells.mean(axis=1))
    noise = np.percentile(10 * np.log10(cells), 10, axis=1)
    seconds = max(1, width // STEPS_PER_SECOND)
    each = cells[:, : width // seconds * seconds].reshape(len(starts), seconds, -1).mean(axis=2)
    points = (
        np.clip(loudness - noise, 0, 40)
        + 40 * windows(speaks).mean(axis=1)
        - (10 * np.log10(each)).std(axis=1)
        - 0.5 * np.clip(np.percentile(loudness, 95) - loudness, 0, 30)
        - 40 * windows(peak >= 0.999 * peak.max()).mean(axis=1)
    )
    return int(starts[points.argmax()])
