"""What a style does to sound: measured on a vowel of known pitch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from signals import RATE, hum, pitch_of
from valle.audio.prosody import compute_frame_features, measure_styles
from valle.audio.shaping import shape_speech
from valle.audio.shaping_stream import ShapingStream
from valle.styles import StyleShift

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def vowel() -> Samples:
    return hum(140.0, 1.5)


@pytest.fixture(scope="module")
def glide() -> Samples:
    """A vowel that rises and falls by three semitones, once a second."""
    time = np.arange(3 * RATE) / RATE
    semitones = 3.0 * np.sin(2 * np.pi * time)
    phase = np.cumsum(150.0 * 2 ** (semitones / 12)) / RATE
    harmonics = [np.sin(2 * np.pi * k * phase) / k for k in range(1, 20)]
    return (0.1 * np.sum(harmonics, axis=0)).astype(np.float32)


def shape(samples: Samples, shift: StyleShift) -> Samples:
    return shape_speech(samples[:, None], RATE, shift)[:, 0]


def measure(samples: Samples) -> dict[str, float]:
    features = compute_frame_features(samples, RATE, RATE // 50)
    names = ("pitch", "range", "energy", "rate", "tilt")
    return dict(zip(names, measure_styles(features, 20).tolist(), strict=True))


def find_formant(samples: Samples) -> float:
    """The frequency of the smoothed spectrum's highest peak, in Hz."""
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    grid = np.arange(300, 1200, 10)
    smooth = [np.sum(power * np.exp(-(((hertz - f) / 120) ** 2))) for f in grid]
    return float(grid[int(np.argmax(smooth))])


@pytest.mark.parametrize("semitones", [-4.0, -1.0, 2.0, 5.0])
def test_pitch_moves_and_formants_stay(vowel: Samples, semitones: float) -> None:
    shifted = shape(vowel, StyleShift(pitch=semitones))
    assert len(shifted) == len(vowel)
    assert pitch_of(shifted) == pytest.approx(140.0 * 2 ** (semitones / 12), rel=0.01)
    assert find_formant(shifted) == pytest.approx(find_formant(vowel), abs=70)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.5, 2.0])
def test_range_is_scaled_around_the_same_pitch(glide: Samples, factor: float) -> None:
    before, after = measure(glide), measure(shape(glide, StyleShift(range=factor)))
    assert after["range"] == pytest.approx(factor * before["range"], abs=0.5)
    assert after["pitch"] == pytest.approx(before["pitch"], abs=0.5)


@pytest.mark.parametrize("decibels", [-9.0, 6.0])
def test_energy_is_exact(vowel: Samples, decibels: float) -> None:
    louder = shape(0.2 * vowel, StyleShift(energy=decibels))
    np.testing.assert_allclose(louder, 0.2 * vowel * 10 ** (decibels / 20), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("slope", [-3.0, 2.0])
def test_tilt_is_added_and_the_level_stays(glide: Samples, slope: float) -> None:
    before, after = measure(glide), measure(shape(glide, StyleShift(tilt=slope)))
    assert after["tilt"] - before["tilt"] == pytest.approx(slope, abs=0.4)
    assert after["energy"] == pytest.approx(before["energy"], abs=0.1)


@pytest.mark.parametrize("rate", [0.7, 1.3])
def test_rate_changes_the_length_alone(vowel: Samples, rate: float) -> None:
    changed = shape(vowel, StyleShift(rate=rate))
    assert len(changed) == round(len(vowel) / rate)
    assert pitch_of(changed) == pytest.approx(140.0, rel=0.01)


def test_breath_takes_the_voice_away_step_by_step(vowel: Samples) -> None:
    def periodicity(samples: Samples) -> float:
        lag = round(RATE / 140)
        return float(np.corrcoef(samples[2000:-2000], samples[2000 + lag : lag - 2000])[0, 1])

    steps = [periodicity(shape(vowel, StyleShift(breath=b))) for b in (0.25, 0.5, 0.75, 1.0)]
    assert periodicity(vowel) > steps[0] > steps[1] > steps[2] > steps[3]
    assert steps[3] < 0.5


def test_silence_and_noise_pass(vowel: Samples) -> None:
    strong = StyleShift(3.0, 1.5, 3.0, 0.8, 1.0, 0.5)
    assert not shape(np.zeros(RATE, np.float32), strong).any()
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32) * 0.01
    assert np.isfinite(shape(noise, strong)).all()
    assert len(shape(vowel[:50], strong)) == round(50 / 0.8)
    assert len(shape(vowel[:0], strong)) == 0


def test_channels_stay_together(vowel: Samples) -> None:
    stereo = np.stack([vowel, 0.25 * vowel], axis=1)
    shaped = shape_speech(stereo, RATE, StyleShift(pitch=2.0, rate=0.9))
    np.testing.assert_allclose(shaped[:, 1], 0.25 * shaped[:, 0], rtol=1e-4, atol=1e-6)


@settings(max_examples=15)
@given(st.lists(st.integers(1, 9000), min_size=1, max_size=6), st.integers(0, 9000))
def test_a_stream_does_not_depend_on_its_pieces(sizes: list[int], known: int) -> None:
    vowel = hum(140.0, 0.6)
    start, end, length = 2000, 7000, 6000
    shift = StyleShift(pitch=1.0, energy=-3.0)
    expected = np.concatenate(
        [
            vowel[:start],
            shape_speech(vowel[start:end, None], RATE, shift, length)[:, 0],
            vowel[end:],
        ]
    )
    stream, pieces, fed = ShapingStream(RATE), [], 0
    stream.begin(start, shift)
    ended = False
    for size in [*sizes, len(vowel)]:
        if not ended and fed >= known:
            stream.end(end, length)
            ended = True
        pieces.append(stream.copy().feed(vowel[fed : fed + size]))
        assert np.array_equal(stream.feed(vowel[fed : fed + size]), pieces[-1])
        fed = min(len(vowel), fed + size)
        if not ended:
            part = vowel[start:][: max(0, fed - start)]
            np.testing.assert_array_equal(stream.peek_part(vowel[:0]), part)
    if not ended:
        stream.end(end, length)
    pieces.append(stream.feed(vowel[:0]))
    np.testing.assert_array_equal(np.concatenate(pieces), expected)
