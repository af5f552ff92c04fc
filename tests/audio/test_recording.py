"""Loading, best excerpts, levels and resampling of recordings."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from recordings import RATE, assert_refused, environment, syllables, write_audio_file
from valle.audio.recording import (
    find_best_excerpt,
    load_recording,
    measure_active_level,
    resample,
)


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_clean_recording_is_returned_unchanged_without_warnings(tmp_path, rate):
    sound = syllables(3.0, rate)
    recording = load_recording(write_audio_file(tmp_path / "a.wav", sound, rate, "FLOAT"))
    np.testing.assert_array_equal(recording.samples, sound)
    assert recording.samples.dtype == np.float32
    assert (recording.sample_rate, recording.warnings) == (rate, ())
    assert (recording.start, recording.seconds, recording.source_seconds) == (0.0, 3.0, 3.0)


def test_samples_beyond_full_scale_are_scaled_down():
    sound = syllables()
    for gain in (3.0 / np.abs(sound).max(), 32_768.0):
        recording = load_recording((sound * np.float32(gain), RATE))
        assert np.abs(recording.samples).max() == pytest.approx(1.0)
        assert np.corrcoef(recording.samples, sound)[0, 1] > 0.9999
        assert recording.warnings == ()


def test_different_channels_are_mixed_with_a_warning():
    left, right = syllables(seed=1), syllables(seed=2)
    recording = load_recording((np.stack([left, right], axis=1), RATE))
    np.testing.assert_allclose(recording.samples, (left + right) / 2, atol=1e-6)
    assert len(recording.warnings) == 1
    assert "2 channels differ" in recording.warnings[0]


def test_sound_on_one_channel_gives_no_warning():
    sound = syllables()
    recording = load_recording((np.stack([sound, np.zeros_like(sound)], axis=1), RATE))
    np.testing.assert_allclose(recording.samples, sound / 2, atol=1e-6)
    assert recording.warnings == ()


def test_channels_that_cancel_are_not_mixed():
    sound = syllables()
    recording = load_recording((np.stack([-sound * 0.9, sound], axis=1), RATE))
    np.testing.assert_array_equal(recording.samples, sound)
    assert "only channel 2 was used" in recording.warnings[0]


def test_8_khz_recording_gives_a_warning(tmp_path):
    recording = load_recording(
        write_audio_file(tmp_path / "a.wav", syllables(rate=8000), 8000, "ULAW")
    )
    assert recording.sample_rate == 8000
    assert [w for w in recording.warnings if "nothing above 4000 Hz" in w]


def test_192_khz_recording_is_resampled_to_48_khz(tmp_path):
    high = soxr.resample(syllables(3.0, 48_000), 48_000, 192_000)
    recording = load_recording(write_audio_file(tmp_path / "a.flac", high, 192_000, "PCM_24"))
    assert (recording.sample_rate, len(recording.samples), recording.warnings) == (
        48_000,
        144_000,
        (),
    )
    expected = syllables(3.0, 48_000)
    error = (recording.samples - expected)[4800:-4800]
    assert np.sqrt((error**2).mean()) < 0.002


def test_clipping_gives_a_warning_at_any_level():
    sound = syllables(level=0.5)
    clipped = np.clip(sound, *np.quantile(sound, [0.02, 0.98]))
    for gain in (0.2, 1.0 / np.abs(clipped).max(), 1.5):
        warnings = load_recording((clipped * np.float32(gain), RATE)).warnings
        assert len(warnings) == 1
        assert "clipped" in warnings[0]


def test_clipping_of_one_channel_gives_a_warning():
    sound = syllables(level=0.5)
    clipped = np.clip(sound, *np.quantile(sound, [0.02, 0.98]))
    warnings = load_recording((np.stack([sound, clipped], axis=1), RATE)).warnings
    assert [w for w in warnings if "clipped" in w]


def test_noise_gives_a_warning():
    noise = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    for level, noisy in ((0.04, True), (0.001, False)):
        warnings = load_recording((syllables() + level * noise, RATE)).warnings
        assert bool([w for w in warnings if "noisy" in w]) is noisy


def test_quiet_recording_gives_a_warning():
    noise = np.float32(1e-6)
    warnings = load_recording((syllables(level=0.003) * np.float32(0.9) + noise, RATE)).warnings
    assert len(warnings) == 1
    assert "very quiet (-5" in warnings[0]


def speech_in_noise(rate=RATE, at=31.0, seconds=75.0):
    """Faint syllables in noise, with 12 s of clean ones from `at` seconds on."""
    sound = syllables(seconds, rate, level=0.01)
    sound += 0.003 * np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    first = round(at * rate)
    sound[first : first + 12 * rate] = syllables(12.0, rate, seed=3)
    return sound


def test_best_ten_seconds_are_found_and_reported(tmp_path):
    path = write_audio_file(tmp_path / "long.flac", speech_in_noise())
    recording = load_recording(path, excerpt=10.0)
    assert recording.start >= 30.5
    assert recording.start + recording.seconds <= 43.5
    assert 9.0 <= recording.seconds <= 10.0
    first = round(recording.start * RATE)
    np.testing.assert_array_equal(
        recording.samples,
        soundfile.read(path, dtype="float32")[0][first:][: len(recording.samples)],
    )
    (warning,) = recording.warnings
    assert f"from {recording.start:.1f} s to" in warning
    assert warning.endswith("of 75.0 s")
    assert len(load_recording(path).samples) == 75 * RATE


def test_excerpts_of_an_array_and_of_a_file_are_equal(tmp_path):
    sound = speech_in_noise()
    start, end = find_best_excerpt(sound, RATE, 10.0)
    recording = load_recording((sound, RATE), excerpt=10.0)
    np.testing.assert_array_equal(recording.samples, sound[start:end])


def test_excerpt_begins_and_ends_in_pauses():
    sound = speech_in_noise()
    start, end = find_best_excerpt(sound, RATE, 10.0)
    for edge in (start, end):
        assert np.abs(sound[edge - 80 : edge + 80]).max() < 0.05 < np.abs(sound[start:end]).max()


def test_excerpt_avoids_clipped_parts():
    sound = syllables(40.0, level=0.1)
    loud = sound[: 20 * RATE] * 8
    sound[: 20 * RATE] = np.clip(loud, -0.9, 0.9)
    assert find_best_excerpt(sound, RATE)[0] >= 19.5 * RATE


def test_excerpt_leaves_out_silence_at_both_ends():
    silence = np.zeros(2 * RATE, np.float32)
    sound = np.concatenate([silence, syllables(3.0), silence])
    recording = load_recording((sound, RATE), excerpt=10.0)
    assert 1.8 <= recording.start <= 2.05
    assert 2.6 <= recording.seconds <= 3.3


@settings(max_examples=30, deadline=None)
@given(
    seconds=st.floats(0.001, 30),
    longest=st.floats(0.5, 12),
    rate=st.sampled_from([8000, 16000, 22050]),
)
def test_excerpt_is_within_the_recording_and_the_requested_length(seconds, longest, rate):
    sound = np.random.default_rng(int(seconds * 1000)).standard_normal(int(seconds * rate) + 1)
    start, end = find_best_excerpt(sound.astype(np.float32) * 0.1, rate, longest)
    assert 0 <= start < end <= len(sound)
    assert end - start <= max(longest * rate, rate // 50)


def test_memory_use_is_independent_of_the_length(tmp_path):
    """A fake source makes its blocks when they are read; one minute stands for any length."""
    path = tmp_path / "measure_memory.py"
    path.write_text(
        "import resource, numpy as np\n"
        "from valle.audio.decoding import AudioSource\n"
        "from valle.audio.recording import _load\n"
        "part = (np.random.default_rng(0).standard_normal((192_000, 2)) * 0.1).astype('f4')\n"
        "part[::2] = 0\n"
        "class Minute(AudioSource):\n"
        "    def __init__(self): self.name, self.rate, self.channels = 'it', 192_000, 2\n"
        "    def read_blocks(self, first, last, size):\n"
        "        last = min(last, 60 * self.rate)\n"
        "        for at in range(first, last, size):\n"
        "            yield np.resize(part, (min(size, last - at), 2))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "recording = _load(Minute(), 10.0, 1.5)\n"
        "assert recording.sample_rate == 48_000 and 8 < recording.seconds <= 10, recording\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    # A minute would be 92 MB as float32; what is held grows with the excerpt only.
    assert int(done.stdout) < 75_000


def test_only_the_first_hour_is_read(monkeypatch):
    monkeypatch.setattr("valle.audio.recording.MAX_SECONDS", 5.0)
    recording = load_recording((syllables(6.0), RATE))
    assert recording.seconds == 5.0
    assert "only the first hour" in recording.warnings[-1]
    assert load_recording((syllables(5.0), RATE)).warnings == ()


def test_silence_with_a_constant_offset_is_refused():
    assert_refused((np.zeros(5 * RATE, np.float32), RATE), "silent")
    assert_refused((np.full(5 * RATE, 0.25, np.float32), RATE), "silent")
    assert_refused((np.full(5 * RATE, 130, np.uint8), RATE), "silent")
    assert_refused((1e-5 * np.ones(5 * RATE) * np.array([1, -1] * (5 * RATE // 2)), RATE), "silent")


def test_too_little_sound_is_refused(tmp_path):
    assert_refused(
        write_audio_file(tmp_path / "one.wav", np.ones(1, np.float32) * 0.5), "lasts only 0.00 s"
    )
    assert_refused((syllables(1.4), RATE), "lasts only 1.40 s")
    word = np.concatenate([syllables(3.0)[: RATE // 2 * 2], np.zeros(5 * RATE, np.float32)])
    assert_refused((word, RATE), "holds only [01].. s of sound")
    assert_refused((word, RATE), "holds only", excerpt=10.0)
    assert load_recording((syllables(1.6), RATE)).seconds == 1.6


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("place", [0, 20_000, -1])
def test_samples_that_are_not_finite_are_refused(value, place):
    sound = syllables().astype(np.float64)
    sound[place] = value
    assert_refused((sound, RATE), "not numbers")


def test_nan_in_a_file_is_refused(tmp_path):
    sound = syllables()
    sound[-1] = np.nan
    assert_refused(write_audio_file(tmp_path / "a.wav", sound, subtype="FLOAT"), "not numbers")


def test_active_level_of_known_signals():
    at = np.arange(5 * RATE) / RATE
    sine = np.sin(2 * np.pi * 1000 * at).astype(np.float32)
    assert measure_active_level(sine, RATE) == pytest.approx(-3.01, abs=0.01)
    assert measure_active_level(sine * np.float32(0.1), RATE) == pytest.approx(-23.01, abs=0.01)
    paused = sine.copy()
    paused[RATE : 4 * RATE] *= 0.001
    assert measure_active_level(paused, RATE) == pytest.approx(-3.01, abs=0.01)
    assert measure_active_level(sine * 0, RATE) == -math.inf
    assert measure_active_level(sine[:0], RATE) == -math.inf


@pytest.mark.parametrize(("source", "target"), [(44_100, 16_000), (8000, 16_000), (16_000, 24_000)])
def test_resampling_keeps_a_tone(source, target):
    tone = [
        np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
        for rate in (source, target)
    ]
    changed = resample(tone[0], source, target)
    assert changed.dtype == np.float32
    np.testing.assert_allclose(changed[500:-500], tone[1][500:-500], atol=2e-3)


def test_resampling_removes_frequencies_above_the_new_limit():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(tone, 48_000, 16_000)[500:-500]).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 5000),
    source=st.integers(4000, 96_000),
    target=st.sampled_from([8000, 16_000, 24_000, 44_100, 48_000]),
)
def test_resampled_length_is_the_ratio_of_the_rates(length, source, target):
    changed = resample(np.zeros(length, np.float32), source, target)
    assert changed.shape == (round(length * target / source),)
