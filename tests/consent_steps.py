"""Steps that consent tests share: refused commands, a set clock, enrollment with consent."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import valle
from command_line import Result
from valle.consent import challenge
from valle.trust import ledger

REAL_NOW = ledger.now


def assert_refused(result: Result, *reasons: str) -> None:
    assert result[:2] == (6, ""), result
    assert result[2].count("\n") == 1, result
    for reason in reasons:
        assert reason in result[2]
    assert not [name for name in os.listdir() if name.endswith((".wav", ".json"))]


def set_clock(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """Set the clock to `days` from now."""
    moment = ledger.format_time(ledger.parse_time(REAL_NOW()) + days * 86_400)
    monkeypatch.setattr(ledger, "now", lambda: moment)


def enroll_with_consent(
    model: valle.Model, recording: Path, statement: Path, **scope: Any
) -> valle.Voice:
    challenge.create("Ada", **scope)
    return model.enroll(recording, name="Ada", consent=statement)
