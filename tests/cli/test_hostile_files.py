"""Hostile bundles and recordings are refused: a documented exit code, one line, nothing left.

Each command runs in a process with 1 GB of memory above what its imports take. Of the whole set,
which `python -m benchmarks.hostile` runs, the tests take those that need the least time.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import valle
from confined import find_faults

for package in ("av", "onnx"):
    pytest.importorskip(package, reason="needs the extras [media] and [train]")
if sys.platform != "linux":
    pytest.skip("only Linux limits the address space", allow_module_level=True)

from hostile_bundles import HARMLESS
from hostile_files import run_bundles, run_recordings

# Parts of names. Numbers out of bounds are refused one by one in tests/bundle; of damaged
# recordings there are others; and what can be read after all takes long to enroll.
_LEFT_TO_THE_BENCHMARK = (
    *HARMLESS,
    *("configuration with", "bits flipped", "header of noise", "cut in the middle", "of silence"),
    *("wav of 2^", "wav with blocks", "wav with a cue", "1e38"),
)


@pytest.fixture
def saved_voice(voice: valle.Voice, tmp_path: Path) -> Path:
    voice.save(tmp_path / "voice.safetensors")
    return tmp_path / "voice.safetensors"


def test_hostile_bundles(debug_bundle: Path, saved_voice: Path, home: Path, tmp_path: Path) -> None:
    results = run_bundles(
        tmp_path / "bundles", debug_bundle, saved_voice, home / "safety", _LEFT_TO_THE_BENCHMARK
    )
    assert len(results) >= 40
    assert [fault for result in results for fault in find_faults(result, (5,))] == []


def test_hostile_recordings(debug_bundle: Path, home: Path, tmp_path: Path) -> None:
    results = run_recordings(
        tmp_path / "recordings", debug_bundle, home / "safety", _LEFT_TO_THE_BENCHMARK
    )
    assert len(results) >= 40
    assert [fault for result in results for fault in find_faults(result, (3,))] == []
