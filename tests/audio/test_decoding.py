"""Audio from files, pipes and arrays is decoded; what is missing or damaged is refused."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
from typing import Any

import numpy as np
import pytest

from recordings import RATE, assert_refused, syllables, write_audio_file
from valle.audio import decoding
from valle.audio.recording import load_recording, measure_active_level


@pytest.mark.parametrize(
    ("ending", "subtype"), [("flac", "PCM_24"), ("mp3", None), ("ogg", "VORBIS"), ("ogg", "OPUS")]
)
def test_other_formats_are_decoded(tmp_path, ending, subtype):
    sound = syllables(4.0, 48_000)
    path = write_audio_file(tmp_path / f"a.{ending}", sound, 48_000, subtype)
    recording = load_recording(path)
    assert abs(recording.seconds - 4.0) < 0.05
    assert recording.warnings == ()
    assert (
        abs(measure_active_level(recording.samples, 48_000) - measure_active_level(sound, 48_000))
        < 0.5
    )


def test_paths_files_pipes_and_arrays_give_equal_samples(tmp_path):
    sound = syllables()
    path = write_audio_file(tmp_path / "a.wav", sound, subtype="FLOAT")
    read_end, write_end = os.pipe()

    def fill():
        with open(write_end, "wb") as end:
            end.write(path.read_bytes())

    filling = threading.Thread(target=fill)
    filling.start()
    with open(path, "rb") as file, open(read_end, "rb") as pipe:
        sources: list[Any] = [
            path,
            str(path),
            file,
            io.BytesIO(path.read_bytes()),
            pipe,
            (sound, RATE),
        ]
        for source in sources:
            np.testing.assert_array_equal(load_recording(source).samples, sound)
        assert not file.closed
    filling.join()


def test_named_pipe_is_read(tmp_path):
    sound, fifo = syllables(), tmp_path / "fifo"
    data = write_audio_file(tmp_path / "a.wav", sound, subtype="FLOAT").read_bytes()
    os.mkfifo(fifo)
    filling = threading.Thread(target=lambda: fifo.write_bytes(data))
    filling.start()
    np.testing.assert_array_equal(load_recording(fifo).samples, sound)
    filling.join()


def test_integer_samples_are_scaled_by_their_width():
    sound = np.round(syllables() * 127) / 128
    expected = sound.astype(np.float32)
    for dtype, scale, zero in (
        ("i1", 128, 0),
        ("i2", 2**15, 0),
        ("i4", 2**31, 0),
        ("u1", 128, 128),
    ):
        values = (sound * scale + zero).astype(dtype)
        np.testing.assert_allclose(load_recording((values, RATE)).samples, expected, atol=1e-7)


def test_longer_axis_of_an_array_is_time():
    sound = syllables()
    for shape in (sound[:, None], sound[None, :], np.stack([sound, sound])):
        recording = load_recording((shape, RATE))
        np.testing.assert_allclose(recording.samples, sound, atol=1e-7)
        assert recording.warnings == ()


def test_missing_and_empty_files_and_folders_are_refused(tmp_path):
    assert "gone.wav" in assert_refused(tmp_path / "gone.wav", "there is no file")
    assert_refused(tmp_path, "is a folder")
    (tmp_path / "empty.wav").touch()
    assert_refused(tmp_path / "empty.wav", "empty")
    assert_refused(
        write_audio_file(tmp_path / "none.wav", np.zeros(0, np.float32)),
        "empty: it holds no samples",
    )
    assert_refused((np.zeros(0, np.float32), RATE), "holds no samples")
    assert_refused(io.BytesIO(), "empty")
    assert_refused("", "name of the recording is empty")
    assert_refused("a\0b", "cannot open")
    assert_refused("/dev/zero", "neither a file nor a pipe")
    assert_refused("x" * 5000, "cannot open")


@pytest.mark.parametrize(
    "data",
    [b"This is a text, not a recording. " * 300, bytes(50_000), b"\xff" * 50_000, b"RIFF", b"ID3"]
    + [np.random.default_rng(seed).bytes(50_000) for seed in range(3)],
)
@pytest.mark.parametrize("ending", ["wav", "mp3", "raw", "txt"])
def test_files_without_audio_are_refused(tmp_path, data, ending, capfd):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(data)
    assert_refused(path, "cannot be read as audio")
    assert_refused(io.BytesIO(data), "cannot be read as audio")
    assert capfd.readouterr() == ("", "")


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


@pytest.mark.parametrize(("ending", "subtype"), CONTAINERS)
@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.01])
def test_truncated_file_is_refused(tmp_path, ending, subtype, share, capfd):
    whole = write_audio_file(tmp_path / f"whole.{ending}", syllables(20.0), subtype=subtype)
    load_recording(whole)
    data = whole.read_bytes()
    part = tmp_path / f"part.{ending}"
    part.write_bytes(data[: int(len(data) * share)])
    assert_refused(part, "cut off|cannot be read as audio|damaged")
    assert_refused(io.BytesIO(part.read_bytes()), "cut off|cannot be read as audio|damaged")
    assert capfd.readouterr() == ("", "")


def test_wav_header_without_a_length_is_accepted(tmp_path):
    path = write_audio_file(tmp_path / "a.wav", syllables())
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    for claimed in (0xFFFFFFFF, 0x7FFFFFFF):
        data[at : at + 4] = struct.pack("<I", claimed)
        data[4:8] = struct.pack("<I", 0xFFFFFFFF)
        assert load_recording(io.BytesIO(bytes(data))).seconds == 3.0


def test_flac_header_without_a_length_is_refused(tmp_path):
    data = bytearray(write_audio_file(tmp_path / "a.flac", syllables()).read_bytes())
    data[21] &= 0xF0  # the 36 bits of the number of samples; 0 is "unknown"
    data[22:26] = bytes(4)
    assert_refused(io.BytesIO(bytes(data)), "does not state its length")


def test_mp3_without_a_length_is_accepted(tmp_path):
    path = tmp_path / "a.mp3"
    write_audio_file(
        path, syllables(5.0), subtype=None, bitrate_mode="CONSTANT", compression_level=0.5
    )
    data = path.read_bytes()
    second = data.index(data[:2], 4)  # without the first frame, which tells the length
    assert abs(load_recording(io.BytesIO(data[second:])).seconds - 5.0) < 0.2


def test_invalid_arguments_are_refused():
    assert_refused((syllables(), RATE, 1), "samples, sample rate")
    assert_refused((syllables(), 0), "too low")
    assert_refused((syllables(), 100), "too low")
    assert_refused((syllables(), 16_000.5), "sample rate")
    assert_refused((syllables(), "16k"), "sample rate")
    assert_refused((np.zeros((2, 2, 20_000)), RATE), "not of shape")
    assert_refused((np.zeros(50_000, np.int64), RATE), "int64")
    assert_refused((np.zeros(50_000, complex), RATE), "complex")
    assert_refused((np.zeros((9, 40_000), np.float32), RATE), "9 channels")
    assert_refused((np.zeros(40_000, np.float32), 2**31 - 1), "2147483647 Hz, more than any")
    assert_refused((np.zeros((300, 40_000), np.float32), RATE), "300 channels")
    assert_refused(syllables(), "not ndarray|cannot read ndarray")
    assert_refused(io.StringIO("text"), "text")
    assert_refused(None, "cannot read NoneType")


def test_stderr_of_other_threads_is_kept_while_mp3_is_decoded(tmp_path, capfd):
    path = write_audio_file(tmp_path / "a.mp3", syllables(60.0), subtype=None)

    def talk():
        for number in range(200):
            os.write(2, f"line {number}\n".encode())
            time.sleep(0.0005)

    talking = threading.Thread(target=talk)
    talking.start()
    for _ in range(3):
        load_recording(path)
    talking.join()
    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines) == sorted(f"line {number}" for number in range(200))


def test_threads_that_decode_at_once_leave_stderr_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server whose standard error ends in a temporary file logs nothing any more."""
    before, copied, copy = os.fstat(2), threading.Event(), os.dup

    def note(descriptor: int) -> int:
        if threading.current_thread() is other:
            copied.set()
        return copy(descriptor)

    def silence() -> None:
        with decoding._silence_mp3_decoder(True):
            pass

    other = threading.Thread(target=silence)
    monkeypatch.setattr(os, "dup", note)
    with decoding._silence_mp3_decoder(True):
        other.start()
        copied.wait(0.5)  # which it must not have before this block has ended
    other.join()
    after = os.fstat(2)
    assert (after.st_dev, after.st_ino) == (before.st_dev, before.st_ino)
