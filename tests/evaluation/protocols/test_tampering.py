"""Modified files are never verified, and never crash the program; see also test_receipts.py."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from valle.cli.main import main
from valle.evaluation.protocols import tampering


def test_hundreds_of_modifications_are_refused(tmp_path: Path) -> None:
    summary = tampering.summarize(list(tampering.run_trials(tmp_path, 250)))
    assert summary["crashes"] == []
    for kind, outcomes in summary["kinds"].items():
        assert outcomes["accepted"] == outcomes["crashed"] == 0, kind
        assert outcomes["refused"] > 200, kind
        assert sum(outcomes.values()) == 250, kind


def test_acceptances_and_crashes_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def accept_or_crash(path: Path) -> dict[str, Any]:
        if path.name.startswith("record"):
            raise ZeroDivisionError("a crash")
        return {"verified": True}

    monkeypatch.setattr(tampering, "describe_provenance", accept_or_crash)
    monkeypatch.setattr("valle.trust.receipts.check", lambda *_: None)
    summary = tampering.summarize(list(tampering.run_trials(tmp_path, 20)))
    assert summary["kinds"]["receipt"]["refused"] == 0
    assert summary["kinds"]["speech"]["refused"] == 0
    assert summary["kinds"]["record"]["crashed"] > 15
    assert summary["crashes"][0] == "ZeroDivisionError: a crash"
    assert summary["kinds"]["receipt"]["accepted"] > 15


def test_modifications_change_a_copy() -> None:
    rng = random.Random(0)
    data, record = bytes(range(256)), {"a": {"b": "text"}, "c": [1, 2]}
    assert sum(tampering.corrupt_bytes(data, rng) != data for _ in range(200)) == 200
    assert sum(tampering.mutate_record(record, rng) != record for _ in range(200)) > 190
    assert record == {"a": {"b": "text"}, "c": [1, 2]}


def test_the_command_prints_and_writes_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "tampering.json"
    assert main(["evaluate", "tampering", "--trials", "20", "-q", "-o", str(output)]) == 0
    heading = capsys.readouterr().out.splitlines()[0].split()
    assert heading == ["refused", "accepted", "same", "crashed"]
    assert set(json.loads(output.read_text())["kinds"]) == {"receipt", "record", "speech"}
    assert main(["evaluate", "tampering", "--trials", "0", "-o", str(output)]) == 2
