"""Speaking, enrolling and detecting use no network, and write nowhere but where they say."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import valle
from conftest import ATTEST
from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME

ROOT = Path(__file__).parent.parent
VOICE = str(ROOT / "examples" / "voice.wav")
COMMANDS = (
    ("enroll", VOICE, "--name", "Ada", "--attest", ATTEST),
    ("speak", "So be it.", "--voice", "Ada", "-o", "out/so.wav"),
    ("detect", "out/so.wav", "--json"),
)
WRITTEN = {"out/so.wav", "out/so.wav.json"}

# The library alone, without the command: whoever imports valle is promised the same.
LIBRARY = f"""
import valle
model = valle.load()
voice = model.enroll({VOICE!r}, attest={ATTEST!r})
model.speak("So be it.", voice).save("out/so.wav")
"""

# A connection to a local socket (of the X server, of the name service's cache) is no network.
_NETWORK_CALL = re.compile(r"(connect|sendto|sendmsg|bind)\(.*(AF_INET|sin_port|sin6_port)")

needs_bundle = pytest.mark.skipif(
    not (DEFAULT_FOLDER / CONFIG_NAME).is_file(), reason="this checkout has no default bundle"
)


@pytest.fixture
def user(tmp_path: Path) -> dict[str, str]:
    """The environment of a new user, whose whole home is `tmp_path`."""
    (tmp_path / "out").mkdir()
    (tmp_path / "tmp").mkdir()
    source = str(Path(valle.__file__).parents[1])
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "VALLE_HOME": str(tmp_path / "data"),
        "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "offline"), source]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


def list_new_files(folder: Path) -> set[str]:
    """Files outside the data folder, relative to the home."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path.as_posix() for path in paths if path.parts[0] != "data"}


def run(program: list[str], folder: Path, environment: dict[str, str]) -> str:
    result = subprocess.run(
        program,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


@needs_bundle
def test_commands_write_only_their_output_and_data(tmp_path: Path, user: dict[str, str]) -> None:
    for command in COMMANDS:
        run([sys.executable, "-m", "valle", *command], tmp_path, user)
    assert list_new_files(tmp_path) == WRITTEN


@needs_bundle
def test_library_writes_only_its_output_and_data(tmp_path: Path, user: dict[str, str]) -> None:
    run([sys.executable, "-c", LIBRARY], tmp_path, user)
    assert list_new_files(tmp_path) == WRITTEN


@needs_bundle
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_no_thread_of_any_library_opens_a_connection(tmp_path: Path, user: dict[str, str]) -> None:
    """Sees what Python cannot: threads of native libraries, and look-ups of names."""
    trace = tmp_path / "tmp" / "trace"
    strace = ["strace", "-f", "-qq", "-e", "trace=%network,openat", "-o", str(trace)]
    probe = [*strace, "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let processes be traced")
    for command in COMMANDS:
        run([*strace, sys.executable, "-m", "valle", *command], tmp_path, user)
        lines = trace.read_text(errors="replace").splitlines()
        assert len(lines) > 100  # it did trace
        assert [line for line in lines if _NETWORK_CALL.search(line)] == []
        # Looking up a host would read these first.
        assert [line for line in lines if "/etc/resolv.conf" in line] == []
    trace.unlink()
    assert list_new_files(tmp_path) == WRITTEN


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_traced_connections_are_recognized(tmp_path: Path, user: dict[str, str]) -> None:
    trace = tmp_path / "tmp" / "trace"
    strace = ["strace", "-f", "-qq", "-e", "trace=%network,openat", "-o", str(trace)]
    if subprocess.run([*strace, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let processes be traced")
    code = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    environment = {**user, "PYTHONPATH": ""}  # the refusing sockets would not reach the kernel
    run([*strace, sys.executable, "-c", code], tmp_path, environment)
    assert any(_NETWORK_CALL.search(line) for line in trace.read_text().splitlines())
