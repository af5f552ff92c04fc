"""Where speech begins and ends in samples, by its level.

Frames of 5 ms count as sound from 33 dB below the loudest one on, and from 8 dB above the noise.
"""

from __future__ import annotations

import numpy as np

from valle.arrays import Samples

_FRAME, _HOP = 0.005, 0.001  # seconds
_BELOW_PEAK, _ABOVE_NOISE = 33.0, 8.0  # dB
_SUSTAINED = 16  # hops of which more than half have sound: a click is not speech


def find_sound(samples: Samples, sample_rate: int) -> tuple[float, float]:
    """Return begin and end in seconds of the sound in samples [N]; 0 and N if there is none."""
    hop, frame = round(_HOP * sample_rate), round(_FRAME * sample_rate)
    if len(samples) < frame + _SUSTAINED * hop:
        return 0.0, len(samples) / sample_rate
    energy = np.concatenate(([0.0], np.cumsum(np.square(samples, dtype=np.float64))))
    starts = np.arange(0, len(samples) - frame + 1, hop)
    level = 10 * np.log10((energy[starts + frame] - energy[starts]) / frame + 1e-12)
    noise = float(np.percentile(level, 2))
    peak = float(level.max())
    threshold = min(max(peak - _BELOW_PEAK, noise + _ABOVE_NOISE), peak - 20.0)
    loud = (level > threshold).astype(np.int64)
    count = np.convolve(loud, np.ones(_SUSTAINED, np.int64))
    ahead = count[_SUSTAINED - 1 :]  # sound in the hops from each one on
    behind = count[: len(loud)]
    begins = np.flatnonzero((ahead > _SUSTAINED // 2) & (loud > 0))
    ends = np.flatnonzero((behind > _SUSTAINED // 2) & (loud > 0))
    if not len(begins) or not len(ends):
        return 0.0, len(samples) / sample_rate
    return float(starts[begins[0]]) / sample_rate, float(starts[ends[-1]] + frame) / sample_rate
