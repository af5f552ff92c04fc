"""Pitch range: how lively or flat the intonation of a clip is."""

from __future__ import annotations

import numpy as np

from valle.arrays import Samples
from valle.audio.levels import STEPS_PER_SECOND
from valle.audio.prosody import STYLES, compute_frame_features, measure_styles
from valle.evaluation.metrics import EVALUATION_RATE

_RANGE = STYLES.index("pitch_range")


def pitch_range(samples: Samples) -> float | None:
    """From the 10th to the 90th percentile of the pitch, in semitones.

    Args:
        samples: [N] at 16 kHz.

    Returns:
        The range; None where too little is voiced.
    """
    features = compute_frame_features(samples, EVALUATION_RATE, EVALUATION_RATE // STEPS_PER_SECOND)
    semitones = float(measure_styles(features, 0)[_RANGE])
    return semitones if np.isfinite(semitones) else None
