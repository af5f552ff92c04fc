"""`valle speak -`: sound on standard output while the text is still coming."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import valle
from command_line import RunCommand
from valle.voices import registry

HEADER = 44  # bytes of a WAV file without anything but its format


def test_sound_comes_before_the_text_ends(
    voice: valle.Voice, debug_bundle: Path, tmp_path: Path
) -> None:
    registry.add(voice)
    command = [sys.executable, "-m", "valle", "speak", "-", "-o", "-", "--voice", "Babble"]
    source = str(Path(valle.__file__).parents[1])
    process = subprocess.Popen(
        [*command, "--bundle", str(debug_bundle), "--loudness", "off"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": source},
        cwd=tmp_path,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"The house on the hill behind the village is green and rather old, and ")
    process.stdin.flush()
    data = process.stdout.read(HEADER + 2000)  # blocks until there is sound
    assert data.startswith(b"RIFF")
    assert data[36:40] == b"data"
    process.stdin.write(b"nobody lives there.")
    process.stdin.close()
    data += process.stdout.read()
    assert process.wait(60) == 0
    samples = np.frombuffer(data[HEADER:], "<i2") / 32767
    assert np.abs(samples).max() > 0.01


@pytest.mark.parametrize("option", [["--rate", "24000"], ["--duration", "3"], ["--redo", "1"]])
def test_what_needs_the_whole_text_is_refused(run: RunCommand, option: list[str]) -> None:
    code, out, error = run("speak", "-", "-o", "-", "--voice", "Babble", *option)
    assert (code, out) == (2, "")
    assert f"{option[0]} needs the whole text" in error
