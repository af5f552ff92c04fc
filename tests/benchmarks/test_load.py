"""The load benchmark measures what it says, on a tiny model and for moments only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
if sys.platform != "linux":
    pytest.skip("reads /proc", allow_module_level=True)

LOAD = Path(__file__).parents[2] / "benchmarks" / "load.py"


def test_every_part_answers(debug_bundle: Path) -> None:
    arguments = ["--bundle", str(debug_bundle), "--seconds", "1", "--clients", "4"]
    done = subprocess.run(
        [sys.executable, str(LOAD), *arguments, "--listeners", "1", "--at-once", "2"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    for protocol in ("http", "websocket"):
        times = result["first_audio"][protocol]
        assert times["count"] >= 5
        assert 0 < times["p50_ms"] <= times["p99_ms"] <= times["most_ms"]
    barge_in = result["barge_in"]
    assert barge_in["after"]["count"] == barge_in["idle"]["count"] >= 5
    throughput = result["throughput"]
    assert throughput["at_once"]["requests_at_once"] == 2
    assert throughput["gain_per_second"] > 0
    (tried,) = result["listeners"]["tried"]
    assert (result["listeners"]["most_without_a_gap"] == 1) == (tried["with_gaps"] == 0)
    mixed = result["mixed"]
    assert (mixed["server_errors"], mixed["jobs_lost"], mixed["failures_logged"]) == (0, 0, 0)
    assert mixed["statuses"]["200"] >= 3
    assert sum(mixed["jobs"].values()) >= 1
