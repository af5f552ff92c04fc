"""Stores: what goes in comes out, frames lie on samples, and no half-written one is seen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.corpora.recordings import prepare_recordings
from valle.corpora.store import HOP, Labels, Store, StoreWriter, batches_of, by_speaker
from valle.errors import RecordingError, UsageError


def wave(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.9, 0.9, samples).astype(np.float32)


def written(folder: Path, *lengths: int) -> Store:
    writer = StoreWriter(folder)
    for number, length in enumerate(lengths):
        samples = wave(length, number)
        speaker = f"speaker {number % 2}"
        writer.add(f"u{number}", "made", speaker, samples, "Hi.", waveform_is_clean=True)
    writer.close()
    return Store(folder)


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    store = written(tmp_path / "store", 1000, 320, 641)
    assert [u.id for u in store.utterances] == ["u0", "u1", "u2"]
    assert [u.samples for u in store.utterances] == [1280, 320, 960]
    for number, (utterance, length) in enumerate(
        zip(store.utterances, (1000, 320, 641), strict=True)
    ):
        found = store.waveform(utterance)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[:length], wave(length, number), atol=0.5 / 32768)
        assert not found[length:].any()
    assert store.utterances[0].text == "Hi." and store.utterances[0].waveform_is_clean


def test_sixteen_bit_samples_stay_what_they_are(tmp_path: Path) -> None:
    values = np.array([-32768, -32767, -1, 0, 1, 2, 12345, 32767])
    writer = StoreWriter(tmp_path)
    samples = (values / 32768).astype(np.float32)
    writer.add("u", "c", "s", samples, None, waveform_is_clean=False)
    writer.add("loud", "c", "s", np.float32([1.0, 3.0, -3.0]), None, waveform_is_clean=False)
    writer.close()
    store = Store(tmp_path)
    assert store.audio[: len(values)].tolist() == values.tolist()
    assert store.audio[HOP : HOP + 3].tolist() == [32767, 32767, -32768]
    assert store.utterances[0].text is None


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_frames_lie_on_samples(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int]
) -> None:
    store = written(tmp_path_factory.mktemp("store"), *lengths)
    at = 0
    for utterance, length in zip(store.utterances, lengths, strict=True):
        assert utterance.offset % HOP == utterance.samples % HOP == 0
        assert 0 <= utterance.samples - length < HOP
        assert utterance.frames.start * HOP == utterance.offset
        assert utterance.frames.start == at
        at = utterance.frames.stop
    assert at * HOP == len(store.audio)


def test_labels_come_back(tmp_path: Path) -> None:
    store = written(tmp_path, 5 * HOP, 3 * HOP, 4 * HOP)
    labels = {
        "u0": Labels(np.array([1, 9, 6]), np.array([0, 2, 0]), np.array([0, 1, 1, 1, 2])),
        "u2": Labels(np.array([1, 8]), np.array([0, 1]), np.array([0, 0, 1, 1])),
    }
    store.write_labels(labels)
    found = Store(tmp_path).labels
    assert list(found) == ["u0", "u2"]
    for name, label in labels.items():
        for field in ("symbols", "stress", "frame_symbol"):
            one = getattr(found[name], field)
            assert one.dtype == np.int64
            np.testing.assert_array_equal(one, getattr(label, field))
    Store(tmp_path).write_labels({})
    assert Store(tmp_path).labels == {}


def test_codes_come_back(tmp_path: Path) -> None:
    store = written(tmp_path, 5 * HOP, 3 * HOP)
    codes = np.arange(64, dtype=np.int16).reshape(8, 8)
    store.write_codes(codes)
    again = Store(tmp_path)
    np.testing.assert_array_equal(again.codes[again.utterances[1].frames], codes[5:])


def test_voices_come_back(tmp_path: Path) -> None:
    store = written(tmp_path, 5 * HOP, 3 * HOP)
    voices = np.random.default_rng(0).standard_normal((2, 192)).astype(np.float32)
    store.write_voices(voices)
    again = Store(tmp_path)
    assert again.voices.dtype == np.float32
    np.testing.assert_array_equal(again.voices, voices)
    assert not list(tmp_path.glob("*tmp*"))


@pytest.mark.parametrize(
    ("what", "stage"), [("codes", "codes"), ("voices", "codes"), ("labels", "labels")]
)
def test_what_is_missing_is_named_with_its_command(tmp_path: Path, what: str, stage: str) -> None:
    store = written(tmp_path, HOP)
    with pytest.raises(UsageError, match=f"no {what}; run `valle prepare {stage}`"):
        getattr(store, what)
    with pytest.raises(UsageError, match="valle prepare"):
        Store(tmp_path / "nothing")


def test_interrupted_writing_leaves_no_store(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path)
    writer.add("u", "c", "s", wave(HOP), None, waveform_is_clean=True)
    with pytest.raises(UsageError):
        Store(tmp_path)


def test_interrupted_writing_keeps_the_store_that_was_there(tmp_path: Path) -> None:
    before = written(tmp_path, 640).waveform(Store(tmp_path).utterances[0])
    writer = StoreWriter(tmp_path)
    writer.add("other", "c", "s", wave(HOP, 9), None, waveform_is_clean=True)
    again = Store(tmp_path)
    np.testing.assert_array_equal(again.waveform(again.utterances[0]), before)


def test_a_new_store_keeps_no_codes_or_labels_of_the_old(tmp_path: Path) -> None:
    store = written(tmp_path, 5 * HOP)
    store.write_codes(np.zeros((5, 8), np.int16))
    store.write_labels({})
    store.write_voices(np.zeros((1, 192), np.float32))
    again = written(tmp_path, 2 * HOP)
    for what in ("codes", "labels", "voices"):
        with pytest.raises(UsageError):
            getattr(again, what)


def test_nothing_kept_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing"):
        StoreWriter(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_groups_and_batches(tmp_path: Path) -> None:
    store = written(tmp_path, *[HOP] * 5)
    groups = by_speaker(store.utterances)
    assert {name: [u.id for u in group] for name, group in groups.items()} == {
        "speaker 0": ["u0", "u2", "u4"],
        "speaker 1": ["u1", "u3"],
    }
    assert [[u.id for u in part] for part in batches_of(store.utterances, 2)] == [
        ["u0", "u1"],
        ["u2", "u3"],
        ["u4"],
    ]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three recordings of two speakers, one of them held out; one at 8 kHz, one stereo."""
    soundfile.write(tmp_path / "a.wav", wave(1600), 16000)
    soundfile.write(tmp_path / "b.wav", np.stack([wave(800), wave(800)], axis=1), 8000)
    soundfile.write(tmp_path / "c.wav", wave(1600, 3), 16000)
    rows = [("a.wav", "one two", "Hi."), ("b.wav", "one two", None), ("c.wav", "hidden 2", "No.")]
    path = tmp_path / "manifest.jsonl"
    with path.open("w") as out:
        for audio, speaker, text in rows:
            row = {"audio": audio, "corpus": "c", "speaker": speaker, "text": text, "seconds": 0.1}
            out.write(json.dumps(row) + "\n")
    (tmp_path / "heldout.txt").write_text("someone\nhidden 2\n")
    return path


def prepare(manifest: Path, **changes: Path) -> int:
    heldout = changes.get("heldout", manifest.parent / "heldout.txt")
    return prepare_recordings(manifest, manifest.parent / "out", heldout, workers=1, quiet=True)


def test_held_out_speakers_never_enter_a_store(manifest: Path) -> None:
    assert prepare(manifest) == 2
    store = Store(manifest.parent / "out")
    assert [u.speaker for u in store.utterances] == ["one two", "one two"]
    assert [u.text for u in store.utterances] == ["Hi.", None]
    assert [u.samples for u in store.utterances] == [1600, 1600]  # 8 kHz, brought to 16


def test_a_list_of_held_out_speakers_that_is_not_there_is_an_error(manifest: Path) -> None:
    with pytest.raises(UsageError, match="held-out"):
        prepare(manifest, heldout=manifest.parent / "nowhere.txt")
    assert not (manifest.parent / "out" / "utterances.jsonl").exists()


def test_a_recording_that_cannot_be_read_is_named(manifest: Path) -> None:
    (manifest.parent / "b.wav").write_bytes(b"no sound")
    with pytest.raises(RecordingError, match=r"b\.wav"):
        prepare(manifest)
    with pytest.raises(UsageError):
        Store(manifest.parent / "out")
