"""Anti-spoofing countermeasure: is speech bona fide, resynthesized by a neural codec, or synthetic?

The detector looks for traces of synthesis, whichever program left them. It was trained on few
generators: it does not know others, nor speech that was filtered to evade it, nor who speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import resample
from valle.bundle.bundle import Bundle

BONA_FIDE, RESYNTHESIZED, SYNTHETIC = "bona fide", "resynthesized", "synthetic"
KINDS = (BONA_FIDE, RESYNTHESIZED, SYNTHETIC)
"""The classes, in the order of the graph's outputs."""
GRAPH = "detector"
LIMITATIONS = (
    "speech from generators it was not trained on, or filtered to evade it, may pass as bona fide; "
    "it does not know who speaks, nor whether the words are true"
)
_SAMPLE_RATE = 16_000  # Hz
_CHUNK_SECONDS = 20  # per run of the graph: enough context for its normalization over time
_MIN_LAST_SECOND = 1600  # samples (0.1 s): a shorter remainder is not classified


@dataclass(frozen=True)
class Verdict:
    """Probabilities of the three `KINDS`, for equal priors."""

    whole: dict[str, float]
    """Of the whole recording."""
    seconds: NDArray[np.float64]
    """[S, 3], of each second by itself."""

    @property
    def kind(self) -> str:
        """The most probable of `KINDS`."""
        return max(KINDS, key=lambda kind: self.whole[kind])


def classify(bundle: Bundle, samples: NDArray[np.float32], sample_rate: int) -> Verdict | None:
    """Classify `samples` [N] by a bundle's detector.

    Args:
        bundle: The bundle.
        samples: [N] mono in [-1, 1], N at least 1.
        sample_rate: Hz.

    Returns:
        The probabilities; None if the bundle has no detector.

    Raises:
        BundleError: The detector's file is missing or altered.
    """
    if GRAPH not in bundle.config.graphs:
        return None
    session = bundle.session(GRAPH)
    second_logits: list[NDArray[np.float64]] = []
    whole_logits: list[NDArray[np.float64]] = []
    weights: list[int] = []
    for chunk in _split_chunks(resample(samples, sample_rate, _SAMPLE_RATE)):
        seconds, whole = session.run(["seconds", "whole"], {"waveform": chunk[None]})
        second_logits.append(seconds[0].astype(np.float64))
        whole_logits.append(whole[0].astype(np.float64))
        weights.append(len(seconds[0]))
    mean = _softmax(np.average(whole_logits, axis=0, weights=weights))
    probabilities = {kind: float(value) for kind, value in zip(KINDS, mean, strict=True)}
    return Verdict(probabilities, _softmax(np.concatenate(second_logits)))


def _split_chunks(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Split into chunks of whole seconds; the last second is filled by repeating its chunk."""
    size = _CHUNK_SECONDS * _SAMPLE_RATE
    starts = list(range(0, len(samples), size))
    if len(starts) > 1 and len(samples) - starts[-1] < size // 2:
        starts.pop()  # a short remainder is classified together with the chunk before it
    ends = [*starts[1:], len(samples)]
    chunks = []
    for start, end in zip(starts, ends, strict=True):
        remainder = (end - start) % _SAMPLE_RATE
        length = end - start - remainder
        if remainder >= _MIN_LAST_SECOND or not length:
            length += _SAMPLE_RATE
        chunks.append(np.resize(samples[start:end], length).astype(np.float32))
    return chunks


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
