"""The speaker encoder of a bundle: from speech to a speaker embedding."""

from __future__ import annotations

import numpy as np

from valle.arrays import AnyFloats, Embedding
from valle.bundle.bundle import Bundle

EMBEDDING_DIM = 192


class SpeakerEncoder:
    """Embeds speech; the cosine similarity of two embeddings is their dot product."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def embed(self, samples: AnyFloats) -> Embedding:
        """Return the speaker embedding of some speech: [192] float32 of unit length.

        Args:
            samples: [N] in [-1, 1] at the bundle's sample rate; seconds of speech.
        """
        hop = self._bundle.config.hop
        padded = np.pad(np.asarray(samples, np.float32), (0, -len(samples) % hop))
        outputs = self._bundle.session("speaker").run(["embedding"], {"waveform": padded[None]})
        embedding: Embedding = outputs[0][0]
        return embedding
