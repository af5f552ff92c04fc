"""What the recording has at and before the target of an example."""

from __future__ import annotations

import numpy as np

from valle.arrays import Codes, Embedding, Samples
from valle.audio_format import HOP
from valle.training.data.examples import Example
from valle.training.models.sizes import CODEBOOKS, NO_CODE


def past_codes(example: Example, length: int) -> Codes:
    """Recorded codes [length, 8] before a target; `NO_CODE` before its utterance."""
    source, start = example.target.source, example.target.start
    assert source is not None
    known = min(length, start)
    first = source.utterance.frames.start + start
    codes = np.full((length, CODEBOOKS), NO_CODE, np.int64)
    codes[length - known :] = source.store.codes[first - known : first]
    return codes


def recorded_samples(examples: list[Example], frames: int) -> Samples:
    """Recorded samples of targets [B, frames * HOP]; silence after their ends."""
    samples = np.zeros((len(examples), frames * HOP), np.float32)
    for row, example in zip(samples, examples, strict=True):
        source = example.target.source
        assert source is not None
        first = (source.utterance.frames.start + example.target.start) * HOP
        length = len(example.target.codes) * HOP
        row[:length] = source.store.samples(first, first + length)
    return samples


def prompt_embedding(example: Example) -> Embedding:
    """The speaker embedding [192] of the prompt's utterance, even where the NAR is given none."""
    source = example.context[0].source
    assert source is not None
    return source.voice
