"""Pauses: how often and how long a clip is silent between its words."""

from __future__ import annotations

import numpy as np

from valle.arrays import Samples
from valle.audio.levels import STEPS_PER_SECOND, compute_power, compute_sound_threshold

SHORTEST_PAUSE = 0.1  # seconds; shorter silences are the closures of stops


def measure_pauses(samples: Samples, sample_rate: int) -> tuple[float, ...]:
    """Durations in seconds of the silences within speech, without those at its ends.

    Silence is 20 dB below the mean level of the sound, for 0.1 s or more; resolution 20 ms.
    """
    power = compute_power(samples, sample_rate)
    loud = power > compute_sound_threshold(power)
    places = np.flatnonzero(loud)
    durations = (np.diff(places) - 1) / STEPS_PER_SECOND
    return tuple(float(duration) for duration in durations if duration >= SHORTEST_PAUSE)
