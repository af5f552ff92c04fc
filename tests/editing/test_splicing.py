"""Splices: the rest stays bit-exact, level and bandwidth follow the recording, joins are smooth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from valle.audio.recording import resample
from valle.editing.sound import EditableSound
from valle.editing.splicing import Patch, close_gap, cross_fade, place_patch, splice

MODEL_RATE = 16_000


def noise(seconds: float, rate: int, seed: int = 0) -> NDArray[np.float32]:
    """Noise without the highest fifth of the band, so that resampling loses nothing."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft(rng.standard_normal(round(seconds * rate)))
    spectrum[int(0.8 * len(spectrum)) :] = 0
    return (0.1 * np.fft.irfft(spectrum, round(seconds * rate))).astype(np.float32)


def make_patch(mono: NDArray[np.float32], gain: float = 1.0) -> Patch:
    """Return a patch for 1.0 s to 1.5 s whose context is the recording's own, times `gain`."""
    context = mono[:MODEL_RATE], mono[3 * MODEL_RATE // 2 : 5 * MODEL_RATE // 2]
    new = noise(0.8, MODEL_RATE, seed=7)
    new *= np.std(mono) / np.std(new)
    samples = gain * np.concatenate([context[0], new, context[1]])
    return Patch(samples.astype(np.float32), MODEL_RATE, len(context[0]), len(context[1]))


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
def test_all_but_the_span_is_bit_exact_at_any_rate(rate: int) -> None:
    low = noise(3.0, 8_000)
    recording = np.stack([0.5 * resample(low, 8_000, rate), -resample(low, 8_000, rate)], axis=1)
    sound = EditableSound(recording, rate, "")
    patch = make_patch(resample(recording.mean(axis=1), rate, MODEL_RATE))
    one = place_patch(sound, patch, (MODEL_RATE, 3 * MODEL_RATE // 2), (0, 0))
    result = splice(recording, [one])
    added = round(0.3 * rate)
    assert abs(len(result) - len(recording) - added) <= 1
    assert 0.95 * rate < one.start < rate
    assert 1.5 * rate < one.end < 1.55 * rate
    np.testing.assert_array_equal(result[: one.start], recording[: one.start])
    np.testing.assert_array_equal(
        result[len(result) - len(recording) + one.end :], recording[one.end :]
    )
    # Both channels carry the new words as they carry the old ones: half as loud, and inverted.
    new = one.samples[slice(*one.new)]
    np.testing.assert_allclose(new[:, 0], -0.5 * new[:, 1], atol=0.01)


@pytest.mark.parametrize("gain", [0.5, 2.0])
def test_level_of_the_codec_is_undone(gain: float) -> None:
    recording = noise(3.0, MODEL_RATE)[:, None]
    sound = EditableSound(recording, MODEL_RATE, "")
    patch = make_patch(recording[:, 0], gain)
    one = place_patch(sound, patch, (MODEL_RATE, 3 * MODEL_RATE // 2), (0, 0))
    new = one.samples[slice(*one.new)]
    assert np.std(new) == pytest.approx(np.std(recording), rel=0.1)


def test_new_words_have_no_more_bandwidth_than_the_recording() -> None:
    narrow = resample(noise(3.0, 8_000), 8_000, MODEL_RATE)
    sound = EditableSound(narrow[:, None], MODEL_RATE, "")
    wide = noise(3.0, MODEL_RATE, seed=3)
    patch = make_patch(wide)
    one = place_patch(sound, patch, (MODEL_RATE, 3 * MODEL_RATE // 2), (0, 0))
    power = np.abs(np.fft.rfft(one.samples[slice(*one.new), 0])) ** 2
    above = power[int(0.55 * len(power)) :].sum() / power.sum()
    assert above < 0.01


def test_joins_lie_in_the_pause() -> None:
    recording = noise(3.0, MODEL_RATE)
    recording[14_000:15_000] *= 0.001  # a pause before the span
    patch = make_patch(recording)
    sound = EditableSound(recording[:, None], MODEL_RATE, "")
    one = place_patch(sound, patch, (MODEL_RATE, 3 * MODEL_RATE // 2), (2_000, 0))
    assert 14_000 <= one.start <= 15_000


def test_gap_is_closed_without_a_jump() -> None:
    time = np.arange(3 * MODEL_RATE) / MODEL_RATE
    recording = (0.5 * np.sin(2 * np.pi * 100 * time)).astype(np.float32)[:, None]
    sound = EditableSound(recording, MODEL_RATE, "")
    one = close_gap(sound, (MODEL_RATE, 2 * MODEL_RATE))
    result = splice(recording, [one])
    assert abs(len(result) - 2 * MODEL_RATE) < 0.06 * MODEL_RATE
    assert np.abs(np.diff(result[:, 0])).max() < 1.5 * np.abs(np.diff(recording[:, 0])).max()


def test_cross_fade_keeps_the_power() -> None:
    first, second = noise(1.0, MODEL_RATE)[:, None], noise(1.0, MODEL_RATE, seed=1)[:, None]
    np.testing.assert_allclose(cross_fade(first, first), first, atol=1e-6)
    mixed = cross_fade(first, second)
    assert np.std(mixed) == pytest.approx(np.std(first), rel=0.05)
