"""Data augmentation against known answers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals import RATE, centroid, hum, pitch_of
from valle.corpora import augmentation
from valle.errors import UsageError


@pytest.mark.parametrize("ratio", [0.7, 0.9, 1.2, 1.5])
def test_pitch_shift_keeps_formants(ratio: float) -> None:
    voice = hum(120.0)
    moved = augmentation.shift_pitch(voice, ratio)
    assert moved.shape == voice.shape
    assert moved.dtype == np.float32
    assert pitch_of(moved) == pytest.approx(120.0 * ratio, rel=0.02)
    assert centroid(moved) == pytest.approx(centroid(voice), rel=0.12)


@pytest.mark.parametrize("ratio", [0.85, 1.15])
def test_formant_shift_keeps_pitch(ratio: float) -> None:
    voice = hum(120.0)
    moved = augmentation.shift_formants(voice, ratio)
    assert moved.shape == voice.shape
    assert pitch_of(moved) == pytest.approx(120.0, rel=0.01)
    assert centroid(moved) == pytest.approx(centroid(voice) * ratio, rel=0.06)


@pytest.mark.parametrize("factor", [0.6, 0.85, 1.3, 2.0])
def test_tempo_scales_times_and_keeps_pitch(factor: float) -> None:
    voice = np.concatenate([hum(110.0, 1.0), np.zeros(RATE // 2, np.float32), hum(110.0, 0.5)])
    moved = augmentation.tempo(voice, factor)
    assert len(moved) == round(len(voice) / factor)
    assert pitch_of(moved[: int(RATE / factor)]) == pytest.approx(110.0, rel=0.01)
    # 20 ms is longer than a period; the hum itself starts with a silent one.
    silent = 320 + np.flatnonzero(
        np.convolve(np.abs(moved), np.ones(320), "valid")[320:-320] < 1e-3
    )
    assert silent[0] / RATE == pytest.approx(1.0 / factor, abs=0.03)
    assert (silent[-1] + 320) / RATE == pytest.approx(1.5 / factor, abs=0.03)


def test_pitch_shift_keeps_times() -> None:
    voice = np.concatenate([hum(130.0, 0.6), np.zeros(RATE // 4, np.float32), hum(130.0, 0.6)])
    for ratio in (0.75, 1.4):
        moved = augmentation.shift_pitch(voice, ratio)
        quiet = np.convolve(moved.astype(float) ** 2, np.ones(320) / 320, "same") < 1e-6
        middle = np.flatnonzero(quiet).mean() / RATE
        assert middle == pytest.approx(0.725, abs=0.015)


@settings(max_examples=25, deadline=None)
@given(size=st.integers(0, 3000), seed=st.integers(0, 99), ratio=st.floats(0.6, 1.6))
def test_augmentations_keep_length_and_are_finite(size: int, seed: int, ratio: float) -> None:
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(size) * 0.1).astype(np.float32)
    before = samples.copy()
    impulse = augmentation.room_impulse(rng, 0.3, 6.0)
    results = [
        augmentation.shift_pitch(samples, ratio),
        augmentation.shift_formants(samples, ratio),
        augmentation.tilt(samples, 3.0),
        augmentation.band_limit(samples, 300.0, 3400.0),
        augmentation.reverberate(samples, impulse),
        augmentation.normalize_level(samples, -20.0),
        *(augmentation.make_noise(kind, samples, rng) for kind in augmentation.NOISES),
    ]
    for result in results:
        assert result.shape == samples.shape
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
    assert np.array_equal(samples, before)


def test_inverse_transform_restores_samples() -> None:
    voice = hum(100.0)
    assert (
        np.abs(augmentation._inverse(augmentation._transform(voice), len(voice)) - voice).max()
        < 1e-5
    )


def test_noise_is_mixed_at_requested_snr() -> None:
    voice = np.concatenate([hum(120.0), np.zeros(RATE, np.float32)])
    rng = np.random.default_rng(0)
    mixed = augmentation.add_noise(voice, augmentation.make_noise("white", voice, rng), 20.0)
    speech, rest = (
        augmentation.active_level(voice),
        float(np.sqrt(np.mean(mixed[RATE + 400 :] ** 2))),
    )
    assert 20 * np.log10(speech / rest) == pytest.approx(20.0, abs=0.3)


def test_pink_noise_falls_by_three_decibels_per_octave() -> None:
    pink = augmentation.make_noise("pink", np.zeros(RATE * 4, np.float32), np.random.default_rng(0))
    power = np.abs(np.fft.rfft(pink)) ** 2
    frequency = np.fft.rfftfreq(len(pink), 1 / RATE)
    bands = [power[(frequency >= low) & (frequency < 2 * low)].mean() for low in (250, 500, 1000)]
    steps = 10 * np.log10(np.array(bands[:-1]) / np.array(bands[1:]))
    assert steps == pytest.approx([3.0, 3.0], abs=0.5)


def test_band_limit_attenuates_outside_without_delay() -> None:
    click = np.zeros(RATE, np.float32)
    click[8000] = 1.0
    passed = augmentation.band_limit(click, 300.0, 3400.0)
    assert int(np.argmax(np.abs(passed))) == 8000
    gain = np.abs(np.fft.rfft(passed))
    assert gain[1000] == pytest.approx(1.0, abs=0.01)
    assert gain[100] < 0.05
    assert gain[6000] < 0.05


def test_room_impulse_has_requested_reverberation_time() -> None:
    impulse = augmentation.room_impulse(np.random.default_rng(1), 0.5, 5.0)
    assert impulse[0] == 1.0
    assert 10 * np.log10(1.0 / np.sum(impulse[1:] ** 2)) == pytest.approx(5.0, abs=0.01)
    remaining = np.cumsum(impulse[::-1] ** 2)[::-1]  # energy decay curve
    decay = 10 * np.log10(remaining / remaining[1])
    slope = (np.flatnonzero(decay < -25)[0] - np.flatnonzero(decay < -5)[0]) / RATE
    assert 3 * slope == pytest.approx(0.5, rel=0.25)


def test_normalize_level_reaches_level_without_clipping() -> None:
    voice = hum(120.0)
    quiet = augmentation.normalize_level(voice, -30.0)
    assert 20 * np.log10(augmentation.active_level(quiet)) == pytest.approx(-30.0, abs=0.1)
    assert np.abs(augmentation.normalize_level(voice, 0.0)).max() <= 0.9901


@pytest.mark.parametrize(
    "call",
    [
        lambda x: augmentation.tempo(x, 9.0),
        lambda x: augmentation.shift_pitch(x, 0.1),
        lambda x: augmentation.shift_formants(x, 3.0),
        lambda x: augmentation.band_limit(x, 4000.0, 300.0),
        lambda x: augmentation.make_noise("brown", x, np.random.default_rng(0)),
    ],
)
def test_out_of_range_values_are_rejected(call) -> None:
    with pytest.raises(UsageError):
        call(np.zeros(1000, np.float32))
