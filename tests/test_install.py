"""What a user gets from `pip install`: small, without PyTorch, speaking without a network."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

from valle.bundle.bundle import DEFAULT_FOLDER
from valle.bundle.config import CONFIG_NAME

ROOT = Path(__file__).parent.parent
OFFLINE = Path(__file__).parent / "offline"
MOST_BYTES = 300_000_000

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Installed:
    folder: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """A program of the installation, with no network and nothing else's packages."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(cwd),
            "PYTHONPATH": str(OFFLINE),
            "VALLE_HOME": str(cwd / "home"),
        }
        program = str(self.folder / "bin" / command[0])
        return subprocess.run(
            [program, *command[1:]],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("install") / "venv"
    venv.create(folder, with_pip=False)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", str(ROOT)], check=True)
    return Installed(folder)


def test_it_is_small_and_has_no_pytorch(installed: Installed, tmp_path: Path) -> None:
    (packages,) = installed.folder.glob("lib/python*/site-packages")
    present = {path.name for path in packages.iterdir()}
    assert {"valle", "onnxruntime"} <= present
    assert not {"torch", "pip", "scipy", "matplotlib"} & present
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size < MOST_BYTES, f"site-packages hold {size / 1e6:.0f} MB"


def test_the_package_is_whole(installed: Installed) -> None:
    (package,) = installed.folder.glob("lib/python*/site-packages/valle")
    source = ROOT / "src" / "valle"
    for path in source.rglob("*"):
        if path.is_file() and path.suffix != ".pyc":
            assert (package / path.relative_to(source)).is_file(), path


def test_help_runs(installed: Installed, tmp_path: Path) -> None:
    done = installed.run("valle", "--help", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "speak" in done.stdout


def test_the_network_is_off_in_these_tests(installed: Installed, tmp_path: Path) -> None:
    code = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done = installed.run("python", "-c", code, cwd=tmp_path)
    assert "without a network" in done.stderr


@pytest.mark.skipif(
    not (DEFAULT_FOLDER / CONFIG_NAME).is_file(), reason="this checkout has no default bundle"
)
def test_it_speaks_without_a_network(installed: Installed, tmp_path: Path) -> None:
    done = installed.run(
        *("valle", "speak", "Hello there.", "--ref-audio", str(ROOT / "examples" / "voice.wav")),
        *("--attest", "I hold the rights to this voice", "-o", "hello.wav"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hello.wav").stat().st_size > 10_000  # more than 0.3 s
