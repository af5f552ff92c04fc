"""Pitch, level, tilt and rate of known signals; the classes of styles; what a store keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from made_corpus import buzz, voiced_corpus, write_corpus
from valle.audio.prosody import (
    CLASSES,
    STYLES,
    beside_usual,
    borders_of,
    classes_of,
    frame_features,
    measure,
)
from valle.bundle.config import StyleConfig
from valle.corpora.espeak_speech import Espeak, EspeakVoice
from valle.corpora.store import HOP, Store
from valle.corpora.styles import phonemes_in, prepare_styles
from valle.errors import UsageError

RATE = 16_000
PITCH, RANGE, ENERGY, SPEED, TILT = range(5)


@pytest.mark.parametrize("hertz", [65, 82.5, 110, 151, 220, 330, 450])
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_the_pitch_of_a_buzz(hertz: float, rate: int) -> None:
    time = np.arange(rate) / rate
    tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, int(7000 // hertz)))
    semitones = frame_features(0.1 * tone, rate, rate // 50)[2:-2, 0]
    np.testing.assert_allclose(semitones, 12 * np.log2(hertz / 55), atol=0.05)


def test_a_glide_is_followed() -> None:
    hertz = 100 * 2 ** np.linspace(0, 1, 2 * RATE)
    semitones = frame_features(buzz(hertz), RATE, HOP)[:, 0]
    middle = (np.arange(100) * HOP + HOP // 2).clip(max=len(hertz) - 1)
    wanted = 12 * np.log2(hertz[middle] / 55)
    assert np.abs(semitones - wanted)[2:-2].max() < 0.1
    found = measure(frame_features(buzz(hertz), RATE, HOP), 0)
    assert found[PITCH] == pytest.approx(12 * np.log2(141.4 / 55), abs=0.2)
    assert found[RANGE] == pytest.approx(0.8 * 12, abs=0.3)


def test_a_low_tone_with_a_weak_fundamental_is_not_an_octave_off() -> None:
    time = np.arange(RATE) / RATE
    weights = {1: 0.05, 2: 1.0, 3: 0.8, 4: 0.5, 5: 0.3}
    tone = sum(w * np.sin(2 * np.pi * k * 120 * time) for k, w in weights.items())
    semitones = frame_features(0.1 * tone, RATE, HOP)[2:-2, 0]
    np.testing.assert_allclose(semitones, 12 * np.log2(120 / 55), atol=0.1)


def test_noise_and_silence_have_no_pitch() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    assert np.isfinite(frame_features(noise, RATE, HOP)[:, 0]).mean() < 0.05
    silent = frame_features(np.zeros(RATE), RATE, HOP)
    assert np.isnan(silent[:, 0]).all()
    assert np.isnan(measure(silent, 0)[[PITCH, RANGE, SPEED, TILT]]).all()


def test_levels_and_tilts() -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    features = frame_features(noise, RATE, HOP)
    assert features[2:-2, 1].mean() == pytest.approx(-20, abs=0.5)
    assert features[2:-2, 2].mean() == pytest.approx(0, abs=0.5)  # white: the same in each band
    quieter = frame_features(noise / 10, RATE, HOP)
    np.testing.assert_allclose(quieter[:, 1], features[:, 1] - 20, atol=0.01)
    np.testing.assert_allclose(quieter[:, 2], features[:, 2], atol=0.01)
    # Harmonics that fall by 6 dB an octave, as many more of them in each octave.
    falling = measure(frame_features(buzz(np.full(RATE, 110.0), 60), RATE, HOP), 0)
    assert falling[TILT] == pytest.approx(-6, abs=0.5)


@pytest.mark.parametrize("samples", [0, 1, 319, 320, 321, 5000])
def test_a_row_for_every_frame(samples: int) -> None:
    features = frame_features(np.full(samples, 0.1), RATE, HOP)
    assert features.shape == (-(-samples // HOP), 3) and features.dtype == np.float32


def test_the_rate_leaves_silence_out() -> None:
    tone = buzz(np.full(RATE, 120.0))
    once = measure(frame_features(tone, RATE, HOP), 12)[SPEED]
    padded = np.concatenate([np.zeros(RATE), tone, np.zeros(2 * RATE)])
    assert once == pytest.approx(12, abs=0.3)
    assert measure(frame_features(padded, RATE, HOP), 12)[SPEED] == pytest.approx(once, rel=0.1)


def test_espeak_speaks_higher_when_asked() -> None:
    """The same voice and words at two pitches, ranges and rates, as espeak-ng makes them."""

    def styles(pitch: float, pitch_range: int, rate: int) -> np.ndarray:
        voice = EspeakVoice("m3", (1.0,) * 9, (1.0,) * 9, pitch, (1.0,) * 8, pitch_range, rate)
        text = "The old man walked slowly along the river and watched the boats."
        samples, made_rate, sounds = espeak.speak(text, voice)
        spoken = sum(bool(sound.symbol) for sound in sounds)
        return measure(frame_features(samples, made_rate, made_rate // 50), spoken)

    with Espeak() as espeak:
        plain, high = styles(1.0, 50, 175), styles(1.4, 50, 175)
        lively, slow = styles(1.0, 100, 175), styles(1.0, 50, 120)
    assert high[PITCH] - plain[PITCH] == pytest.approx(12 * np.log2(1.4), abs=1.0)
    assert lively[RANGE] > plain[RANGE] + 1
    assert slow[SPEED] < 0.8 * plain[SPEED]


def test_classes_are_equally_frequent_and_in_order() -> None:
    rng = np.random.default_rng(0)
    measured = rng.standard_normal((4000, len(STYLES))) * [1, 2, 3, 4, 5]
    measured[:100, 1] = np.nan
    borders = borders_of(measured)
    classes = np.stack([classes_of(row, borders) for row in measured])
    assert (classes[:100, 1] == 0).all()
    for style in range(len(STYLES)):
        known = classes[:, style] > 0
        counts = np.bincount(classes[known, style], minlength=CLASSES + 1)[1:]
        assert counts.min() > 0.9 * known.sum() / CLASSES
        order = np.argsort(measured[known, style])
        assert (np.diff(classes[known, style][order]) >= 0).all()


def test_borders_of_nothing() -> None:
    with pytest.raises(ValueError, match="measured in no"):
        borders_of(np.full((3, 5), np.nan))


@pytest.mark.parametrize(
    "borders", [[[0.0] * 7] * 4, [[0.0] * 6] * 5, [[1.0, 0.0] + [2.0] * 5] * 5]
)
def test_a_bundle_refuses_other_borders(borders: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="borders|style"):
        StyleConfig(borders=borders)


def test_pitch_is_beside_what_is_usual() -> None:
    rng = np.random.default_rng(0)
    semitones = rng.normal(0.0, 2.0, 1001)
    semitones[::7] = np.nan
    others = rng.normal(size=(1001, 2))
    found = [
        beside_usual(np.column_stack([own, others]).astype(np.float32))
        for own in (semitones, semitones + 12.0, 3.0 * semitones + 5.0)
    ]
    for one in found:
        np.testing.assert_allclose(one, found[0], atol=1e-5)  # no octave, no liveliness
        np.testing.assert_array_equal(np.isnan(one[:, 0]), np.isnan(semitones))
        np.testing.assert_allclose(one[:, 1:], others, rtol=1e-6)
    tenth, middle, ninetieth = np.nanpercentile(found[0][:, 0], [10, 50, 90])
    assert middle == pytest.approx(0.0, abs=1e-6)
    assert ninetieth - tenth == pytest.approx(1.0, abs=1e-5)
    flat = beside_usual(np.array([[20.0, 0, 0], [20.2, 0, 0], [np.nan, 0, 0]]))
    assert np.nanmax(np.abs(flat[:, 0])) < 0.11  # a monotone stays one
    assert np.isnan(beside_usual(np.full((3, 3), np.nan))).all()  # a whisper has no pitch


def test_stores_are_measured_together(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder, seed in ((one, 0), (other, 1)):
        voiced_corpus(folder, seed)
    assert prepare_styles([one, other], workers=1, quiet=True) == 8
    first, second = Store(one).styles, Store(other).styles
    assert first is not None and second is not None
    np.testing.assert_array_equal(first[1], second[1])
    store = Store(one)
    assert [utterance.speaker for utterance in store.utterances] == ["a", "a", "b", "b"]
    for own in (store.utterances[:2], store.utterances[2:]):
        measured = [frame_features(store.waveform(one), RATE, HOP) for one in own]
        found = np.concatenate([first[0][utterance.frames] for utterance in own])
        wanted = beside_usual(np.concatenate(measured))
        np.testing.assert_allclose(found, wanted, rtol=2e-3, atol=2e-3)
    assert not list(one.glob("*.tmp*"))
    # Samples that are written anew leave no measures of the old ones behind.
    voiced_corpus(one, 2)
    assert Store(one).styles is None


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    store = write_corpus(tmp_path, {"a": [60]}, words=4)
    (tmp_path / "labels.npz").unlink()
    with pytest.raises(UsageError, match="no labels"):
        prepare_styles([tmp_path], quiet=True)
    store.write_labels({})
    with pytest.raises(UsageError, match="too little"):
        prepare_styles([tmp_path], quiet=True)


def test_phonemes_are_counted_without_borders(tmp_path: Path) -> None:
    store = write_corpus(tmp_path, {"a": [150]})
    assert phonemes_in(store.labels["a/0"], 0, 150) == 48
    assert phonemes_in(store.labels["a/0"], 0, 1) == 0  # "^" alone
