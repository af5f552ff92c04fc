"""Programs that are forked are as any others: arguments, streams, environment, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from forked_python import ForkedPython, serve_forks

SHOW = "import json, os, sys; print(os.getcwd(), os.environ['NAME'], sys.argv, input())"


@pytest.fixture(scope="module")
def python() -> Iterator[ForkedPython]:
    with serve_forks(["json"]) as forked:
        yield forked


def run(python: ForkedPython, *words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python.command, *words],
        cwd=folder,
        env=os.environ | {"NAME": "Ada"},
        input="in\n",
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_a_program_is_given_is_its_own(python: ForkedPython, tmp_path: Path) -> None:
    done = run(python, "-c", SHOW, "a", "b c", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path} Ada ['-c', 'a', 'b c'] in\n"
    assert run(python, "-m", "valle", "--version", folder=tmp_path).stdout.startswith("valle ")


def test_how_it_ends_is_told(python: ForkedPython, tmp_path: Path) -> None:
    assert run(python, "-c", "raise SystemExit(7)", folder=tmp_path).returncode == 7
    failed = run(python, "-c", "1 / 0", folder=tmp_path)
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stderr
    assert run(python, "-m", "valle", "speak", "--loudly", folder=tmp_path).returncode == 2
    program = python.start("-c", "import time; time.sleep(600)")
    assert program.poll() is None
    program.send_signal(signal.SIGKILL)
    assert program.wait() == program.poll() == -signal.SIGKILL
