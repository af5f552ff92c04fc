"""Running commands in tests: those that must succeed, and those that must be refused."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from valle.cli.main import main

Result = tuple[int, str, str]
"""Exit code, standard output, standard error."""
RunCommand = Callable[..., Result]


def expect_success(*argv: object) -> None:
    """Run a command that must succeed."""
    assert main([str(word) for word in argv]) == 0


def expect_usage_error(capsys: pytest.CaptureFixture[str], *argv: object) -> str:
    """Run a command that must be refused with exit code 2; returns its one line."""
    assert main([str(word) for word in argv]) == 2
    return _check_message(capsys.readouterr().err)


def expect_failure(result: Result, code: int, *parts: str) -> None:
    """Check that a command failed with one line that has `parts`, and left no file behind."""
    assert result[0] == code, result
    assert result[1] == ""
    message = _check_message(result[2])
    for part in parts:
        assert part in message
    assert os.listdir() == []


def _check_message(message: str) -> str:
    assert message.startswith("valle: "), message
    assert message.count("\n") == 1, message
    return message
