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
# Reasons to call a verdict unsure.
_SURE_SECONDS = 2.0  # the length of the segments that it was trained on
_SURE_PROBABILITY = 0.7  # of the most probable kind
_CUT_HZ, _CUT_DB = 3600.0, -60.0  # a telephone has nothing above; relative to the whole
_MIN_LAST_SECOND = 1600  # samples (0.1 s): a shorter remainder is not classified


@dataclass(frozen=True)
class Verdict:
    """Probabilities of the three `KINDS`, for equal priors."""

    whole: dict[str, float]
    """Of the whole recording."""
    seconds: NDArray[np.float64]
    """[S, 3], of each second by itself."""
    doubts: tuple[str, ...] = ()
    """Why the verdict is unsure; empty if it is not."""

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
    resampled = resample(samples, sample_rate, _SAMPLE_RATE)
    for chunk in _split_chunks(resampled):
        seconds, whole = session.run(["seconds", "whole"], {"waveform": chunk[None]})
        second_logits.append(seconds[0].astype(np.float64))
        whole_logits.append(whole[0].astype(np.float64))
        weights.append(len(seconds[0]))
    mean = _softmax(np.average(whole_logits, axis=0, weights=weights))
    probabilities = {kind: float(value) for kind, value in zip(KINDS, mean, strict=True)}
    doubts = _find_doubts(resampled, max(probabilities.values()))
    return Verdict(probabilities, _softmax(np.concatenate(second_logits)), doubts)


def _find_doubts(samples: NDArray[np.float32], probability: float) -> tuple[str, ...]:
    """Return why a verdict on samples [N] at 16 kHz is unsure."""
    doubts = []
    if len(samples) < _SURE_SECONDS * _SAMPLE_RATE:
        doubts.append(f"the recording is shorter than {_SURE_SECONDS:.0f} s")
    power = np.square(np.abs(np.fft.rfft(samples)))
    above = power[round(_CUT_HZ / _SAMPLE_RATE * len(samples)) :].sum()
    if above <= power.sum() * 10 ** (_CUT_DB / 10):
        doubts.append(f"it has nothing above {_CUT_HZ / 1000:.1f} kHz, where most traces are")
    if probability < _SURE_PROBABILITY:
        doubts.append("no kind is much more probable than the others")
    return tuple(doubts)


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
