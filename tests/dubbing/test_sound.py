"""Where sound begins and ends, compression in time, and placement to the sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from valle.audio.loudness import measure_loudness
from valle.dubbing.mixing import Bed, DubSound, PlacedSpeech, cut_out, match_loudness
from valle.dubbing.onsets import find_sound
from valle.dubbing.time_scaling import compress_time

RATE = 16_000


def tone(seconds: float, frequency: float = 200.0, level: float = 0.3) -> NDArray[np.float32]:
    time = np.arange(round(seconds * RATE)) / RATE
    return (level * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_find_sound(noise: float) -> None:
    rng = np.random.default_rng(0)
    samples = np.concatenate(
        [np.zeros(4_000), tone(0.5), np.zeros(800), tone(0.25), np.zeros(3_200)]
    )
    samples[1_000] = 0.5  # a click is not speech
    samples = (samples + noise * rng.standard_normal(len(samples))).astype(np.float32)
    begin, end = find_sound(samples, RATE)
    assert begin == pytest.approx(0.25, abs=0.006)
    assert end == pytest.approx(1.05, abs=0.006)


def test_find_sound_where_there_is_none() -> None:
    assert find_sound(np.zeros(RATE, np.float32), RATE)[1] <= 1.0
    assert find_sound(np.zeros(10, np.float32), RATE) == (0.0, 10 / RATE)


@given(st.floats(1.0, 1.08), st.integers(1, 20_000))
@settings(max_examples=20)
def test_compression_has_an_exact_length(factor: float, length: int) -> None:
    assert len(compress_time(tone(length / RATE), RATE, factor)) == round(length / factor)


@pytest.mark.parametrize("factor", [1.02, 1.05, 1.08])
@pytest.mark.parametrize("frequency", [110.0, 250.0, 700.0])
def test_compression_keeps_pitch_level_and_times(factor: float, frequency: float) -> None:
    samples = np.concatenate(
        [np.zeros(8_000, np.float32), tone(1.0, frequency), np.zeros(8_000, np.float32)]
    )
    faster = compress_time(samples, RATE, factor)
    spectrum = np.abs(np.fft.rfft(faster * np.hanning(len(faster))))
    assert np.argmax(spectrum) * RATE / len(faster) == pytest.approx(frequency, abs=2.0)
    begin, end = find_sound(faster, RATE)
    assert begin == pytest.approx(0.5 / factor, abs=0.02)
    assert end == pytest.approx(1.5 / factor, abs=0.02)
    inner = faster[int(0.7 * RATE) : int(1.2 * RATE)]
    assert np.sqrt(np.mean(np.square(inner))) == pytest.approx(0.3 / np.sqrt(2), rel=0.03)
    assert compress_time(samples, RATE, 1.0) is samples


def test_cut_out_keeps_the_sound() -> None:
    samples = np.concatenate([np.zeros(RATE), tone(0.5), np.zeros(RATE)]).astype(np.float32)
    part, lead = cut_out(samples, RATE, 1.0, 1.5)
    at = round(lead * RATE)
    assert lead == pytest.approx(0.05)
    assert len(part) == round(0.7 * RATE)
    assert np.array_equal(part[at : at + RATE // 2], tone(0.5))
    part, lead = cut_out(tone(0.5), RATE, 0.0, 0.5)
    assert (lead, len(part)) == (0.0, RATE // 2)


def test_loudness_is_that_of_both_channels() -> None:
    quiet = tone(2.0, level=0.05)
    measured = measure_loudness(quiet, RATE)
    assert np.allclose(
        match_loudness(quiet, RATE, -20.0), match_loudness(quiet, RATE, -20.0, measured), atol=1e-4
    )
    louder = match_loudness(quiet, RATE, -20.0)
    # BS.1770 adds up the power of the channels.
    assert measure_loudness(louder, RATE) + 3.01 == pytest.approx(-20.0, abs=0.05)


def render(sound: DubSound, block: int) -> NDArray[np.float32]:
    parts = [
        sound.render(first, min(first + block, sound.samples))
        for first in range(0, sound.samples, block)
    ]
    return np.concatenate(parts, axis=1)


def test_speech_is_mixed_the_same_in_any_blocks() -> None:
    speech = [PlacedSpeech(tone(0.5), RATE, start) for start in (-0.01, 0.3, 1.99)]
    whole = render(DubSound(speech, 2.0), 1 << 30)
    assert whole.shape == (2, round(2.49 * 48_000))  # nothing is cut at the end of the film
    for block in (1_000, 4_801, 48_000):
        assert np.array_equal(render(DubSound(speech, 2.0), block), whole)
    assert np.array_equal(whole[0], whole[1])


def test_no_drift_in_two_hours() -> None:
    click = np.zeros(160, np.float32)
    click[80] = 0.5
    # Frames of 24 fps, times that no float holds exactly.
    starts = [frame * 1001 / 24_000 for frame in range(0, 172_000, 12_345)]
    sound = DubSound([PlacedSpeech(click, RATE, start) for start in starts], 7_200.0)
    found = []
    for first in range(0, sound.samples, 480_256):
        block = sound.render(first, min(sound.samples, first + 480_256))[0]
        if block.any():
            found += [first + int(at) for at in np.flatnonzero(block > 0.1)]
    expected = [round(start * 48_000) + 80 * 3 for start in starts]
    for at in expected:
        assert any(abs(at - other) <= 1 for other in found)


def test_bed_is_lowered_under_speech_and_comes_back() -> None:
    ones = (np.ones((2, 7_000), np.float32) for _ in range(100))
    bed = Bed(ones, [(2.0, 3.0), (3.1, 4.0)], 20.0)
    samples = np.concatenate([bed.read(a, a + 48_000) for a in range(0, 480_000, 48_000)], axis=1)[
        0
    ]
    level = {
        second: float(samples[round(second * 48_000)]) for second in (1.0, 2.0, 3.05, 4.0, 5.0)
    }
    assert level == pytest.approx({1.0: 1.0, 2.0: 0.1, 3.05: 0.1, 4.0: 0.1, 5.0: 1.0})
    assert np.abs(np.diff(samples)).max() < 1e-3
    assert not bed.read(480_000, 800_000)[:, -1].any()  # shorter than the film
