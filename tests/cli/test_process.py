"""Commands as processes of their own: pipes, interrupts, and what importing costs."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

import valle
from command_line import RunCommand, expect_failure
from conftest import ATTEST
from valle.voices import registry


def start_python(*argv: object, **settings: object) -> subprocess.Popen[bytes]:
    """Start Python as a process of its own, with the valle under test."""
    return subprocess.Popen(
        [sys.executable, *map(str, argv)],
        env=os.environ | {"PYTHONPATH": str(Path(valle.__file__).parents[1])},
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | settings),  # type: ignore
    )


def test_standard_output_carries_a_wav(debug_bundle: Path, recording: Path, tmp_path: Path) -> None:
    words = ["-m", "valle", "speak", "So be it.", "--ref-audio", recording, "--attest", ATTEST]
    process = start_python(*words, "--bundle", debug_bundle, "-o", "-", cwd=tmp_path)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"Traceback" not in err
    samples, rate = soundfile.read(io.BytesIO(out))
    assert rate == 16000
    assert len(samples) > 1600
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == []


def test_closed_pipe_is_reported(voice: valle.Voice) -> None:
    registry.add(voice)
    read, write = os.pipe()
    os.close(read)
    process = start_python("-m", "valle", "voices", stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert err.count(b"\n") == 1
    assert b"Traceback" not in err


def test_interrupt_outside_of_speech_is_reported(
    run: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "names", interrupted)
    expect_failure(run("voices"), 130, "interrupted")


# The process reports when it begins a sentence, so that the interrupt comes while it speaks.
INTERRUPTED = """
import sys
from valle.cli.main import main
from valle.synthesis.assembler import StreamAssembler

begin = StreamAssembler.begin

def begin_and_report(self, sentence):
    print("begun", file=sys.stderr, flush=True)
    begin(self, sentence)

StreamAssembler.begin = begin_and_report
sys.exit(main(sys.argv[1:]))
"""


def test_interrupt_leaves_only_whole_files(
    debug_bundle: Path, recording: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "interrupted"
    folder.mkdir()
    words = ["speak", "It goes on and on. " * 500, "--ref-audio", recording, "--attest", ATTEST]
    process = start_python("-c", INTERRUPTED, *words, "--bundle", debug_bundle, cwd=folder)
    assert process.stderr is not None
    for _ in range(2):
        assert process.stderr.readline() == b"begun\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    lines = [line for line in err.splitlines() if line != b"begun"]
    assert len(lines) == 1
    assert lines[0].startswith(b"valle: interrupted")
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["speech.partial.wav", "speech.partial.wav.json"]
    assert soundfile.info(folder / "speech.partial.wav").frames > 0


def test_import_loads_no_heavy_package() -> None:
    heavy = "{'numpy', 'onnxruntime', 'pydantic', 'soundfile', 'torch'}"
    code = f"import sys, valle, valle.cli.main; print(sorted({heavy} & set(sys.modules)))"
    out, _ = start_python("-c", code).communicate(timeout=60)
    assert out.strip() == b"[]"
