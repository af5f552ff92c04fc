"""examples/integrations: the packages of others, unchanged, against a real server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "integrations"
TEXT = "Hello there. This is the second sentence."


def run_example(name: str, url: str, voice: str, output: Path) -> str:
    pytest.importorskip(name, reason=f"needs the package {name}")
    arguments = ["--url", url, "--voice", voice, "-o", str(output), TEXT]
    script = str(FOLDER / name / "speak.py")
    done = subprocess.run(
        [sys.executable, script, *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_seconds(path: Path) -> float:
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        return sum(frame.samples for frame in container.decode(audio=0)) / rate


def test_clients_write_the_same_speech(serve: Callable, stored_voice: str, tmp_path: Path) -> None:
    server = serve()
    run_example("openai", server.url, stored_voice, tmp_path / "openai.mp3")
    printed = run_example("elevenlabs", server.url, stored_voice, tmp_path / "elevenlabs.mp3")
    lines = [line.split() for line in printed.splitlines()]
    assert [line[2] for line in lines] == TEXT.split()
    begins = [float(line[0]) for line in lines]
    assert begins == sorted(begins)
    seconds = [read_seconds(tmp_path / f"{name}.mp3") for name in ("openai", "elevenlabs")]
    assert seconds[0] == pytest.approx(seconds[1], abs=0.2)
    assert begins[-1] < seconds[1]
