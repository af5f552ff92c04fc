"""Speech: saving with its provenance, joining."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import soundfile

import valle
from synthesis_helpers import TEXT
from valle.trust import ledger
from valle.watermark.embed import Payload


@pytest.fixture(scope="module")
def speech(model: valle.Model, voice: valle.Voice) -> valle.Speech:
    return model.speak(TEXT, voice, retries=0, seed=3)


def test_saved_file_states_its_provenance(
    speech: valle.Speech, voice: valle.Voice, tmp_path: Path
) -> None:
    speech.save(tmp_path / "speech.flac")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speech.flac", "speech.flac.json"]
    with soundfile.SoundFile(tmp_path / "speech.flac") as file:
        assert file.frames == len(speech.audio)
        assert file.samplerate == speech.sample_rate
        for part in ("valle", "Babble", "attested", voice.consent["id"]):
            assert part in file.comment
    record = json.loads((tmp_path / "speech.flac.json").read_text())
    assert record["made_by"].startswith("valle ")
    assert record["voice"] == "Babble"
    assert record["consent"] == {"kind": "attested", "id": voice.consent["id"]}
    assert record["options"] == speech.options
    assert speech.options["seed"] == 3
    assert speech.options["retries"] == 0
    payload = Payload.for_receipt(
        ledger.get_signing_key().derive_watermark_key(), voice.consent["id"]
    )
    assert record["watermark"] == {"version": 1, "payload": f"{payload.bits:08x}"}
    assert record["samples_sha256"] == hashlib.sha256(speech.audio.tobytes()).hexdigest()
    json.dumps(speech.describe())  # plain values only


@pytest.mark.parametrize("ending", ["wav", "flac", "mp3", "ogg"])
def test_voice_name_of_any_script_is_saved_in_every_format(
    speech: valle.Speech, tmp_path: Path, ending: str
) -> None:
    renamed = dataclasses.replace(speech, provenance=speech.provenance | {"voice": "Zoë"})
    renamed.save(tmp_path / f"speech.{ending}")
    record = json.loads((tmp_path / f"speech.{ending}.json").read_text("utf-8"))
    assert record["voice"] == "Zoë"
    with soundfile.SoundFile(tmp_path / f"speech.{ending}") as file:
        assert "voice Zo\\xeb" in file.comment


def test_failed_save_leaves_no_file(speech: valle.Speech, tmp_path: Path) -> None:
    (tmp_path / "taken.wav").mkdir()
    for target, error in (
        ("taken.wav", valle.OutputError),
        ("none/there.wav", valle.OutputError),
        ("speech.xyz", valle.UsageError),
    ):
        with pytest.raises(error):
            speech.save(tmp_path / target)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.wav"]


def test_joining_no_pieces_is_refused() -> None:
    with pytest.raises(valle.UsageError):
        valle.Speech.join([])
