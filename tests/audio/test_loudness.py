"""Loudness: the known answers of the standards, and a gain that neither clips nor distorts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from valle.audio.loudness import PEAK, measure_loudness, normalize_loudness


def sine(frequency: float, level: float, seconds: float, rate: int) -> NDArray[np.float32]:
    """A sine whose peak is at `level` dBFS."""
    time = np.arange(round(seconds * rate)) / rate
    return (10 ** (level / 20) * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_sine_of_the_standard_has_its_loudness(rate: int) -> None:
    # ITU-R BS.1770: 0 dBFS at 997 Hz in one channel reads -3.01 LKFS.
    assert measure_loudness(sine(997, 0, 5, rate), rate) == pytest.approx(-3.01, abs=0.05)
    # EBU Tech 3341, cases 1 and 2, in one channel instead of two, which is 3.01 LU less.
    assert measure_loudness(sine(1000, -23, 20, rate), rate) == pytest.approx(-26.0, abs=0.1)
    assert measure_loudness(sine(1000, -33, 20, rate), rate) == pytest.approx(-36.0, abs=0.1)


def test_gates_of_the_standard() -> None:
    # EBU Tech 3341, case 3: what is 10 LU below the rest does not count.
    parts = [(-36.0, 10), (-23.0, 60), (-36.0, 10)]
    samples = np.concatenate([sine(1000, level, seconds, 16000) for level, seconds in parts])
    assert measure_loudness(samples, 16000) == pytest.approx(-26.0, abs=0.1)
    # Case 4: nor does what is below -70 LUFS.
    parts = [(-72.0, 10), *parts, (-72.0, 10)]
    samples = np.concatenate([sine(1000, level, seconds, 16000) for level, seconds in parts])
    assert measure_loudness(samples, 16000) == pytest.approx(-26.0, abs=0.1)


def test_low_tones_count_less_and_high_ones_more() -> None:
    loudness = {f: measure_loudness(sine(f, -20, 3, 48000), 48000) for f in (30, 997, 6000)}
    assert loudness[30] < loudness[997] - 8
    assert loudness[6000] == pytest.approx(loudness[997] + 3.3, abs=0.3)


def test_long_audio_is_filtered_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 100_000).astype(np.float32)
    whole = measure_loudness(samples, 16000)
    monkeypatch.setattr("valle.audio.loudness._CHUNK", 4096)
    assert measure_loudness(samples, 16000) == pytest.approx(whole, abs=1e-9)


def test_silence_and_short_sounds() -> None:
    assert measure_loudness(np.zeros(16000, np.float32), 16000) == -math.inf
    assert measure_loudness(np.zeros(0, np.float32), 16000) == -math.inf
    np.testing.assert_array_equal(normalize_loudness(np.zeros(99, np.float32), 16000, -16), 0)
    short = sine(997, -20, 0.2, 16000)
    assert measure_loudness(short, 16000) == pytest.approx(-23.0, abs=0.5)


@pytest.mark.parametrize("target", [-30.0, -23.0, -16.0])
def test_speech_gets_the_loudness_without_clipping(
    babble: NDArray[np.float32], target: float
) -> None:
    louder = normalize_loudness(babble, 16000, target)
    assert louder.dtype == np.float32
    assert len(louder) == len(babble)
    assert measure_loudness(louder, 16000) == pytest.approx(target, abs=0.3)
    assert np.abs(louder).max() <= PEAK + 1e-6


def test_peaks_are_limited_smoothly() -> None:
    samples = 0.1 * np.random.default_rng(1).standard_normal(32000).astype(np.float32)
    samples[16000] = 0.9
    louder = normalize_loudness(samples, 16000, -12.0)
    assert np.abs(louder).max() <= PEAK + 1e-6
    gain = louder[np.abs(samples) > 0.01] / samples[np.abs(samples) > 0.01]
    assert gain.max() == pytest.approx(np.median(gain), rel=1e-4)
    assert louder[15000] / samples[15000] == pytest.approx(np.median(gain), rel=1e-4)
