"""Fixtures of consent tests: commands with the debug bundle, fake scores, and an empty ledger."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import valle
from command_line import RunCommand
from conftest import RATE
from valle.cli.main import main
from valle.consent import verification
from valle.trust import ledger

GOOD = verification.Scores(
    statement=-0.5,
    phrase=-0.5,
    words={"anchor": -0.1},
    margin=3.0,
    speaker_cosine=0.95,
    phrase_cosine=0.9,
    reference_cosine=0.9,
    consistency=0.9,
    background_level=1.0,
    background_shape=1.0,
    replay=0.5,
    spoof=0.1,
    as_norm=None,
)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    debug_bundle: Path,
) -> RunCommand:
    """Run a command in an empty folder with the debug bundle: (exit code, stdout, stderr)."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def call(*argv: object) -> tuple[int, str, str]:
        bundle = ["--bundle", debug_bundle] if argv[0] in ("speak", "enroll") else []
        code = main([str(word) for word in (*argv, *bundle)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def fake_scores(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the scores of statements, which the debug bundle cannot verify, by good ones.

    Tests change single scores in the returned dictionary; `replay` is measured unless changed.
    """
    changes: dict[str, Any] = {}
    score = verification.score

    def fake_score(*arguments: Any) -> verification.Scores:
        replay = score(*arguments).replay
        return dataclasses.replace(GOOD, **({"replay": replay} | changes))

    monkeypatch.setattr(verification, "score", fake_score)
    return changes


@pytest.fixture
def statement(tmp_path: Path) -> Path:
    """Return a recording that stands in for somebody reading a statement."""
    rng = np.random.default_rng(5)
    time = np.arange(5 * RATE) / RATE
    pitch = 140 + 40 * np.sin(2 * np.pi * 0.8 * time)
    buzz = np.sign(np.sin(np.cumsum(2 * np.pi * pitch / RATE)))
    path = tmp_path / "statement.wav"
    samples = 0.3 * buzz * np.clip(np.sin(2 * np.pi * 2.2 * time), 0, 1)
    soundfile.write(path, samples + 0.001 * rng.standard_normal(len(time)), RATE)
    return path


@pytest.fixture
def empty_ledger(voice: valle.Voice, home: Path) -> None:
    """Keep the key that tests share, and start with an empty ledger."""
    key = ledger.get_signing_key()
    for name in (ledger.LEDGER_FILE, ledger.HEAD_FILE):
        (home / "safety" / name).unlink(missing_ok=True)
    head = ledger.Head(
        lines=0, bytes=0, hash=ledger.GENESIS_HASH, last="", latest=ledger.now(), revoked={}
    )
    ledger._write_head(home / "safety", key, head)
