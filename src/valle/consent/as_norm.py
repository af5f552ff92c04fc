"""Score normalization of speaker verification (adaptive s-norm) with a cohort of impostors.

The cosine of two recordings of one speaker depends on microphone, room and speaker, and so does
that of two different speakers: one limit for all refuses many owners or accepts many impostors. So
each recording is also compared with a *cohort*, speakers of the training data. The normalized score
is how many standard deviations the cosine is above those of the nearest cohort speakers, averaged
over both recordings (Matejka et al. 2017, "Analysis of score normalization in multilingual speaker
recognition", section 2.2). Before that, within-class covariance normalization gives less weight to
the directions in which embeddings of one speaker vary (Hatch, Kajarekar and Stolcke 2006,
"Within-class covariance normalization for SVM-based speaker recognition").

The graph `cohort` of a bundle computes this; `valle cohort` creates it.
"""

from __future__ import annotations

import numpy as np

from valle.arrays import Embedding
from valle.bundle.bundle import Bundle

GRAPH = "cohort"
# Mean cosine to the nearest cohort speakers. If nobody in the cohort was recorded under similar
# conditions, all impostors seem far away and every score is high: with no reader of LibriSpeech in
# the cohort, half of the non-target trials of its readers were accepted. Their mean cosine was 0.49
# and less; recordings of corpora that the cohort has are above that, except for 1 in 200.
MIN_COHORT_COSINE = 0.49


def compute_as_norm(bundle: Bundle, first: Embedding, second: Embedding) -> float | None:
    """Compute the normalized score of two recordings' speaker embeddings.

    Args:
        bundle: Its `cohort` graph has the impostors.
        first: [192], of unit length.
        second: [192], of unit length.

    Returns:
        Standard deviations above the nearest impostors; None if the bundle has no cohort, or one
        of the recordings is unlike all of it.
    """
    if GRAPH not in bundle.config.graphs:
        return None
    session = bundle.session(GRAPH)
    projected, mean, std, nearest_cosine = session.run(
        ["turned", "mean", "spread", "near"], {"embedding": np.stack([first, second])}
    )
    if not nearest_cosine.min() >= MIN_COHORT_COSINE:  # true for NaN as well
        return None
    return float(((projected[0] @ projected[1] - mean) / std).mean())
