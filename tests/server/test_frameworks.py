"""The packages of others, unchanged, against a real server: what they hear is what we send.

A wrong sample rate shows in the pitch, sound that is lost in the words, and a wrong count in the
words' times. Speech is that of the default bundle, since the tiny one has no pitch to speak of.

Pipecat and LiveKit need other versions of some packages than valle does, so they may be installed
in an environment of their own: `VALLE_FRAMEWORKS_PYTHON` is its Python. With `VALLE_WHISPER`, the
folder of a faster-whisper model, Whisper listens; without, valle's own recognizer does.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx

import valle
from conftest import ATTEST
from valle.arrays import Samples
from valle.audio.prosody import compute_frame_features
from valle.audio.recording import resample
from valle.files import temporary_data_folder
from valle.synthesis.speech import Speech
from valle.voices import registry as voice_folder

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "integrations"
SENTENCES = ["Hello there, my friend.", "This is the second sentence."]
TEXT = " ".join(SENTENCES)
WORD_LINE = re.compile(r"^ *(\d+\.\d+) s  (\S+)$", re.MULTILINE)
ONE_PERCENT = 12 * np.log2(1.01)  # semitones


class Program(NamedTuple):
    """An example, which runs a package of others."""

    name: str
    module: str
    api: str | None = None
    """The protocol, if it has several."""
    voice: str = "Ada"
    has_times: bool = False

    def __str__(self) -> str:
        return f"{self.name}-{self.api}" if self.api else self.name


PROGRAMS = (
    Program("openai", "openai"),
    Program("elevenlabs", "elevenlabs", has_times=True),
    Program("livekit", "livekit.plugins.openai", "openai"),
    Program("livekit", "livekit.plugins.elevenlabs", "elevenlabs", has_times=True),
    Program("pipecat", "pipecat.services.openai", "openai", "alloy"),
    Program("pipecat", "pipecat.services.elevenlabs", "elevenlabs", has_times=True),
)


class Heard(NamedTuple):
    """What came out of a program."""

    samples: Samples
    """[N] at 16 kHz."""
    words: list[tuple[str, float]]
    """With the seconds at which they begin, if the program knows them."""


@lru_cache
def find_python(module: str) -> str | None:
    """Return a Python that has a package; None if none has."""
    code = f"import sys, importlib.util as u; sys.exit(u.find_spec({module!r}) is None)"
    pythons = filter(None, (os.environ.get("VALLE_FRAMEWORKS_PYTHON"), sys.executable))
    for python in pythons:
        done = subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL)
        if done.returncode == 0:
            return python
    return None


@pytest.fixture(scope="module")
def model() -> valle.Model:
    return valle.load(threads=1)


@pytest.fixture(scope="module")
def folder() -> Iterator[None]:
    with temporary_data_folder():
        yield


@pytest.fixture(scope="module")
def spoken(folder: None, model: valle.Model) -> Speech:
    """What the server's model makes of the text, in the one voice that it has."""
    voice = model.enroll(ROOT / "examples" / "voice.wav", name="Ada", attest=ATTEST)
    voice_folder.add(voice)
    return Speech.join(model.stream(TEXT, voice))


@pytest.fixture(scope="module")
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


@pytest.fixture(scope="module", params=PROGRAMS, ids=str)
def program(request: pytest.FixtureRequest) -> Program:
    chosen: Program = request.param
    if find_python(chosen.module) is None:
        pytest.skip(f"{chosen.module} is neither here nor where VALLE_FRAMEWORKS_PYTHON points")
    return chosen


@pytest.fixture(scope="module")
def heard(program: Program, url: str, tmp_path_factory: pytest.TempPathFactory) -> Heard:
    output = tmp_path_factory.mktemp("heard") / ("heard.wav" if program.api else "heard.mp3")
    arguments = ["--url", url, "--voice", program.voice, "-o", str(output)]
    arguments += ["--api", program.api] if program.api else []
    arguments += ["--patience", "60"] if program.name == "pipecat" else []  # on a busy computer
    done = subprocess.run(
        [
            str(find_python(program.module)),
            str(EXAMPLES / program.name / "speak.py"),
            *arguments,
            *(SENTENCES if program.api else [TEXT]),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    assert done.returncode == 0, done.stderr
    samples, rate = soundfile.read(output, dtype="float32")
    words = [(word, float(seconds)) for seconds, word in WORD_LINE.findall(done.stdout)]
    return Heard(resample(samples, rate, 16_000), words)


def find_pitch(samples: NDArray[np.float32]) -> float:
    """Return the median pitch in semitones."""
    return float(np.nanmedian(compute_frame_features(samples, 16_000, 320)[:, 0]))


def test_the_pitch_is_ours(heard: Heard, spoken: Speech) -> None:
    assert spoken.sample_rate == 16_000
    expected = find_pitch(spoken.audio)
    assert find_pitch(heard.samples) == pytest.approx(expected, abs=ONE_PERCENT)


@pytest.fixture(scope="module")
def listen(model: valle.Model) -> Callable[[Samples], list[str]]:
    """Return which words of the text somebody hears in samples at 16 kHz."""
    whisper = os.environ.get("VALLE_WHISPER")
    if whisper is not None:
        pytest.importorskip("faster_whisper", reason="needs the extra eval")
        from valle.evaluation.metrics.whisper import WhisperTranscriber

        transcriber = WhisperTranscriber(Path(whisper))
        return lambda samples: split_words(transcriber.transcribe(samples))

    def recognize(samples: Samples) -> list[str]:
        try:
            words = model.align((samples, 16_000), TEXT).words
        except valle.Error:  # none of them
            return []
        # Of speech that is played backward, or 1.5 times as fast, some are far below.
        return [split_words(word.text)[0] for word in words if word.score > 0.5]

    return recognize


def split_words(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


def test_all_words_are_heard(heard: Heard, listen: Callable[[Samples], list[str]]) -> None:
    assert listen(heard.samples) == split_words(TEXT)
    backward = heard.samples[::-1].copy()
    assert len(listen(backward)) < 3, "whoever listens hears what is not there"


def test_words_begin_when_they_are_said_to(program: Program, heard: Heard, spoken: Speech) -> None:
    """Within 20 ms, counted from the first, where the protocol has times."""
    if not program.has_times:
        assert heard.words == []
        return
    assert [word for word, _ in heard.words] == TEXT.split()
    begins = [word.start - spoken.words[0].start for word in spoken.words]
    first = heard.words[0][1]
    assert [begin - first for _, begin in heard.words] == pytest.approx(begins, abs=0.02)
