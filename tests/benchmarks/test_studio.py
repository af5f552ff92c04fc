"""The benchmark of the studio measures what it says, on a tiny model and for moments only."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("playwright", reason="needs the package playwright")
if sys.platform != "linux" or not (shutil.which("chromium") or shutil.which("chromium-browser")):
    pytest.skip("needs Chromium on Linux", allow_module_level=True)

STUDIO = Path(__file__).parents[2] / "benchmarks" / "studio.py"


def test_sound_and_silence_are_heard_in_the_page(debug_bundle: Path) -> None:
    arguments = ["--bundle", str(debug_bundle), "--repeats", "1", "--minutes", "0.02"]
    done = subprocess.run(
        [sys.executable, str(STUDIO), *arguments, "--only", "first_audio", "cancel", "playing"],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout)
    assert result["first_audio"]["warm"]["count"] == result["cancel"]["count"] == 1
    assert result["first_audio"]["warm"]["median_ms"] > 0
    assert result["cancel"]["median_ms"] >= 0
    playing = result["playing"]
    assert playing["seconds_of_speech"] > 1
    assert playing["words_shown"] >= 10
    assert all("faults" not in result[part] for part in ("first_audio", "cancel", "playing"))
