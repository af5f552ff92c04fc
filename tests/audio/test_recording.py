"""Recordings are read, refused or warned about as promised; files appear whole or not at all."""

import io
import math
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.audio.recording import (
    active_level,
    best_excerpt,
    load_recording,
    output_format,
    resample,
    save_audio,
)
from valle.errors import OutputError, RecordingError, UsageError

RATE = 16_000


def speech(seconds=3.0, rate=RATE, seed=0, level=0.1):
    """Like speech: a gliding buzz in syllables, three a second, and a pause after every sixth."""
    rng = np.random.default_rng(seed)
    at = np.arange(round(seconds * rate)) / rate
    pitch = 120 + 25 * np.sin(2 * np.pi * 0.4 * at + rng.uniform(0, 6))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    buzz = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 25))
    shape = np.clip(np.sin(2 * np.pi * 3 * at), 0, None) ** 0.5 * (at % 2.0 < 1.7)
    loudness = np.interp(
        at,
        np.arange(0, seconds + 1, 0.3),
        rng.uniform(0.4, 1, 1000)[: len(np.arange(0, seconds + 1, 0.3))],
    )
    sound = buzz * shape * loudness
    sound *= level / np.sqrt((sound[shape > 0.1] ** 2).mean())
    return (sound + 1e-4 * rng.standard_normal(len(at))).astype(np.float32)


def write(path, samples, rate=RATE, subtype="PCM_16", **options):
    soundfile.write(path, samples, rate, subtype=subtype, **options)
    return path


def refused(source, match, excerpt=None):
    with pytest.raises(RecordingError, match=match) as caught:
        load_recording(source, excerpt)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- taken ----------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_a_good_recording_comes_back_as_it_is_without_warnings(tmp_path, rate):
    sound = speech(3.0, rate)
    recording = load_recording(write(tmp_path / "a.wav", sound, rate, "FLOAT"))
    np.testing.assert_array_equal(recording.samples, sound)
    assert recording.samples.dtype == np.float32
    assert (recording.sample_rate, recording.warnings) == (rate, ())
    assert (recording.start, recording.seconds, recording.source_seconds) == (0.0, 3.0, 3.0)


@pytest.mark.parametrize(
    "ending, subtype", [("flac", "PCM_24"), ("mp3", None), ("ogg", "VORBIS"), ("ogg", "OPUS")]
)
def test_other_formats_are_read(tmp_path, ending, subtype):
    sound = speech(4.0, 48_000)
    path = write(tmp_path / f"a.{ending}", sound, 48_000, subtype)
    recording = load_recording(path)
    assert abs(recording.seconds - 4.0) < 0.05 and recording.warnings == ()
    assert abs(active_level(recording.samples, 48_000) - active_level(sound, 48_000)) < 0.5


def test_paths_files_pipes_and_arrays_give_the_same(tmp_path):
    sound = speech()
    path = write(tmp_path / "a.wav", sound, subtype="FLOAT")
    read_end, write_end = os.pipe()

    def fill():
        with open(write_end, "wb") as end:
            end.write(path.read_bytes())

    filling = threading.Thread(target=fill)
    filling.start()
    with open(path, "rb") as file, open(read_end, "rb") as pipe:
        sources = [path, str(path), file, io.BytesIO(path.read_bytes()), pipe, (sound, RATE)]
        for source in sources:
            np.testing.assert_array_equal(load_recording(source).samples, sound)
        assert not file.closed
    filling.join()


def test_a_named_pipe_is_read(tmp_path):
    sound, fifo = speech(), tmp_path / "fifo"
    data = write(tmp_path / "a.wav", sound, subtype="FLOAT").read_bytes()
    os.mkfifo(fifo)
    filling = threading.Thread(target=lambda: fifo.write_bytes(data))
    filling.start()
    np.testing.assert_array_equal(load_recording(fifo).samples, sound)
    filling.join()


def test_integers_of_each_width_mean_the_same_sound():
    sound = np.round(speech() * 127) / 128
    expected = sound.astype(np.float32)
    for dtype, scale, zero in (
        ("i1", 128, 0),
        ("i2", 2**15, 0),
        ("i4", 2**31, 0),
        ("u1", 128, 128),
    ):
        values = (sound * scale + zero).astype(dtype)
        np.testing.assert_allclose(load_recording((values, RATE)).samples, expected, atol=1e-7)


def test_the_longer_axis_is_time():
    sound = speech()
    for shape in (sound[:, None], sound[None, :], np.stack([sound, sound])):
        recording = load_recording((shape, RATE))
        np.testing.assert_allclose(recording.samples, sound, atol=1e-7)
        assert recording.warnings == ()


def test_values_beyond_full_scale_are_brought_down():
    sound = speech()
    for gain in (3.0 / np.abs(sound).max(), 32_768.0):
        recording = load_recording((sound * np.float32(gain), RATE))
        assert np.abs(recording.samples).max() == pytest.approx(1.0)
        assert np.corrcoef(recording.samples, sound)[0, 1] > 0.9999
        assert recording.warnings == ()


def test_channels_that_differ_are_mixed_with_a_warning():
    left, right = speech(seed=1), speech(seed=2)
    recording = load_recording((np.stack([left, right], axis=1), RATE))
    np.testing.assert_allclose(recording.samples, (left + right) / 2, atol=1e-6)
    assert len(recording.warnings) == 1 and "2 channels differ" in recording.warnings[0]


def test_sound_on_one_channel_only_is_a_plain_recording():
    sound = speech()
    recording = load_recording((np.stack([sound, np.zeros_like(sound)], axis=1), RATE))
    np.testing.assert_allclose(recording.samples, sound / 2, atol=1e-6)
    assert recording.warnings == ()


def test_channels_that_cancel_are_not_mixed():
    sound = speech()
    recording = load_recording((np.stack([-sound * 0.9, sound], axis=1), RATE))
    np.testing.assert_array_equal(recording.samples, sound)
    assert "only channel 2 was used" in recording.warnings[0]


def test_8_khz_is_taken_with_a_warning(tmp_path):
    recording = load_recording(write(tmp_path / "a.wav", speech(rate=8000), 8000, "ULAW"))
    assert recording.sample_rate == 8000
    assert [w for w in recording.warnings if "nothing above 4000 Hz" in w]


def test_192_khz_is_brought_down_to_48(tmp_path):
    high = soxr.resample(speech(3.0, 48_000), 48_000, 192_000)
    recording = load_recording(write(tmp_path / "a.flac", high, 192_000, "PCM_24"))
    assert (recording.sample_rate, len(recording.samples), recording.warnings) == (
        48_000,
        144_000,
        (),
    )
    expected = speech(3.0, 48_000)
    error = (recording.samples - expected)[4800:-4800]
    assert np.sqrt((error**2).mean()) < 0.002


def test_clipping_is_warned_about_whatever_its_level():
    sound = speech(level=0.5)
    clipped = np.clip(sound, *np.quantile(sound, [0.02, 0.98]))
    for gain in (0.2, 1.0 / np.abs(clipped).max(), 1.5):
        warnings = load_recording((clipped * np.float32(gain), RATE)).warnings
        assert len(warnings) == 1 and "clipped" in warnings[0]


def test_clipping_of_one_channel_is_not_hidden_by_mixing():
    sound = speech(level=0.5)
    clipped = np.clip(sound, *np.quantile(sound, [0.02, 0.98]))
    warnings = load_recording((np.stack([sound, clipped], axis=1), RATE)).warnings
    assert [w for w in warnings if "clipped" in w]


def test_noise_is_warned_about():
    noise = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    for level, noisy in ((0.04, True), (0.001, False)):
        warnings = load_recording((speech() + level * noise, RATE)).warnings
        assert bool([w for w in warnings if "noisy" in w]) is noisy


def test_a_quiet_recording_is_taken_with_a_warning():
    noise = np.float32(1e-6)
    warnings = load_recording((speech(level=0.003) * np.float32(0.9) + noise, RATE)).warnings
    assert len(warnings) == 1 and "very quiet (-5" in warnings[0]


# --- the best part --------------------------------------------------------------------------


def planted(rate=RATE, at=31.0, seconds=75.0):
    """Faint speech in noise, with 12 s of good speech in it."""
    sound = speech(seconds, rate, level=0.01)
    sound += 0.003 * np.random.default_rng(1).standard_normal(len(sound)).astype(np.float32)
    first = round(at * rate)
    sound[first : first + 12 * rate] = speech(12.0, rate, seed=3)
    return sound


def test_the_best_ten_seconds_are_found_and_told(tmp_path):
    path = write(tmp_path / "long.flac", planted())
    recording = load_recording(path, excerpt=10.0)
    assert recording.start >= 30.5 and recording.start + recording.seconds <= 43.5
    assert 9.0 <= recording.seconds <= 10.0
    first = round(recording.start * RATE)
    np.testing.assert_array_equal(
        recording.samples,
        soundfile.read(path, dtype="float32")[0][first:][: len(recording.samples)],
    )
    (told,) = recording.warnings
    assert f"from {recording.start:.1f} s to" in told and told.endswith("of 75.0 s")
    assert len(load_recording(path).samples) == 75 * RATE


def test_the_excerpt_of_an_array_agrees_with_that_of_a_file(tmp_path):
    sound = planted()
    start, end = best_excerpt(sound, RATE, 10.0)
    recording = load_recording((sound, RATE), excerpt=10.0)
    np.testing.assert_array_equal(recording.samples, sound[start:end])


def test_an_excerpt_begins_and_ends_in_pauses():
    sound = planted()
    start, end = best_excerpt(sound, RATE, 10.0)
    for edge in (start, end):
        assert np.abs(sound[edge - 80 : edge + 80]).max() < 0.05 < np.abs(sound[start:end]).max()


def test_clipped_parts_are_avoided():
    sound = speech(40.0, level=0.1)
    loud = sound[: 20 * RATE] * 8
    sound[: 20 * RATE] = np.clip(loud, -0.9, 0.9)
    assert best_excerpt(sound, RATE)[0] >= 19.5 * RATE


def test_silence_around_a_short_recording_is_left_out():
    silence = np.zeros(2 * RATE, np.float32)
    sound = np.concatenate([silence, speech(3.0), silence])
    recording = load_recording((sound, RATE), excerpt=10.0)
    assert 1.8 <= recording.start <= 2.05 and 2.6 <= recording.seconds <= 3.3


@settings(max_examples=30, deadline=None)
@given(
    seconds=st.floats(0.001, 30),
    wanted=st.floats(0.5, 12),
    rate=st.sampled_from([8000, 16000, 22050]),
)
def test_an_excerpt_lies_inside_and_is_no_longer_than_asked(seconds, wanted, rate):
    sound = np.random.default_rng(int(seconds * 1000)).standard_normal(int(seconds * rate) + 1)
    start, end = best_excerpt(sound.astype(np.float32) * 0.1, rate, wanted)
    assert 0 <= start < end <= len(sound)
    assert end - start <= max(wanted * rate, rate // 50)


def test_an_hour_at_192_khz_fits_in_little_memory(tmp_path):
    """Played by a stand-in that makes its blocks as they are asked for; a minute shows the same."""
    path = tmp_path / "hour.py"
    path.write_text(
        "import resource, numpy as np\n"
        "from valle.audio import decoding as sources\n"
        "from valle.audio.recording import _load\n"
        "part = (np.random.default_rng(0).standard_normal((192_000, 2)) * 0.1).astype('f4')\n"
        "part[::2] = 0\n"
        "class Hour(sources.Source):\n"
        "    def __init__(self): self.name, self.rate, self.channels = 'it', 192_000, 2\n"
        "    def blocks(self, first, last, size):\n"
        "        last = min(last, 60 * self.rate)\n"
        "        for at in range(first, last, size):\n"
        "            yield np.resize(part, (min(size, last - at), 2))\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "recording = _load(Hour(), 10.0, 1.5)\n"
        "assert recording.sample_rate == 48_000 and 8 < recording.seconds <= 10, recording\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, path], capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    # A minute would be 92 MB as float32; what is held grows with the excerpt only.
    assert int(done.stdout) < 75_000


def test_of_more_than_an_hour_the_first_counts(monkeypatch):
    monkeypatch.setattr("valle.audio.recording.MAX_SECONDS", 5.0)
    recording = load_recording((speech(6.0), RATE))
    assert recording.seconds == 5.0 and "only the first hour" in recording.warnings[-1]
    assert load_recording((speech(5.0), RATE)).warnings == ()


# --- refused --------------------------------------------------------------------------------


def test_missing_folder_and_empty_files_are_refused(tmp_path):
    assert "gone.wav" in refused(tmp_path / "gone.wav", "there is no file")
    refused(tmp_path, "is a folder")
    (tmp_path / "empty.wav").touch()
    refused(tmp_path / "empty.wav", "empty")
    refused(write(tmp_path / "none.wav", np.zeros(0, np.float32)), "empty: it holds no samples")
    refused((np.zeros(0, np.float32), RATE), "holds no samples")
    refused(io.BytesIO(), "empty")
    refused("a\0b", "cannot open")
    refused("/dev/zero", "neither a file nor a pipe")
    refused("x" * 5000, "cannot open")


@pytest.mark.parametrize(
    "data",
    [b"This is a text, not a recording. " * 300, bytes(50_000), b"\xff" * 50_000, b"RIFF", b"ID3"]
    + [np.random.default_rng(seed).bytes(50_000) for seed in range(3)],
)
@pytest.mark.parametrize("ending", ["wav", "mp3", "raw", "txt"])
def test_what_is_no_audio_is_refused(tmp_path, data, ending, capfd):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data)
    refused(path, "cannot be read as audio")
    refused(io.BytesIO(data), "cannot be read as audio")
    assert capfd.readouterr() == ("", "")


def test_silence_is_refused_even_with_a_constant_offset():
    refused((np.zeros(5 * RATE, np.float32), RATE), "silent")
    refused((np.full(5 * RATE, 0.25, np.float32), RATE), "silent")
    refused((np.full(5 * RATE, 130, np.uint8), RATE), "silent")
    refused((1e-5 * np.ones(5 * RATE) * np.array([1, -1] * (5 * RATE // 2)), RATE), "silent")


def test_too_little_sound_is_refused(tmp_path):
    refused(write(tmp_path / "one.wav", np.ones(1, np.float32) * 0.5), "lasts only 0.00 s")
    refused((speech(1.4), RATE), "lasts only 1.40 s")
    word = np.concatenate([speech(3.0)[: RATE // 2 * 2], np.zeros(5 * RATE, np.float32)])
    refused((word, RATE), "holds only [01].. s of sound")
    refused((word, RATE), "holds only", excerpt=10.0)
    assert load_recording((speech(1.6), RATE)).seconds == 1.6


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e300])
@pytest.mark.parametrize("place", [0, 20_000, -1])
def test_values_that_are_not_numbers_are_refused(value, place):
    sound = speech().astype(np.float64)
    sound[place] = value
    refused((sound, RATE), "not numbers")


def test_nan_in_a_file_is_refused(tmp_path):
    sound = speech()
    sound[-1] = np.nan
    refused(write(tmp_path / "a.wav", sound, subtype="FLOAT"), "not numbers")


CONTAINERS = [
    ("wav", "PCM_16"),
    ("wav", "FLOAT"),
    ("flac", "PCM_16"),
    ("mp3", None),
    ("ogg", "VORBIS"),
    ("ogg", "OPUS"),
    ("aiff", "PCM_16"),
    ("w64", "PCM_16"),
    ("au", "PCM_16"),
    ("caf", "PCM_16"),
]


@pytest.mark.parametrize("ending, subtype", CONTAINERS)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.01])
def test_a_file_cut_off_is_refused(tmp_path, ending, subtype, share, capfd):
    whole = write(tmp_path / f"whole.{ending}", speech(20.0), subtype=subtype)
    load_recording(whole)
    data = whole.read_bytes()
    part = tmp_path / f"part.{ending}"
    part.write_bytes(data[: int(len(data) * share)])
    refused(part, "cut off|cannot be read as audio|damaged")
    refused(io.BytesIO(part.read_bytes()), "cut off|cannot be read as audio|damaged")
    assert capfd.readouterr() == ("", "")


def test_wav_from_a_pipe_has_no_length_and_is_taken(tmp_path):
    path = write(tmp_path / "a.wav", speech())
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    for claimed in (0xFFFFFFFF, 0x7FFFFFFF):
        data[at : at + 4] = struct.pack("<I", claimed)
        data[4:8] = struct.pack("<I", 0xFFFFFFFF)
        assert load_recording(io.BytesIO(bytes(data))).seconds == 3.0


def test_flac_without_a_length_is_refused_with_the_reason(tmp_path):
    data = bytearray(write(tmp_path / "a.flac", speech()).read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples; 0 is "unknown"
    data[22:26] = bytes(4)
    refused(io.BytesIO(bytes(data)), "does not tell its length")


def test_mp3_without_a_length_is_taken(tmp_path):
    path = tmp_path / "a.mp3"
    write(path, speech(5.0), subtype=None, bitrate_mode="CONSTANT", compression_level=0.5)
    data = path.read_bytes()
    second = data.index(data[:2], 4)  # without the first frame, which tells the length
    assert abs(load_recording(io.BytesIO(data[second:])).seconds - 5.0) < 0.2


def test_wrong_arguments_are_refused():
    refused((speech(), RATE, 1), "samples, sample rate")
    refused((speech(), 0), "too few")
    refused((speech(), 100), "too few")
    refused((speech(), 16_000.5), "sample rate")
    refused((speech(), "16k"), "sample rate")
    refused((np.zeros((2, 2, 20_000)), RATE), "not of shape")
    refused((np.zeros(50_000, np.int64), RATE), "int64")
    refused((np.zeros(50_000, complex), RATE), "complex")
    refused((np.zeros((300, 40_000), np.float32), RATE), "300 channels")
    refused(speech(), "not ndarray|cannot read ndarray")
    refused(io.StringIO("text"), "text")
    refused(None, "cannot read NoneType")


def test_what_others_write_to_stderr_while_mp3_is_read_is_not_lost(tmp_path, capfd):
    path = write(tmp_path / "a.mp3", speech(60.0), subtype=None)

    def talk():
        for number in range(200):
            os.write(2, f"line {number}\n".encode())
            time.sleep(0.0005)

    talking = threading.Thread(target=talk)
    talking.start()
    for _ in range(3):
        load_recording(path)
    talking.join()
    said = capfd.readouterr().err.splitlines()
    assert sorted(said) == sorted(f"line {number}" for number in range(200))


# --- levels and rates -----------------------------------------------------------------------


def test_the_active_level_of_known_sounds():
    at = np.arange(5 * RATE) / RATE
    sine = np.sin(2 * np.pi * 1000 * at).astype(np.float32)
    assert active_level(sine, RATE) == pytest.approx(-3.01, abs=0.01)
    assert active_level(sine * np.float32(0.1), RATE) == pytest.approx(-23.01, abs=0.01)
    paused = sine.copy()
    paused[RATE : 4 * RATE] *= 0.001
    assert active_level(paused, RATE) == pytest.approx(-3.01, abs=0.01)
    assert active_level(sine * 0, RATE) == -math.inf
    assert active_level(sine[:0], RATE) == -math.inf


@pytest.mark.parametrize("source, target", [(44_100, 16_000), (8000, 16_000), (16_000, 24_000)])
def test_resampling_keeps_a_tone(source, target):
    tone = [
        np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
        for rate in (source, target)
    ]
    changed = resample(tone[0], source, target)
    assert changed.dtype == np.float32
    np.testing.assert_allclose(changed[500:-500], tone[1][500:-500], atol=2e-3)


def test_resampling_removes_what_the_new_rate_cannot_hold():
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(tone, 48_000, 16_000)[500:-500]).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(
    length=st.integers(0, 5000),
    source=st.integers(4000, 96_000),
    target=st.sampled_from([8000, 16_000, 24_000, 44_100, 48_000]),
)
def test_resampling_gives_the_length_that_the_rates_tell(length, source, target):
    changed = resample(np.zeros(length, np.float32), source, target)
    assert changed.shape == (round(length * target / source),)


# --- saving ---------------------------------------------------------------------------------


def environment():
    return {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2] / "src"),
        "OMP_NUM_THREADS": "1",
    }


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg", "WAV", "Flac"])
def test_a_saved_file_has_the_sound_the_rate_and_the_comment(tmp_path, ending):
    sound, path = speech(3.0, 24_000), tmp_path / f"out.{ending}"
    comment = "made by a machine; voice Zoe; receipt " + "ab" * 32
    save_audio(path, sound, 24_000, comment)
    assert os.listdir(tmp_path) == [path.name]
    with soundfile.SoundFile(path) as file:
        assert (file.samplerate, file.channels, file.comment) == (24_000, 1, comment)
        assert file.format.lower() == ending.lower()
        back = file.read(dtype="float32")
    assert len(back) == len(sound)
    tolerance = 1 / 32_768 if ending.lower() in ("wav", "flac") else 0.1
    assert np.abs(back - sound).max() <= tolerance


def test_long_speech_is_written_as_vorbis(tmp_path):
    """A whole minute at once would overflow the encoder's stack."""
    save_audio(tmp_path / "a.ogg", np.tile(speech(10.0, 48_000), 12), 48_000)
    assert soundfile.info(tmp_path / "a.ogg").frames == 120 * 48_000


def test_saving_clips_and_does_not_wrap(tmp_path):
    save_audio(tmp_path / "a.wav", np.float32([0.0, 1.5, -1.5, 1.0]), RATE)
    back, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert back.tolist() == [0, 32767, -32768, 32767]


def test_an_unknown_ending_is_a_usage_error(tmp_path):
    for name in ("a.xyz", "a", "a.wav.txt", ""):
        with pytest.raises(UsageError, match=r"\.wav, \.flac, \.mp3, \.ogg"):
            save_audio(tmp_path / name, speech(), RATE)
    assert os.listdir(tmp_path) == []
    assert [output_format(name) for name in ("-", "a.MP3", Path("b.ogg"))] == ["wav", "mp3", "ogg"]


def test_what_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    long = "x" * 300 + ".wav"
    for name, why in (
        ("folder.wav", "is a folder"),
        ("no/such/a.wav", "no folder"),
        (long, "name too long"),
        ("a\0.wav", "null"),
    ):
        with pytest.raises(OutputError, match=f"(?i){why}"):
            save_audio(tmp_path / name, speech(), RATE)
    with pytest.raises(OutputError, match="mp3 at 12345 Hz"):
        save_audio(tmp_path / "a.mp3", speech(), 12_345)
    with pytest.raises(OutputError, match="not numbers"):
        save_audio(tmp_path / "a.wav", np.float32([0.0, np.nan]), RATE)
    assert os.listdir(tmp_path) == ["folder.wav"]


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg"])
def test_a_full_disk_leaves_the_old_file(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    script = (
        "import resource, numpy as np\n"
        "from valle.audio.recording import save_audio\n"
        "from valle.errors import OutputError\n"
        "noise = np.random.default_rng(0).standard_normal(200_000).astype('f4') * 0.2\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        f"try: save_audio({str(path)!r}, noise, 16_000)\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 1, done
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == [path.name]


def test_ctrl_c_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def interrupted(*_):
        assert len(os.listdir(tmp_path)) == 2  # it is being written beside its place
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile.SoundFile, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_audio(path, speech(), RATE)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.wav"]


def test_a_real_ctrl_c_while_encoding_leaves_nothing(tmp_path):
    script = (
        "import numpy as np\nfrom valle.audio.recording import save_audio\n"
        "noise = np.random.default_rng(0).standard_normal(1_000_000).astype('f4') * 0.1\n"
        "sound = np.tile(noise, 40)\n"
        "print('go', flush=True)\n"
        f"save_audio({str(tmp_path / 'a.mp3')!r}, sound, 48_000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout.readline() == b"go\n"
        while process.poll() is None and not os.listdir(tmp_path):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT and b"KeyboardInterrupt" in said
    assert os.listdir(tmp_path) == []


def test_links_and_modes_stay_and_a_device_is_not_replaced(tmp_path):
    real, link = tmp_path / "real.wav", tmp_path / "link.wav"
    real.touch(mode=0o640)
    link.symlink_to(real)
    save_audio(link, speech(), RATE)
    assert link.is_symlink() and soundfile.info(real).frames == 3 * RATE
    assert real.stat().st_mode & 0o777 == 0o640
    null = tmp_path / "null.wav"
    null.symlink_to(os.devnull)
    save_audio(null, speech(), RATE)
    assert null.is_char_device()


def test_stdout_gets_a_whole_wav_with_its_comment():
    script = (
        "import numpy as np\nfrom valle.audio.recording import save_audio\n"
        "save_audio('-', np.zeros(100_000, np.float32), 16_000, 'by a machine')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment())
    with soundfile.SoundFile(io.BytesIO(done.stdout)) as file:
        assert (file.format, file.frames, file.comment) == ("WAV", 100_000, "by a machine")
    assert done.stderr == b""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_an_output_error_and_no_traceback(unbuffered):
    script = (
        "import sys, numpy as np\nfrom valle.audio.recording import save_audio\n"
        "from valle.errors import Error\n"
        "try: save_audio('-', np.zeros(1_000_000, np.float32), 16_000)\n"
        "except Error as error: print(error, file=sys.stderr); sys.exit(error.exit_code)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment() | {"PYTHONUNBUFFERED": unbuffered},
    ) as process:
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 7 and said.splitlines() == ["cannot write to stdout: Broken pipe"]
