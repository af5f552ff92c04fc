"""Commands run in an empty folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Result, RunCommand
from conftest import ATTEST
from valle.cli.main import main


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> RunCommand:
    """Run a command in an empty folder."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*argv: object) -> Result:
        code = main([str(word) for word in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def speak(run: RunCommand, debug_bundle: Path, recording: Path) -> RunCommand:
    """Run `valle speak` with the tiny model, a recording and an attestation."""

    def call(*argv: object) -> Result:
        source = [] if "--voice" in argv or "--ref-audio" in argv else ["--ref-audio", recording]
        consent = [] if "--voice" in argv or "--attest" in argv else ["--attest", ATTEST]
        bundle = [] if "--bundle" in argv else ["--bundle", debug_bundle]
        return run("speak", *argv, *source, *consent, *bundle)

    return call
