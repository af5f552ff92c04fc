"""Files of phones, browsers and videos are decoded; a refusal says what the file is."""

from __future__ import annotations

import contextlib
import io
import sys

import numpy as np
import pytest

from media_files import MEDIA, write_media_file, write_silent_video
from recordings import assert_refused, syllables, write_audio_file
from valle.audio import containers
from valle.audio.recording import load_recording, measure_active_level
from valle.errors import RecordingError

pytest.importorskip("av", reason="needs the extra [media]")

RATE = 48_000


@pytest.mark.parametrize("ending", MEDIA)
def test_media_file_is_decoded_whatever_its_name(tmp_path, ending):
    sound = syllables(4.0, RATE)
    path = write_media_file(tmp_path / f"a.{ending}", sound, RATE)
    recording = load_recording(path)
    assert abs(recording.seconds - 4.0) < 0.1
    assert recording.sample_rate == RATE
    assert recording.warnings == ()
    level = measure_active_level(recording.samples, RATE)
    assert abs(level - measure_active_level(sound, RATE)) < 0.5
    # In the right place: the envelopes agree, except for the delay of an encoder.
    steps = min(len(sound), len(recording.samples)) // 4800
    envelopes = [
        np.abs(x[: steps * 4800]).reshape(steps, -1).mean(1) for x in (sound, recording.samples)
    ]
    assert np.corrcoef(envelopes)[0, 1] > 0.9
    renamed = path.rename(tmp_path / "a.wav")
    np.testing.assert_array_equal(load_recording(renamed).samples, recording.samples)
    in_memory = load_recording(io.BytesIO(renamed.read_bytes()))
    np.testing.assert_array_equal(in_memory.samples, recording.samples)


@pytest.mark.parametrize(
    ("ending", "options"),
    [
        ("webm", {"live": "1"}),  # as a browser records: lengths are unknown
        ("mp4", {"movflags": "frag_keyframe+empty_moov"}),  # as a browser or a stream
        ("m4a", {"movflags": "faststart"}),  # the index first
    ],
)
def test_containers_written_while_recording_are_decoded(tmp_path, ending, options):
    path = write_media_file(tmp_path / f"a.{ending}", syllables(4.0, RATE), RATE, options=options)
    assert abs(load_recording(path).seconds - 4.0) < 0.1


def test_aac_with_an_id3_tag_is_decoded(tmp_path):
    path = write_media_file(tmp_path / "a.aac", syllables(4.0, RATE), RATE)
    path.write_bytes(b"ID3\4\0\0\0\0\1\x49" + bytes(201) + path.read_bytes())
    assert abs(load_recording(path).seconds - 4.0) < 0.1


@pytest.mark.parametrize("ending", ["m4a", "webm"])
def test_excerpt_equals_the_same_part_of_the_whole(tmp_path, ending):
    path = write_media_file(tmp_path / f"a.{ending}", syllables(20.0, RATE), RATE)
    whole, excerpt = load_recording(path), load_recording(path, excerpt=10.0)
    first = round(excerpt.start * RATE)
    part = whole.samples[first : first + len(excerpt.samples)]
    np.testing.assert_array_equal(part, excerpt.samples)
    assert 8.0 < excerpt.seconds <= 10.0


def test_blocks_have_the_size_asked_for(tmp_path):
    path = write_media_file(tmp_path / "a.m4a", syllables(3.0, RATE), RATE)
    with path.open("rb") as file:
        media = containers.MediaAudio("a.m4a", file, containers.identify(file))
        blocks = list(media.read_blocks(5_000, 105_000, 30_000))
        assert [block.shape for block in blocks] == [(30_000, 1)] * 3 + [(10_000, 1)]
        (whole,) = media.read_blocks(0, 120_000, 120_000)
        np.testing.assert_array_equal(np.concatenate(blocks), whole[5_000:105_000])


def test_stereo_and_low_rates_are_kept(tmp_path):
    sound = np.stack([syllables(3.0, 16_000), np.zeros(48_000, np.float32)], 1)
    recording = load_recording(write_media_file(tmp_path / "a.m4a", sound, 16_000))
    assert recording.sample_rate == 16_000
    lossless = write_media_file(tmp_path / "b.m4a", syllables(3.0, 44_100), 44_100, codec="alac")
    np.testing.assert_allclose(
        load_recording(lossless).samples[:100_000], syllables(3.0, 44_100)[:100_000], atol=1e-4
    )


@pytest.mark.parametrize("ending", ["m4a", "mp4", "mov", "3gp", "mkv"])
@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_truncated_media_file_is_refused(tmp_path, ending, share):
    data = write_media_file(tmp_path / f"a.{ending}", syllables(10.0, RATE), RATE).read_bytes()
    part = tmp_path / f"part.{ending}"
    part.write_bytes(data[: int(len(data) * share)])
    assert "copy or export it again" in assert_refused(part, "cut off")


def test_damaged_media_file_is_refused_with_its_codec(tmp_path):
    path = write_media_file(tmp_path / "a.m4a", syllables(10.0, RATE), RATE)
    data = bytearray(path.read_bytes())
    middle = data.index(b"mdat") + 2000
    data[middle : middle + 20_000] = np.random.default_rng(0).bytes(20_000)
    path.write_bytes(data)
    assert_refused(path, r"is an M4A file \(aac\) that cannot be decoded .* damaged")


@pytest.mark.parametrize("ending", MEDIA)
def test_altered_bytes_are_read_or_refused(tmp_path, ending):
    path = write_media_file(tmp_path / f"a.{ending}", syllables(3.0, RATE), RATE)
    rng = np.random.default_rng(0)
    for number in range(20):
        data = bytearray(path.read_bytes())
        for position in rng.integers(0, len(data) if number % 2 else 1500, 6):
            data[position] = rng.integers(256)
        with contextlib.suppress(RecordingError):
            load_recording(io.BytesIO(bytes(data)))


def test_oversized_frame_is_refused(tmp_path, monkeypatch):
    path = write_media_file(tmp_path / "a.m4a", syllables(3.0, RATE), RATE)
    monkeypatch.setattr(containers, "MAX_FRAME_VALUES", 100)
    assert_refused(path, "too large to be sound")


def test_only_the_first_hour_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("valle.audio.recording.MAX_SECONDS", 3.0)
    path = write_media_file(tmp_path / "a.webm", syllables(5.0, RATE), RATE)
    recording = load_recording(path)
    assert recording.seconds == 3.0
    assert any("only the first hour" in warning for warning in recording.warnings)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
        (b"\xff\xd8\xff\xe0" + bytes(100), "a JPEG picture"),
        (b"\0\0\0\x18ftypheic" + bytes(100), "a HEIC picture"),
        (b"%PDF-1.7" + bytes(100), "a PDF document"),
        (b"PK\x03\x04" + bytes(100), "a ZIP archive"),
        (b"<!DOCTYPE html><html></html>" * 9, "a web page"),
        (b"My article, in plain words.\n" * 9, "a text file"),
        (b"MThd" + bytes(100), "a MIDI file"),
        (b"RIFF\0\0\0\0WAVE" + bytes(100), "a WAV file"),
        (b"fLaC" + bytes(100), "a FLAC file"),
    ],
)
def test_refusal_says_what_the_file_is(tmp_path, data, name):
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    message = assert_refused(path, f"is {name}")
    assert "give a recording" in message or "save it as WAV" in message


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("start", [b"\0\0\0\x20ftypM4A ", b"\x1a\x45\xdf\xa3", b"#!AMR\n"])
def test_noise_with_a_known_start_is_refused(tmp_path, start, seed):
    path = tmp_path / "a.m4a"
    path.write_bytes(start + np.random.default_rng(seed).bytes(20_000))
    assert_refused(path, "is an? ")


def test_video_without_sound_is_refused(tmp_path):
    assert_refused(write_silent_video(tmp_path / "a.mp4"), "is an MP4 file without sound")


def test_missing_extra_is_named(tmp_path, monkeypatch):
    path = write_media_file(tmp_path / "phone.m4a", syllables(3.0, RATE), RATE)
    monkeypatch.setitem(sys.modules, "av", None)
    message = assert_refused(path, "phone.m4a is an M4A file; reading it needs the extra `media`")
    assert "pip install 'valle[media]'" in message
    assert "WAV" in message
    load_recording(write_audio_file(tmp_path / "a.wav", syllables()))  # needs no extra


def test_other_files_are_never_opened(tmp_path):
    """A playlist would have FFmpeg open the files or the addresses that it names."""
    path = tmp_path / "a.m4a"
    for text in ("#EXTM3U\n#EXTINF:3,\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile b.wav\n"):
        path.write_text(text * 3)
        assert_refused(path, "is a text file")
