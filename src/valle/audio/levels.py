"""Sound levels of a recording: where it has sound, how loud it is, and which part is the best.

Everything here works on the power of steps of 20 ms: their variance, 1.0 for a square wave at full
scale. One hour is then 180,000 numbers, whatever its sample rate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from valle.arrays import AnyFloats, Bools, Samples

Power = NDArray[np.float64]
"""[steps] variance of the samples of each step."""

STEPS_PER_SECOND = 50

SILENCE = 1e-7  # power, -70 dBFS
_PAUSE_POWER = 1e-2  # relative to the mean power: a pause is 20 dB below it
_PAUSE_STEPS = 15  # pauses of up to twice this belong to the speech around them
_MARGIN_STEPS = 5  # steps around sound that belong to it (stops, onsets, breaths)


def compute_power(samples: Samples, sample_rate: int) -> Power:
    """Return the power of each whole step of `samples` [N]; a constant offset is not sound."""
    step = sample_rate // STEPS_PER_SECOND
    steps = samples[: len(samples) // step * step].reshape(-1, step)
    return np.asarray(steps.var(axis=1, dtype=np.float64))


def _mean_power_of_sound(power: Power) -> float:
    loud = power[power > SILENCE]
    return float(loud[loud > loud.mean() * _PAUSE_POWER].mean()) if len(loud) else 0.0


def compute_level(power: Power) -> float:
    """Return the level in dBFS of the steps with sound; minus infinity for silence."""
    mean = _mean_power_of_sound(power)
    return 10 * math.log10(mean) if mean else -math.inf


def compute_sound_threshold(power: Power) -> float:
    """Return the power above which a step is sound: 20 dB below the mean, at least -70 dBFS."""
    return max(_mean_power_of_sound(power) * _PAUSE_POWER, SILENCE)


def detect_sound(power: Power) -> Bools:
    """Return which steps are sound [steps]; short pauses within it count, silence around does not.

    A binary closing over pauses, then a dilation by a margin.
    """
    loud = np.pad(power > compute_sound_threshold(power), _PAUSE_STEPS)
    closed = ~_dilate(~_dilate(loud, _PAUSE_STEPS), _PAUSE_STEPS)
    return _dilate(closed, _MARGIN_STEPS)[_PAUSE_STEPS : len(loud) - _PAUSE_STEPS]


def _dilate(mask: Bools, steps: int) -> Bools:
    neighbors = np.convolve(mask, np.ones(2 * steps + 1))[steps : steps + len(mask)]
    return np.asarray(neighbors > 0.5)


def find_best_part(power: Power, peak: AnyFloats, seconds: float) -> tuple[int, int]:
    """Find the part of a recording that a voice is learned from best.

    Args:
        power: [steps] from `compute_power`.
        peak: [steps] greatest magnitude of each step.
        seconds: Greatest length of the part.

    Returns:
        The first step of the part and the one after its last, without silence around it.
    """
    width = max(1, int(seconds * STEPS_PER_SECOND))
    is_sound = detect_sound(power)
    first, last = 0, len(power)
    if last > width:
        first = _find_best_window(power, is_sound, peak, width)
        last = first + width
        # So that no word is cut, both edges move to the quietest place within half a second.
        reach = max(1, min(STEPS_PER_SECOND // 2, width // 4))
        smooth = np.convolve(power, np.ones(3), "same")
        first += int(smooth[first : first + reach].argmin())
        last -= int(smooth[last - reach : last][::-1].argmin())
    (sound_steps,) = np.nonzero(is_sound[first:last])
    if not len(sound_steps):
        return first, last
    return first + int(sound_steps[0]), first + int(sound_steps[-1]) + 1


def _find_best_window(power: Power, is_sound: Bools, peak: AnyFloats, width: int) -> int:
    """Return the first step of the window of `width` steps with the best score.

    The score is in decibels or scaled like them: level above the noise, share of sound, steadiness
    of the level from second to second, and penalties for windows that are quiet or clipped.
    """
    hop = STEPS_PER_SECOND // 2
    starts = np.arange(0, len(power) - width + 1, hop)
    if starts[-1] != len(power) - width:
        starts = np.append(starts, len(power) - width)

    def windows(values: NDArray[np.generic]) -> NDArray[np.generic]:
        return np.lib.stride_tricks.sliding_window_view(values, width)[starts]

    powers = windows(power + 1e-10)
    level = 10 * np.log10(powers.mean(axis=1))
    noise = np.percentile(10 * np.log10(powers), 10, axis=1)
    seconds = max(1, width // STEPS_PER_SECOND)
    by_second = powers[:, : width // seconds * seconds].reshape(len(starts), seconds, -1)
    score = (
        np.clip(level - noise, 0, 40)
        + 40 * windows(is_sound).mean(axis=1)
        - (10 * np.log10(by_second.mean(axis=2))).std(axis=1)
        - 0.5 * np.clip(np.percentile(level, 95) - level, 0, 30)
        - 40 * windows(peak >= 0.999 * peak.max()).mean(axis=1)
    )
    return int(starts[score.argmax()])
