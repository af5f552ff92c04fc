"""What a model hears: whether speech is a person's, one re-encoded by a neural codec, or made.

It judges by traces of synthesis in the sound, whoever made it, and has learnt few generators. It
cannot know of those that it never heard, of what somebody has filtered against it, nor who speaks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import resample
from valle.bundle.bundle import Bundle

KINDS = ("real", "re-encoded", "made")
GRAPH = "detector"
CANNOT_KNOW = (
    "speech by generators that it never heard, or filtered against it, may pass as real; "
    "it does not know who speaks, nor whether the words are true"
)
_RATE = 16_000
_CHUNK = 20  # seconds judged together: what is normalised over time forgets nothing it needs
_SHORTEST = 1600  # samples of a last second that count as one


@dataclass(frozen=True)
class Verdict:
    """Probabilities of the three `KINDS`, if each were as likely before anything is heard."""

    whole: dict[str, float]
    """Of all that is said."""
    seconds: NDArray[np.float64]
    """[S, 3], of each second by itself."""

    @property
    def kind(self) -> str:
        """The likeliest of `KINDS`."""
        return max(KINDS, key=lambda kind: self.whole[kind])


def judge(bundle: Bundle, samples: NDArray[np.float32], sample_rate: int) -> Verdict | None:
    """Ask a bundle's detector of `samples` [N], N at least 1; None if it has none.

    Raises BundleError if its file is missing or altered.
    """
    if GRAPH not in bundle.config.graphs:
        return None
    session = bundle.session(GRAPH)
    heard = resample(samples, sample_rate, _RATE)
    seconds: list[NDArray[np.float64]] = []
    wholes, weights = [], []
    for chunk in _chunks(heard):
        each, whole = session.run(["seconds", "whole"], {"waveform": chunk[None]})
        seconds.append(each[0].astype(np.float64))
        wholes.append(whole[0].astype(np.float64))
        weights.append(len(each[0]))
    mean = _softmax(np.average(wholes, axis=0, weights=weights))
    whole_of = {kind: float(one) for kind, one in zip(KINDS, mean, strict=True)}
    return Verdict(whole_of, _softmax(np.concatenate(seconds)))


def _chunks(samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Pieces of whole seconds; what the last one lacks is filled with its own beginning."""
    size = _CHUNK * _RATE
    starts = list(range(0, len(samples), size))
    if len(starts) > 1 and len(samples) - starts[-1] < size // 2:
        starts.pop()  # a short rest is judged together with the chunk before it
    ends = [*starts[1:], len(samples)]
    chunks = []
    for start, end in zip(starts, ends, strict=True):
        rest = (end - start) % _RATE
        whole = end - start - rest
        length = whole + (_RATE if rest >= _SHORTEST or not whole else 0)
        chunks.append(np.resize(samples[start:end], length).astype(np.float32))
    return chunks


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))
