"""The colour of a recording, measured and put onto other speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valle.colour import FilterStream, average_spectrum, matching_filter

RATE = 16_000


def coloured(slope: float, seed: int, seconds: float = 4.0) -> np.ndarray:
    """Noise whose level changes by `slope` dB a kilohertz, with a pause."""
    rng = np.random.default_rng(seed)
    size = round(seconds * RATE)
    spectrum = np.fft.rfft(rng.standard_normal(size))
    spectrum *= 10 ** (slope * np.fft.rfftfreq(size, 1 / RATE) / 1000.0 / 20.0)
    samples = 0.05 * np.fft.irfft(spectrum)
    samples[size // 3 : size // 2] *= 1e-4
    return samples.astype(np.float32)


def filtered(taps: np.ndarray, samples: np.ndarray) -> np.ndarray:
    return FilterStream(taps).feed(samples)


def test_the_average_spectrum_is_that_of_the_sound_without_its_pauses() -> None:
    noise = coloured(-2.0, 0)
    level = average_spectrum(noise, RATE)
    kilohertz = np.linspace(0.0, RATE / 2000, len(level))
    assert np.polyfit(kilohertz[5:-5], level[5:-5], 1)[0] == pytest.approx(-2.0, abs=0.1)
    loud = np.concatenate([noise[: len(noise) // 3], noise[len(noise) // 2 :]])
    np.testing.assert_allclose(average_spectrum(loud, RATE), level, atol=0.6)


@pytest.mark.parametrize("slope", [-1.5, 1.0])
def test_filtered_speech_has_the_wanted_colour_and_its_own_loudness(slope: float) -> None:
    wanted, made = coloured(slope, 1), coloured(0.0, 2)
    asked = average_spectrum(wanted, RATE)
    before = average_spectrum(made, RATE)
    after = average_spectrum(filtered(matching_filter(wanted, made, RATE), made), RATE)
    assert np.ptp((asked - before)[8:-8]) > 7.0
    assert np.ptp((asked - after)[8:-8]) < 2.5
    assert abs(np.median(after) - np.median(before)) < 1.0


def test_like_speech_passes_as_it_is_and_nothing_is_delayed() -> None:
    speech = coloured(-1.0, 3)
    same = matching_filter(speech, speech, RATE)
    np.testing.assert_allclose(filtered(same, speech), speech, atol=1e-6)
    other = matching_filter(coloured(-2.0, 4), speech, RATE)
    assert np.argmax(np.abs(other)) == 0


def test_no_frequency_is_raised_without_bound() -> None:
    dull = coloured(-30.0, 5)
    response = np.abs(np.fft.rfft(matching_filter(coloured(0.0, 6), dull, RATE), 4096))
    assert 20 * np.log10(response.max()) < 16.0


@pytest.mark.parametrize("samples", [np.zeros(RATE, np.float32), np.zeros(3, np.float32)])
def test_silence_asks_for_no_colour(samples: np.ndarray) -> None:
    taps = matching_filter(samples, samples, RATE)
    assert taps[0] == pytest.approx(1.0, abs=1e-5) and np.abs(taps[1:]).max() < 1e-5


@given(st.lists(st.integers(0, 700), min_size=1, max_size=6))
def test_pieces_are_the_whole(lengths: list[int]) -> None:
    taps = matching_filter(coloured(-2.0, 7, 0.5), coloured(1.0, 8, 0.5), RATE)
    samples = np.random.default_rng(0).standard_normal(sum(lengths)).astype(np.float32)
    stream, ends = FilterStream(taps), np.cumsum(lengths)
    pieces = [stream.feed(samples[end - n : end]) for end, n in zip(ends, lengths, strict=True)]
    assert [len(piece) for piece in pieces] == lengths
    np.testing.assert_allclose(np.concatenate(pieces), filtered(taps, samples), atol=1e-5)
