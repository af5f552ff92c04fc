"""Audio files are written completely or not at all."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from recordings import RATE, environment, syllables
from valle.audio.encoding import infer_audio_format, save_audio
from valle.errors import OutputError, UsageError


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg", "WAV", "Flac"])
def test_saved_file_has_the_samples_rate_and_comment(tmp_path, ending):
    sound, path = syllables(3.0, 24_000), tmp_path / f"out.{ending}"
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


def test_long_speech_is_encoded_as_vorbis(tmp_path):
    """A whole minute at once would overflow the encoder's stack."""
    save_audio(tmp_path / "a.ogg", np.tile(syllables(10.0, 48_000), 12), 48_000)
    assert soundfile.info(tmp_path / "a.ogg").frames == 120 * 48_000


def test_samples_beyond_full_scale_are_clipped_and_do_not_wrap(tmp_path):
    save_audio(tmp_path / "a.wav", np.array([0.0, 1.5, -1.5, 1.0], np.float32), RATE)
    back, _ = soundfile.read(tmp_path / "a.wav", dtype="int16")
    assert back.tolist() == [0, 32767, -32768, 32767]


def test_unknown_extension_is_a_usage_error(tmp_path):
    for name in ("a.xyz", "a", "a.wav.txt", ""):
        with pytest.raises(UsageError, match=r"\.wav, \.flac, \.mp3, \.ogg"):
            save_audio(tmp_path / name, syllables(), RATE)
    assert os.listdir(tmp_path) == []
    assert [infer_audio_format(name) for name in ("-", "a.MP3", Path("b.ogg"))] == [
        "wav",
        "mp3",
        "ogg",
    ]


def test_target_that_cannot_be_written_is_an_output_error(tmp_path):
    (tmp_path / "folder.wav").mkdir()
    long = "x" * 300 + ".wav"
    for name, why in (
        ("folder.wav", "is a folder"),
        ("no/such/a.wav", "does not exist"),
        (long, "name too long"),
        ("a\0.wav", "null"),
    ):
        with pytest.raises(OutputError, match=f"(?i){why}"):
            save_audio(tmp_path / name, syllables(), RATE)
    with pytest.raises(OutputError, match="mp3 at 12345 Hz"):
        save_audio(tmp_path / "a.mp3", syllables(), 12_345)
    with pytest.raises(OutputError, match="not numbers"):
        save_audio(tmp_path / "a.wav", np.array([0.0, np.nan], np.float32), RATE)
    assert os.listdir(tmp_path) == ["folder.wav"]


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg"])
def test_full_disk_leaves_the_old_file(tmp_path, ending):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"old")
    script = (
        "import resource, numpy as np\n"
        "from valle.audio.encoding import save_audio\n"
        "from valle.errors import OutputError\n"
        "noise = np.random.default_rng(0).standard_normal(200_000).astype('f4') * 0.2\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))\n"
        f"try: save_audio({str(path)!r}, noise, 16_000)\n"
        "except OutputError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 0, done
    assert len(done.stdout.splitlines()) == 1, done
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


def test_ctrl_c_leaves_only_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def interrupted(*_):
        assert len(os.listdir(tmp_path)) == 2  # a temporary file next to the target
        raise KeyboardInterrupt

    monkeypatch.setattr(soundfile.SoundFile, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_audio(path, syllables(), RATE)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.wav"]


def test_sigint_while_encoding_leaves_no_file(tmp_path):
    script = (
        "import numpy as np\nfrom valle.audio.encoding import save_audio\n"
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
        assert process.stdout is not None
        assert process.stdout.readline() == b"go\n"
        while process.poll() is None and not os.listdir(tmp_path):
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert b"KeyboardInterrupt" in stderr
    assert os.listdir(tmp_path) == []


def test_links_and_modes_are_kept_and_a_device_is_not_replaced(tmp_path):
    real, link = tmp_path / "real.wav", tmp_path / "link.wav"
    real.touch(mode=0o640)
    link.symlink_to(real)
    save_audio(link, syllables(), RATE)
    assert link.is_symlink()
    assert soundfile.info(real).frames == 3 * RATE
    assert real.stat().st_mode & 0o777 == 0o640
    null = tmp_path / "null.wav"
    null.symlink_to(os.devnull)
    save_audio(null, syllables(), RATE)
    assert null.is_char_device()


def test_stdout_gets_a_complete_wav_with_its_comment():
    script = (
        "import numpy as np\nfrom valle.audio.encoding import save_audio\n"
        "save_audio('-', np.zeros(100_000, np.float32), 16_000, 'by a machine')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=environment())
    with soundfile.SoundFile(io.BytesIO(done.stdout)) as file:
        assert (file.format, file.frames, file.comment) == ("WAV", 100_000, "by a machine")
    assert done.stderr == b""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_closed_stdout_is_an_output_error_without_a_traceback(unbuffered):
    script = (
        "import sys, numpy as np\nfrom valle.audio.encoding import save_audio\n"
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
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        stderr = process.stderr.read().decode()
    assert process.returncode == 7
    assert stderr.splitlines() == ["cannot write to stdout: Broken pipe"]
