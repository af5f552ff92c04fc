"""Speech: saving with its provenance, joining."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

import valle
from synthesis_helpers import TEXT
from valle.audio.loudness import measure_loudness
from valle.trust import ledger
from valle.watermark.detect import detect_watermark
from valle.watermark.embed import Payload, embed_watermark


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
    assert record["watermark"] == {"version": 2, "payload": f"{payload.bits:08x}"}
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


def test_a_record_tells_nothing_of_the_folders_of_its_speaker(
    model: valle.Model, voice: valle.Voice, tmp_path: Path
) -> None:
    lexicon = tmp_path / "private" / "words.csv"
    lexicon.parent.mkdir()
    lexicon.write_text("xyz, win\n")
    speech = model.speak("Xyz.", voice, retries=0, lexicon=str(lexicon))
    assert speech.options["lexicon"] == str(lexicon)  # from which it can be spoken again
    written = tmp_path / "written"
    written.mkdir()
    speech.save(written / "speech.wav", credentials=find_spec("c2pa") is not None)
    record = json.loads((written / "speech.wav.json").read_text())
    assert record["options"]["lexicon"] == "words.csv"
    for path in written.iterdir():
        assert b"private" not in path.read_bytes()
    assert "private" not in json.dumps(speech.describe())


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


def test_saved_file_has_the_loudness_and_the_rate(speech: valle.Speech, tmp_path: Path) -> None:
    codes = speech.codes.copy()
    for rate in (None, 24000, 48000):
        speech.save(tmp_path / "speech.wav", rate=rate)
        samples, saved_rate = soundfile.read(tmp_path / "speech.wav", dtype="float32")
        assert saved_rate == (rate or speech.sample_rate)
        assert len(samples) / saved_rate == pytest.approx(speech.seconds, abs=0.001)
        assert measure_loudness(samples, saved_rate) == pytest.approx(-16.0, abs=0.5)
        record = json.loads((tmp_path / "speech.wav.json").read_text())
        assert record["output"] == {"loudness": -16.0, "rate": saved_rate}
    speech.save(tmp_path / "quiet.wav", loudness=-30.0)
    samples, saved_rate = soundfile.read(tmp_path / "quiet.wav", dtype="float32")
    assert measure_loudness(samples, saved_rate) == pytest.approx(-30.0, abs=0.1)
    as_it_is, _ = speech.render(loudness=None)
    np.testing.assert_array_equal(as_it_is, speech.audio)
    np.testing.assert_array_equal(speech.codes, codes)


def test_watermark_is_found_at_any_loudness_and_rate(babble: NDArray[np.float32]) -> None:
    marked = embed_watermark(np.tile(babble, 2), 16000)
    none = np.zeros((0, 1), np.int64)
    speech = valle.Speech(marked, 16000, none, [], [], None, [], {})
    scores = []
    for loudness in (None, -40.0, -23.0, -16.0):
        for rate in (16000, 48000):
            samples, _ = speech.render(loudness=loudness, rate=rate)
            detection = detect_watermark(samples, rate)
            assert detection.found
            scores.append(detection.score)
    assert min(scores) > 0.9 * max(scores)
