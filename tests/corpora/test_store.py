"""Stores and the import of recordings: contents, atomic writing, checks of users' files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.audio_format import HOP
from valle.corpora.recordings import (
    REFUSED,
    PreparationTally,
    prepare_recordings,
    read_heldout,
    read_manifest,
)
from valle.corpora.store import (
    Labels,
    Store,
    StoreWriter,
    UtteranceInfo,
    by_speaker,
    split_into_batches,
)
from valle.errors import OutputError, RecordingError, UsageError


def wave(samples: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.9, 0.9, samples).astype(np.float32)


def write_store(folder: Path, *lengths: int) -> Store:
    writer = StoreWriter(folder)
    for number, length in enumerate(lengths):
        samples = wave(length, number)
        speaker = f"speaker {number % 2}"
        writer.add(
            UtteranceInfo(f"u{number}", "synthetic", speaker, "Hi.", waveform_is_clean=True),
            samples,
        )
    writer.close()
    return Store(folder)


def test_store_returns_what_was_written(tmp_path: Path) -> None:
    store = write_store(tmp_path / "store", 1000, 320, 641)
    assert [u.id for u in store.utterances] == ["u0", "u1", "u2"]
    assert [u.samples for u in store.utterances] == [1280, 320, 960]
    for number, (utterance, length) in enumerate(
        zip(store.utterances, (1000, 320, 641), strict=True)
    ):
        samples = store.waveform(utterance)
        assert samples.dtype == np.float32
        np.testing.assert_allclose(samples[:length], wave(length, number), atol=0.5 / 32768)
        assert not samples[length:].any()
    assert store.utterances[0].text == "Hi."
    assert store.utterances[0].waveform_is_clean


def test_sixteen_bit_samples_are_stored_unchanged(tmp_path: Path) -> None:
    values = np.array([-32768, -32767, -1, 0, 1, 2, 12345, 32767])
    writer = StoreWriter(tmp_path)
    samples = (values / 32768).astype(np.float32)
    writer.add(UtteranceInfo("u", "c", "s", None, waveform_is_clean=False), samples)
    writer.add(
        UtteranceInfo("loud", "c", "s", None, waveform_is_clean=False),
        np.array([1.0, 3.0, -3.0], np.float32),
    )
    writer.close()
    store = Store(tmp_path)
    assert store.audio[: len(values)].tolist() == values.tolist()
    assert store.audio[HOP : HOP + 3].tolist() == [32767, 32767, -32768]
    assert store.utterances[0].text is None


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_frames_match_samples(tmp_path_factory: pytest.TempPathFactory, lengths: list[int]) -> None:
    store = write_store(tmp_path_factory.mktemp("store"), *lengths)
    at = 0
    for utterance, length in zip(store.utterances, lengths, strict=True):
        assert utterance.offset % HOP == utterance.samples % HOP == 0
        assert 0 <= utterance.samples - length < HOP
        assert utterance.frames.start * HOP == utterance.offset
        assert utterance.frames.start == at
        at = utterance.frames.stop
    assert at * HOP == len(store.audio)


def test_labels_round_trip(tmp_path: Path) -> None:
    store = write_store(tmp_path, 5 * HOP, 3 * HOP, 4 * HOP)
    labels = {
        "u0": Labels(np.array([1, 9, 6]), np.array([0, 2, 0]), np.array([0, 1, 1, 1, 2])),
        "u2": Labels(np.array([1, 8]), np.array([0, 1]), np.array([0, 0, 1, 1])),
    }
    store.write_labels(labels)
    restored = Store(tmp_path).labels
    assert list(restored) == ["u0", "u2"]
    for name, label in labels.items():
        for field in ("symbols", "stress", "frame_symbol"):
            array = getattr(restored[name], field)
            assert array.dtype == np.int64
            np.testing.assert_array_equal(array, getattr(label, field))
    Store(tmp_path).write_labels({})
    assert Store(tmp_path).labels == {}


def test_codes_round_trip(tmp_path: Path) -> None:
    store = write_store(tmp_path, 5 * HOP, 3 * HOP)
    codes = np.arange(64, dtype=np.int16).reshape(8, 8)
    store.write_codes(codes)
    again = Store(tmp_path)
    np.testing.assert_array_equal(again.codes[again.utterances[1].frames], codes[5:])


def test_speaker_embeddings_round_trip(tmp_path: Path) -> None:
    store = write_store(tmp_path, 5 * HOP, 3 * HOP)
    voices = np.random.default_rng(0).standard_normal((2, 192)).astype(np.float32)
    store.write_voices(voices)
    again = Store(tmp_path)
    assert again.voices.dtype == np.float32
    np.testing.assert_array_equal(again.voices, voices)
    assert not list(tmp_path.glob("*tmp*"))


@pytest.mark.parametrize(
    ("attribute", "name", "stage"),
    [
        ("codes", "codes", "codes"),
        ("voices", "speaker embeddings", "codes"),
        ("labels", "labels", "labels"),
    ],
)
def test_missing_files_are_reported_with_their_command(
    tmp_path: Path, attribute: str, name: str, stage: str
) -> None:
    store = write_store(tmp_path, HOP)
    with pytest.raises(UsageError, match=f"no {name}; run `valle prepare {stage}`"):
        getattr(store, attribute)
    with pytest.raises(UsageError, match="valle prepare"):
        Store(tmp_path / "nothing")


def test_interrupted_writing_leaves_no_store(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path)
    writer.add(UtteranceInfo("u", "c", "s", None, waveform_is_clean=True), wave(HOP))
    with pytest.raises(UsageError):
        Store(tmp_path)


def test_interrupted_writing_keeps_previous_store(tmp_path: Path) -> None:
    before = write_store(tmp_path, 640).waveform(Store(tmp_path).utterances[0])
    writer = StoreWriter(tmp_path)
    writer.add(UtteranceInfo("other", "c", "s", None, waveform_is_clean=True), wave(HOP, 9))
    again = Store(tmp_path)
    np.testing.assert_array_equal(again.waveform(again.utterances[0]), before)


def test_new_store_removes_derived_files_of_previous_one(tmp_path: Path) -> None:
    store = write_store(tmp_path, 5 * HOP)
    store.write_codes(np.zeros((5, 8), np.int16))
    store.write_predicted(np.zeros((5, 8), np.int16))
    store.write_labels({})
    store.write_voices(np.zeros((1, 192), np.float32))
    again = write_store(tmp_path, 2 * HOP)
    for attribute in ("codes", "labels", "voices"):
        with pytest.raises(UsageError):
            getattr(again, attribute)
    assert again.predicted is None


def test_empty_store_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to prepare"):
        StoreWriter(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_grouping_by_speaker_and_batching(tmp_path: Path) -> None:
    store = write_store(tmp_path, *[HOP] * 5)
    groups = by_speaker(store.utterances)
    assert {name: [u.id for u in group] for name, group in groups.items()} == {
        "speaker 0": ["u0", "u2", "u4"],
        "speaker 1": ["u1", "u3"],
    }
    assert [[u.id for u in batch] for batch in split_into_batches(store.utterances, 2)] == [
        ["u0", "u1"],
        ["u2", "u3"],
        ["u4"],
    ]


def test_index_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    store = write_store(tmp_path, HOP)
    row = {**vars(store.utterances[0]), "corpus": "made-espeak", "made": True}
    del row["is_synthetic"]
    (tmp_path / "utterances.jsonl").write_text(json.dumps(row) + "\n")
    (utterance,) = Store(tmp_path).utterances
    assert utterance.is_synthetic
    assert utterance.corpus == "synthetic-espeak"


@pytest.mark.parametrize("line", ["{", "[]", '{"id": "a"}', "null"])
def test_damaged_index_is_reported_with_line_number(tmp_path: Path, line: str) -> None:
    write_store(tmp_path, HOP)
    with (tmp_path / "utterances.jsonl").open("a") as index:
        index.write(line + "\n")
    with pytest.raises(UsageError, match="line 2 is damaged"):
        Store(tmp_path)


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


def prepare(manifest: Path, **changes: Path) -> PreparationTally:
    heldout = changes.get("heldout", manifest.parent / "heldout.txt")
    return prepare_recordings(manifest, manifest.parent / "out", heldout, workers=1, quiet=True)


def test_held_out_speakers_are_excluded(manifest: Path) -> None:
    assert prepare(manifest).kept == 2
    store = Store(manifest.parent / "out")
    assert [u.speaker for u in store.utterances] == ["one two", "one two"]
    assert [u.text for u in store.utterances] == ["Hi.", None]
    assert [u.samples for u in store.utterances] == [1600, 1600]  # 8 kHz, resampled to 16


def test_missing_heldout_list_is_an_error(manifest: Path) -> None:
    with pytest.raises(UsageError, match="held-out"):
        prepare(manifest, heldout=manifest.parent / "nowhere.txt")
    assert not (manifest.parent / "out" / "utterances.jsonl").exists()


def test_unreadable_recordings_are_set_aside(manifest: Path) -> None:
    (manifest.parent / "b.wav").write_bytes(b"no sound")
    tally = prepare(manifest)
    assert (tally.kept, tally.refused) == (1, 1)
    assert (tally.seconds_kept, tally.seconds_refused) == (0.1, 0.1)
    (refused,) = map(json.loads, (manifest.parent / "out" / REFUSED).read_text().splitlines())
    assert refused["audio"] == "b.wav"
    assert "b.wav cannot be read" in refused["reason"]
    (manifest.parent / "a.wav").unlink()
    with pytest.raises(RecordingError, match=r"a\.wav"):
        prepare(manifest)
    assert len(Store(manifest.parent / "out").utterances) == 1  # the store before


GOOD_ROW = {"audio": "a.wav", "corpus": "c", "speaker": "s", "text": None, "seconds": 1.0}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not JSON", "line 2: Expecting value"),
        ("[1]", "line 2: a row must be a JSON object"),
        (json.dumps({**GOOD_ROW, "speaker": None}), 'line 2: "speaker" must be a non-empty string'),
        (json.dumps({"audio": "a.wav", "corpus": "c"}), 'line 2: "speaker" must be'),
        (json.dumps({**GOOD_ROW, "audio": ""}), 'line 2: "audio" must be'),
        (json.dumps({**GOOD_ROW, "text": 3}), 'line 2: "text" must be a string or null'),
        (
            json.dumps({**GOOD_ROW, "seconds": "long"}),
            'line 2: "seconds" must be a positive number',
        ),
        (json.dumps({**GOOD_ROW, "seconds": 0}), 'line 2: "seconds" must be a positive number'),
        (json.dumps({**GOOD_ROW, "seconds": float("inf")}), 'line 2: "seconds" must be a positive'),
        (json.dumps({**GOOD_ROW, "start": float("inf")}), 'line 2: "start" must be a number'),
        (json.dumps({**GOOD_ROW, "start": float("nan")}), 'line 2: "start" must be a number'),
        ("[" * 100_000, "line 2"),
    ],
)
def test_malformed_manifest_row_is_reported_with_line_number(
    tmp_path: Path, line: str, message: str
) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps(GOOD_ROW) + "\n" + line + "\n")
    with pytest.raises(UsageError, match=message):
        read_manifest(path)


def test_a_part_behind_the_end_is_refused(manifest: Path) -> None:
    rows = [GOOD_ROW | {"start": start, "seconds": 0.05} for start in (0.0, 0.1, 5.0)]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tally = prepare(manifest)
    assert (tally.kept, tally.refused) == (1, 2)
    assert [u.samples for u in Store(manifest.parent / "out").utterances] == [960]


def test_names_that_are_not_utf_8_are_listed(manifest: Path) -> None:
    name = b"\xff.wav".decode("utf-8", "surrogateescape")
    rows = [GOOD_ROW | {"seconds": 0.1, "speaker": name}, GOOD_ROW | {"audio": name}]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tally = prepare(manifest)
    assert (tally.kept, tally.refused) == (1, 1)
    assert [u.speaker for u in Store(manifest.parent / "out").utterances] == [name]
    (refused,) = map(json.loads, (manifest.parent / "out" / REFUSED).read_text().splitlines())
    assert refused["audio"] == name


def test_damaged_hashes_count_as_unknown(tmp_path: Path) -> None:
    writer = StoreWriter(tmp_path)
    writer.add(UtteranceInfo("a", "c", "s", None, waveform_is_clean=True), np.ones(320, np.float32))
    writer.close()
    store = Store(tmp_path)
    store.write_labeled_by({"ar": "hash"})
    assert store.labeled_by == {"ar": "hash"}
    (tmp_path / "labeled_by.json").write_text("{")
    assert store.labeled_by == {}


def test_a_store_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot write"):
        StoreWriter(tmp_path / "file")


def test_manifest_fills_in_text_and_seconds(manifest: Path) -> None:
    manifest.write_text('\n{"audio": "a.wav", "corpus": "c", "speaker": "s"}\n')
    assert read_manifest(manifest) == [{**GOOD_ROW, "seconds": 0.1}]
    manifest.write_text('{"audio": "none.wav", "corpus": "c", "speaker": "s"}\n')
    with pytest.raises(RecordingError, match=r"none\.wav"):
        read_manifest(manifest)


def test_empty_or_binary_manifest_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text("\n")
    with pytest.raises(UsageError, match="lists no recordings"):
        read_manifest(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        read_manifest(path)
    with pytest.raises(UsageError, match="--manifest"):
        read_manifest(tmp_path / "nowhere.jsonl")


def test_heldout_list_is_optional_and_checked(tmp_path: Path) -> None:
    assert read_heldout(None) == frozenset()
    path = tmp_path / "heldout.txt"
    path.write_text("one two\n\n  three\n")
    assert read_heldout(path) == {"one two", "three"}
    path.write_text(json.dumps(GOOD_ROW))
    with pytest.raises(UsageError, match="line 1.*is not a speaker's name"):
        read_heldout(path)
