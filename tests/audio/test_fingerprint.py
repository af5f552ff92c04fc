"""A fingerprint of audio that comes in pieces is that of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from valle.audio.fingerprint import FingerprintStream, compute_fingerprint, similarity


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
def test_stream_matches_the_whole_recording(rate: int) -> None:
    rng = np.random.default_rng(1)
    samples = np.cumsum(rng.standard_normal(50 * rate)).astype(np.float32)
    samples /= np.abs(samples).max()
    stream = FingerprintStream(rate)
    for piece in np.split(samples, [5, 7 * rate, 21 * rate + 3, 45 * rate]):
        stream.feed(piece)
    bits = stream.finish()
    whole = compute_fingerprint(samples, rate)
    assert abs(len(bits) - len(whole)) <= 2
    for start in (0, 19 * rate, 47 * rate):  # across the joins, too
        part = compute_fingerprint(samples[start : start + 3 * rate], rate)
        assert similarity(part, bits) > 0.9
    assert similarity(compute_fingerprint(samples[::-1].copy(), rate), bits) < 0.63


def test_stream_without_samples_is_short() -> None:
    assert len(FingerprintStream(16_000).finish()) <= 1
