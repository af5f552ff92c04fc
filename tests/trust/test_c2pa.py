"""Content Credentials (C2PA) inside audio files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import valle
from signed_speech import KEY, RECORD
from valle.detection.report import describe_provenance
from valle.synthesis.speech import Speech
from valle.trust import c2pa as content_credentials


@pytest.fixture
def c2pa() -> Any:
    return pytest.importorskip("c2pa", reason="needs the extra [provenance]")


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac"])
def test_content_credentials_round_trip(
    c2pa: Any, speech: Speech, tmp_path: Path, ending: str
) -> None:
    path = tmp_path / f"speech.{ending}"
    speech.save(path, key=KEY, credentials=True)
    assert len(list(tmp_path.iterdir())) == 2
    report = describe_provenance(path)
    assert report["verified"] is True
    assert report["sidecar"]["fits"]
    inside = report["c2pa"]
    assert inside["found"]
    assert inside["valid"]
    assert inside["generator"] == "valle"
    assert inside["record"].items() >= RECORD.items()
    read, _ = soundfile.read(path)
    assert abs(len(read) - len(speech.audio)) < 2500
    # Read by the library with its default settings, as any other program would.
    with c2pa.Reader(path) as reader:
        actions = json.loads(reader.json())["manifests"].popitem()[1]["assertions"][0]
    assert actions["data"]["actions"][0]["digitalSourceType"].endswith("trainedAlgorithmicMedia")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    report = describe_provenance(path)
    assert report["verified"] is False
    assert not report["c2pa"]["valid"]
    assert report["c2pa"]["problems"]


def test_file_without_a_manifest_is_reported(c2pa: Any, speech: Speech, tmp_path: Path) -> None:
    for name in ("speech.wav", "speech.mp3", "speech.flac", "speech.ogg"):
        speech.save(tmp_path / name)
        assert content_credentials.read(tmp_path / name) == {"checked": True, "found": False}


def test_broken_manifest_never_crashes(c2pa: Any, speech: Speech, tmp_path: Path) -> None:
    path = tmp_path / "speech.mp3"
    speech.save(path, key=KEY, credentials=True)
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(original[: int(rng.integers(1, len(original) + 1))])
        for at in rng.integers(0, min(len(broken), 5000), 4):
            broken[at] = int(rng.integers(256))
        path.write_bytes(broken)
        report = describe_provenance(path)
        assert report["verified"] is False


def test_missing_c2pa_package_is_reported(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(content_credentials, "import_module", missing)
    report = describe_provenance(saved)
    assert report["verified"] is True
    assert not report["c2pa"]["checked"]
    assert "valle[provenance]" in report["c2pa"]["why"]
    with pytest.raises(valle.UsageError, match="provenance"):
        content_credentials.embed(saved, "wav", RECORD, KEY)
