"""Commands as tests give them: those that must be done, and those that must be refused."""

from __future__ import annotations

import pytest

from valle.cli.main import main


def did(*argv: object) -> None:
    assert main([str(word) for word in argv]) == 0


def refused(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    assert main([str(word) for word in argv]) == 2
    said = capsys.readouterr().err
    assert said.startswith("valle: ") and said.count("\n") == 1
    return said
