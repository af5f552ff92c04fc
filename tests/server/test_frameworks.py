"""Pipecat and LiveKit, unchanged, against a real server: what they hear is what we send.

A wrong sample rate shows in the pitch, and a wrong count in the words' times. Speech is that of the
default bundle, since the tiny one has no pitch to speak of.
"""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx

import valle
from conftest import ATTEST
from valle.audio.prosody import compute_frame_features
from valle.audio.recording import resample
from valle.synthesis.speech import Speech
from valle.voices import registry as voice_folder

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "integrations"
SENTENCES = ["Hello there, my friend.", "This is the second sentence."]
MODULES = {"livekit": "livekit.plugins.elevenlabs", "pipecat": "pipecat"}
WORD_LINE = re.compile(r"^ *(\d+\.\d+) s  (\S+)$", re.MULTILINE)


def is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@pytest.fixture
def spoken(home: Path) -> Speech:
    """What the server's model makes of the sentences, in the one voice that it has."""
    model = valle.load(threads=1)
    voice = model.enroll(ROOT / "examples" / "voice.wav", name="Ada", attest=ATTEST)
    voice_folder.add(voice)
    return Speech.join(model.stream(" ".join(SENTENCES), voice))


@pytest.fixture
def url(spoken: Speech) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "valle", "serve", "--port", str(port)]
    server = subprocess.Popen([*command, "--alias", "alloy=Ada"], stderr=subprocess.DEVNULL)
    try:
        while not is_healthy(f"http://127.0.0.1:{port}"):
            assert server.poll() is None
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(60)


def is_healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=60).status_code == 200
    except httpx.TransportError:
        return False


def run_example(name: str, api: str, voice: str, url: str, output: Path) -> list[tuple[str, float]]:
    """Return the words with the times of their beginnings, which the program printed."""
    arguments = ["--url", url, "--voice", voice, "--api", api, "-o", str(output)]
    arguments += ["--patience", "60"] if name == "pipecat" else []  # on a busy computer
    script = str(EXAMPLES / name / "speak.py")
    done = subprocess.run(
        [sys.executable, script, *arguments, *SENTENCES],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [(word, float(seconds)) for seconds, word in WORD_LINE.findall(done.stdout)]


def find_pitch(samples: np.ndarray, rate: int) -> float:
    """Return the median pitch in semitones."""
    at_16k = resample(samples.astype(np.float32), rate, 16_000)
    return float(np.nanmedian(compute_frame_features(at_16k, 16_000, 320)[:, 0]))


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(not is_installed(module), reason=f"needs {name}")
        )
        for name, module in MODULES.items()
    ],
)
def test_a_framework_hears_what_is_sent(
    name: str, url: str, spoken: Speech, tmp_path: Path
) -> None:
    for api, voice in (("elevenlabs", "Ada"), ("openai", "alloy")):
        output = tmp_path / f"{api}.wav"
        words = run_example(name, api, voice, url, output)
        samples, rate = soundfile.read(output)
        # 1 % is 0.17 semitones.
        pitch = find_pitch(spoken.audio, spoken.sample_rate)
        assert find_pitch(samples, rate) == pytest.approx(pitch, abs=0.17)
        if api == "elevenlabs":
            check_words(words, spoken)


def check_words(words: list[tuple[str, float]], spoken: Speech) -> None:
    """Each word is there, and begins within 20 ms of when it does, counted from the first."""
    assert [word for word, _ in words] == " ".join(SENTENCES).split()
    begins = [word.start - spoken.words[0].start for word in spoken.words]
    assert [begin - words[0][1] for _, begin in words] == pytest.approx(begins, abs=0.02)
