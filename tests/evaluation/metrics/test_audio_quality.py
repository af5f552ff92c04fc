"""Quality metrics and codecs on a real recording."""

from __future__ import annotations

import numpy as np
import pytest

from valle.arrays import Samples
from valle.evaluation.metrics import audio_quality, coding

for package in ("av", "pesq", "pystoi", "speechmos"):
    pytest.importorskip(package, reason="needs the extra eval")


@pytest.mark.parametrize("delay", [-312, 0, 7, 400])
def test_a_delay_is_compensated(recorded: Samples, delay: int) -> None:
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(recorded))
    delayed = np.roll(0.5 * recorded + noise, delay).astype(np.float32)
    aligned = coding.time_align(recorded, delayed)
    np.testing.assert_array_equal(aligned, np.roll(delayed, -delay))


def test_opus_keeps_the_bit_rate_and_costs_quality(recorded: Samples) -> None:
    opus, bit_rate = coding.opus_round_trip(recorded)
    assert len(opus) == len(recorded)
    assert bit_rate == pytest.approx(coding.OPUS_LOWEST, rel=0.05)
    opus = coding.time_align(recorded, opus)
    pesq = audio_quality.pesq(recorded, opus)
    assert pesq is not None
    assert 1.0 < pesq < 3.0
    assert 0.5 < audio_quality.stoi(recorded, opus) < 0.95


def test_an_identical_recording_is_perfect(recorded: Samples) -> None:
    assert audio_quality.pesq(recorded, recorded) == pytest.approx(4.64, abs=0.01)
    assert audio_quality.stoi(recorded, recorded) == pytest.approx(1.0, abs=1e-3)


def test_noise_lowers_dnsmos(recorded: Samples) -> None:
    quality = audio_quality.DNSMOS()
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(recorded)).astype(np.float32)
    assert 1.0 < quality.rate(recorded + noise) < quality.rate(recorded) - 0.5 < 4.5


def test_silence_has_no_pesq() -> None:
    silence = np.zeros(16_000, np.float32)
    assert audio_quality.pesq(silence, silence) is None
