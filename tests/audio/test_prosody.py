"""Pitch, level, tilt and speaking rate of known signals, and their classes."""

from __future__ import annotations

import numpy as np
import pytest

from synthetic_corpus import buzz
from valle.audio.prosody import (
    CLASSES,
    STYLES,
    compute_bin_edges,
    compute_frame_features,
    measure_styles,
    normalize_by_speaker,
    quantize_styles,
)
from valle.audio_format import HOP
from valle.bundle.config import StyleConfig
from valle.corpora.espeak_speech import Espeak, EspeakVoice

RATE = 16_000
PITCH, RANGE, ENERGY, SPEED, TILT = range(5)


@pytest.mark.parametrize("hertz", [65, 82.5, 110, 151, 220, 330, 450])
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_pitch_of_a_harmonic_tone(hertz: float, rate: int) -> None:
    time = np.arange(rate) / rate
    tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, int(7000 // hertz)))
    semitones = compute_frame_features(np.asarray(0.1 * tone), rate, rate // 50)[2:-2, 0]
    np.testing.assert_allclose(semitones, 12 * np.log2(hertz / 55), atol=0.05)


def test_pitch_of_a_glide() -> None:
    hertz = 100 * 2 ** np.linspace(0, 1, 2 * RATE)
    semitones = compute_frame_features(buzz(hertz), RATE, HOP)[:, 0]
    centers = (np.arange(100) * HOP + HOP // 2).clip(max=len(hertz) - 1)
    expected = 12 * np.log2(hertz[centers] / 55)
    assert np.abs(semitones - expected)[2:-2].max() < 0.1
    styles = measure_styles(compute_frame_features(buzz(hertz), RATE, HOP), 0)
    assert styles[PITCH] == pytest.approx(12 * np.log2(141.4 / 55), abs=0.2)
    assert styles[RANGE] == pytest.approx(0.8 * 12, abs=0.3)


def test_weak_fundamental_causes_no_octave_error() -> None:
    time = np.arange(RATE) / RATE
    weights = {1: 0.05, 2: 1.0, 3: 0.8, 4: 0.5, 5: 0.3}
    tone = sum(w * np.sin(2 * np.pi * k * 120 * time) for k, w in weights.items())
    semitones = compute_frame_features(np.asarray(0.1 * tone), RATE, HOP)[2:-2, 0]
    np.testing.assert_allclose(semitones, 12 * np.log2(120 / 55), atol=0.1)


def test_noise_and_silence_are_unvoiced() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    assert np.isfinite(compute_frame_features(noise, RATE, HOP)[:, 0]).mean() < 0.05
    silent = compute_frame_features(np.zeros(RATE), RATE, HOP)
    assert np.isnan(silent[:, 0]).all()
    assert np.isnan(measure_styles(silent, 0)[[PITCH, RANGE, SPEED, TILT]]).all()


def test_level_and_tilt_of_known_signals() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    features = compute_frame_features(noise, RATE, HOP)
    assert features[2:-2, 1].mean() == pytest.approx(-20, abs=0.5)
    assert features[2:-2, 2].mean() == pytest.approx(0, abs=0.5)  # white: the same in each band
    quieter = compute_frame_features(noise / 10, RATE, HOP)
    np.testing.assert_allclose(quieter[:, 1], features[:, 1] - 20, atol=0.01)
    np.testing.assert_allclose(quieter[:, 2], features[:, 2], atol=0.01)
    # The amplitudes of the harmonics fall by 6 dB per octave.
    falling = measure_styles(compute_frame_features(buzz(np.full(RATE, 110.0), 60), RATE, HOP), 0)
    assert falling[TILT] == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 5000])
def test_features_have_one_row_per_frame(samples: int) -> None:
    features = compute_frame_features(np.full(samples, 0.1), RATE, HOP)
    assert features.shape == (-(-samples // HOP), 3)
    assert features.dtype == np.float32


def test_speaking_rate_ignores_silence() -> None:
    tone = buzz(np.full(RATE, 120.0))
    rate = measure_styles(compute_frame_features(tone, RATE, HOP), 12)[SPEED]
    padded = np.concatenate([np.zeros(RATE), tone, np.zeros(2 * RATE)])
    assert rate == pytest.approx(12, abs=0.3)
    padded_rate = measure_styles(compute_frame_features(padded, RATE, HOP), 12)[SPEED]
    assert padded_rate == pytest.approx(rate, rel=0.1)


def test_styles_follow_espeak_pitch_range_and_rate() -> None:
    """The same voice and words of espeak-ng at two pitches, ranges and rates."""

    def styles(pitch: float, pitch_range: int, rate: int) -> np.ndarray:
        voice = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, pitch, (1.0,) * 8, pitch_range, rate)
        text = "The old man walked slowly along the river and watched the boats."
        samples, sample_rate, sounds = espeak.speak(text, voice)
        spoken = sum(bool(sound.symbol) for sound in sounds)
        return measure_styles(
            compute_frame_features(samples, sample_rate, sample_rate // 50), spoken
        )

    with Espeak() as espeak:
        plain, high = styles(1.0, 50, 175), styles(1.4, 50, 175)
        lively, slow = styles(1.0, 100, 175), styles(1.0, 50, 120)
    assert high[PITCH] - plain[PITCH] == pytest.approx(12 * np.log2(1.4), abs=1.0)
    assert lively[RANGE] > plain[RANGE] + 1
    assert slow[SPEED] < 0.8 * plain[SPEED]


def test_classes_are_equally_frequent_and_ordered() -> None:
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((4000, len(STYLES))) * [1, 2, 3, 4, 5]
    measured[:100, 1] = np.nan
    edges = compute_bin_edges(measured)
    classes = np.stack([quantize_styles(row, edges) for row in measured])
    assert (classes[:100, 1] == 0).all()
    for style in range(len(STYLES)):
        known = classes[:, style] > 0
        counts = np.bincount(classes[known, style], minlength=CLASSES + 1)[1:]
        assert counts.min() > 0.9 * known.sum() / CLASSES
        order = np.argsort(measured[known, style])
        assert (np.diff(classes[known, style][order]) >= 0).all()


def test_bin_edges_need_a_measured_value_of_each_style() -> None:
    with pytest.raises(ValueError, match="measured in no"):
        compute_bin_edges(np.full((3, 5), np.nan))


@pytest.mark.parametrize("edges", [[[0.0] * 7] * 4, [[0.0] * 6] * 5, [[1.0, 0.0] + [2.0] * 5] * 5])
def test_style_config_refuses_invalid_bin_edges(edges: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="borders|style"):
        StyleConfig.model_validate({"borders": edges})


def test_pitch_is_normalized_by_speaker() -> None:
    rng = np.random.default_rng(0)
    semitones = rng.normal(0.0, 2.0, 1001)
    semitones[::7] = np.nan
    others = rng.normal(size=(1001, 2))
    normalized = [
        normalize_by_speaker(np.column_stack([pitch, others]).astype(np.float32))
        for pitch in (semitones, semitones + 12.0, 3.0 * semitones + 5.0)
    ]
    for features in normalized:
        # neither the level nor the range of a speaker's pitch is left
        np.testing.assert_allclose(features, normalized[0], atol=1e-5)
        np.testing.assert_array_equal(np.isnan(features[:, 0]), np.isnan(semitones))
        np.testing.assert_allclose(features[:, 1:], others, rtol=1e-6)
    low, median, high = np.nanpercentile(normalized[0][:, 0], [10, 50, 90])
    assert median == pytest.approx(0.0, abs=1e-6)
    assert high - low == pytest.approx(1.0, abs=1e-5)
    flat = normalize_by_speaker(np.array([[20.0, 0, 0], [20.2, 0, 0], [np.nan, 0, 0]]))
    assert np.nanmax(np.abs(flat[:, 0])) < 0.11  # a monotone stays monotone
    assert np.isnan(normalize_by_speaker(np.full((3, 3), np.nan))).all()  # a whisper has no pitch
