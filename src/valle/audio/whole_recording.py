"""A recording of any length as samples of one channel, at a given rate."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import soxr

from valle.arrays import Samples
from valle.audio.decoding import open_audio
from valle.errors import RecordingError

_BLOCK = 1 << 18  # samples
_ENDLESS = 1 << 62


def read_mono(source: object, rate: int) -> Samples:
    """Read all of a recording; its channels are averaged.

    Args:
        source: A path, an open binary file or (samples, sample rate), see
            `valle.audio.decoding.open_audio`.
        rate: Hz; the recording is resampled.

    Returns:
        [N] samples; sample n is at n / `rate` seconds.

    Raises:
        RecordingError: It cannot be read, or has samples that are not finite.
    """
    with open_audio(source) as opened:
        blocks = (
            block.mean(axis=1) for block in opened.read_blocks(0, _ENDLESS, _BLOCK) if len(block)
        )
        parts = list(resample_blocks(blocks, opened.rate, rate))
    samples = np.concatenate([np.zeros(0, np.float32), *parts])
    if not np.isfinite(samples).all():
        raise RecordingError("the recording holds NaN or infinity; export it again")
    return samples


def resample_blocks(blocks: Iterator[Samples], rate: int, wanted: int) -> Iterator[Samples]:
    """Yield blocks [n] of one channel at another rate."""
    resampler = soxr.ResampleStream(rate, wanted, 1, "float32")
    for block in blocks:
        yield resampler.resample_chunk(np.ascontiguousarray(block, np.float32))
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)
