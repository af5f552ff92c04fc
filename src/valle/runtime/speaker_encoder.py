"""The speaker encoder of a bundle: whose voice it is, as a direction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from valle.bundle.bundle import Bundle

EMBEDDING = 192  # numbers that stand for a voice


class SpeakerEncoder:
    """Embeds voices; two embeddings' likeness is their dot product."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def embed(self, samples: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """The voice in `samples`: [192] float32 of unit length.

        Args:
            samples: [N] in [-1, 1] at the bundle's sample rate; seconds of speech.
        """
        hop = self._bundle.config.hop
        padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % hop))
        session = self._bundle.session("speaker")
        embedding: npt.NDArray[np.float32] = session.run(["embedding"], {"waveform": padded[None]})[
            0
        ][0]
        return embedding
