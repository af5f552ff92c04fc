"""What was changed is never taken for what was signed, and never ends the program; see also
test_receipts.py and test_ledger.py."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from valle.cli.main import main
from valle.evaluation.protocols import tampering


def test_of_hundreds_of_changes_none_is_taken_and_none_crashes(tmp_path: Path) -> None:
    found = tampering.results(list(tampering.run_trials(tmp_path, 250)))
    assert found["crashes"] == []
    for kind, outcomes in found["kinds"].items():
        assert outcomes["accepted"] == outcomes["crashed"] == 0, kind
        assert outcomes["refused"] > 200 and sum(outcomes.values()) == 250, kind


def test_what_is_taken_and_what_crashes_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken(path: Path) -> dict[str, Any]:
        if path.name.startswith("record"):
            raise ZeroDivisionError("no matter")
        return {"verified": True}

    monkeypatch.setattr(tampering, "provenance_facts", taken)
    monkeypatch.setattr(tampering.receipts, "check", lambda *_: None)
    found = tampering.results(list(tampering.run_trials(tmp_path, 20)))
    assert found["kinds"]["receipt"]["refused"] == found["kinds"]["speech"]["refused"] == 0
    assert found["kinds"]["record"]["crashed"] > 15
    assert found["crashes"][0] == "ZeroDivisionError: no matter"
    assert found["kinds"]["receipt"]["accepted"] > 15


def test_changes_change_something() -> None:
    rng = random.Random(0)
    data, facts = bytes(range(256)), {"a": {"b": "text"}, "c": [1, 2]}
    assert sum(tampering.broken(data, rng) != data for _ in range(200)) == 200
    assert sum(tampering.altered(facts, rng) != facts for _ in range(200)) > 190
    assert facts == {"a": {"b": "text"}, "c": [1, 2]}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "found.json"
    assert main(["evaluate", "tampering", "--trials", "20", "-q", "-o", str(output)]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == [
        *("refused", "accepted", "same", "crashed")
    ]
    assert set(json.loads(output.read_text())["kinds"]) == {"receipt", "record", "speech"}
    assert main(["evaluate", "tampering", "--trials", "0", "-o", str(output)]) == 2
