"""Reading a recording of music and effects, as stereo at the rate of soundtracks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from valle.arrays import Samples
from valle.audio.decoding import open_audio
from valle.media.soundtrack import CHANNELS, RATE

_BLOCK = 1 << 16  # samples
_ENDLESS = 1 << 62


def read_background(path: str) -> Iterator[Samples]:
    """Yield blocks [2, n] of a recording at `RATE`; more than two channels are averaged.

    Raises:
        RecordingError: It cannot be read.
    """
    with open_audio(path) as source:
        resampler = soxr.ResampleStream(source.rate, RATE, CHANNELS, "float32")
        for block in source.read_blocks(0, _ENDLESS, _BLOCK):
            if block.shape[1] != CHANNELS:
                block = np.repeat(block.mean(axis=1, keepdims=True), CHANNELS, axis=1)
            yield resampler.resample_chunk(np.ascontiguousarray(block)).T
        yield resampler.resample_chunk(np.zeros((0, CHANNELS), np.float32), last=True).T
