"""What several tests of synthesis share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import valle
from valle.runtime.check import Check
from valle.trust import ledger
from valle.watermark.embed import Payload, embed_watermark

TEXT = "The house is green. It costs $123, or does it?"
WORDS = ["The", "house", "is", "green", "It", "costs", "$123", "or", "does", "it"]


def watermarked(voice: valle.Voice, samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return samples with the watermark that the user's own key gives speech in this voice."""
    key = ledger.get_signing_key().derive_watermark_key()
    return embed_watermark(samples, rate, key, Payload.for_receipt(key, voice.consent["id"]))


class FakeRecognizerCheck:
    """In the place of the recognizer's `check`: reports planned error rates, one per call.

    A rate above 0.2 comes with a missing word. The samples that it was given are kept.
    """

    def __init__(self, error_rates: list[float]) -> None:
        self.error_rates = error_rates
        self.samples: list[NDArray[np.float32]] = []

    def __call__(self, samples: NDArray[np.float32], *_: object) -> Check:
        self.samples.append(samples)
        rate = self.error_rates[len(self.samples) - 1]
        return Check(rate, ("it",) if rate > 0.2 else (), (), "", 0.5, 10)

    @property
    def calls(self) -> int:
        """How many times it was called."""
        return len(self.samples)

    @property
    def distinct(self) -> int:
        """How many different samples it was given."""
        return len({samples.tobytes() for samples in self.samples})
