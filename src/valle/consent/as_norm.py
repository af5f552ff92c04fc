"""How much more alike two voices are than strangers are: adaptive normalisation of their score.

What cosine two recordings of one voice have hangs on microphone, room and speaker, and so does that
of two strangers: one limit for all of them refuses many owners or takes many strangers. So each
recording is also compared with a *cohort*, speakers of the training data, and the score is how
many standard deviations it lies above those of the nearest strangers, in the mean of both
recordings (adaptive s-norm: Matejka et al. 2017, "Analysis of score normalization in multilingual
speaker recognition", section 2.2). Before that, embeddings are moved and turned so that what varies
within one speaker weighs less (within-class covariance normalisation: Hatch, Kajarekar and Stolcke
2006, "Within-class covariance normalization for SVM-based speaker recognition").

The graph `cohort` of a bundle does this; `valle cohort` makes it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valle.bundle.bundle import Bundle

GRAPH = "cohort"
# The mean cosine to the nearest of the cohort. Where nobody in it was recorded at all alike,
# strangers seem far from everybody, and every score stands out: with no reader of LibriSpeech in
# the cohort, half of the pairs of its readers passed for one. They had 0.49 and less then,
# recordings of corpora that the cohort has more, but for 1 in 200.
KNOWN_LIMIT = 0.49


def over_strangers(
    bundle: Bundle, one: NDArray[np.float32], other: NDArray[np.float32]
) -> float | None:
    """How many standard deviations two voices are more alike than the nearest strangers are.

    `one` and `other` are embeddings [192] of unit length. None where nothing can be said: the
    bundle has no cohort, or nobody in it is like one of them.
    """
    if GRAPH not in bundle.config.graphs:
        return None
    session = bundle.session(GRAPH)
    turned, mean, spread, near = session.run(
        ["turned", "mean", "spread", "near"], {"embedding": np.stack([one, other])}
    )
    if not near.min() >= KNOWN_LIMIT:
        return None
    return float(((turned[0] @ turned[1] - mean) / spread).mean())
