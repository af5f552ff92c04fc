"""A voice file is read back as it was written, or refused with the reason."""

from __future__ import annotations

import dataclasses
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.errors import ConsentError, OutputError, RecordingError
from valle.trust import keys
from valle.voices import registry
from valle.voices.voice import Voice
from voice_files import (
    GRAPH,
    RATE,
    assert_same_voice,
    attest,
    make_voice,
    pack,
    put_together,
    take_apart,
)

# --- the file -------------------------------------------------------------------------------


def test_voice_is_read_back_as_it_was(tmp_path: Path) -> None:
    voice = make_voice()
    voice.save(tmp_path / "anna.safetensors")
    assert_same_voice(Voice.load(tmp_path / "anna.safetensors"), voice)
    assert os.listdir(tmp_path) == ["anna.safetensors"]
    assert make_voice().to_bytes() == voice.to_bytes()
    assert_same_voice(Voice.from_bytes(put_together(*take_apart(voice.to_bytes()))), voice)


def test_name_of_any_script_is_read_back_in_normal_form() -> None:
    voice = make_voice("Zoe\u0308 \u0410\u043d\u043d\u0430")
    assert voice.name == "Zo\u00eb \u0410\u043d\u043d\u0430"
    assert_same_voice(Voice.from_bytes(voice.to_bytes()), voice)


def test_lists_are_accepted_and_a_voice_may_have_no_name() -> None:
    voice = make_voice(name="", symbols=["^", "."], stress=[0, 0], frame_symbol=np.array([0, 1]))
    assert voice.symbols == ("^", ".")
    assert_same_voice(Voice.from_bytes(voice.to_bytes()), voice)


def test_derived_arrays_are_computed_once_and_stored() -> None:
    voice = make_voice()
    calls: list[int] = []

    def compute() -> np.ndarray:
        calls.append(1)
        return np.ones(4)

    for _ in range(2):
        assert voice.derive("embedding", "cd" * 32, compute).tolist() == [1, 1, 1, 1]
    assert calls == [1]
    loaded = Voice.from_bytes(voice.to_bytes())
    stored = loaded.derive("codes", GRAPH, lambda: pytest.fail("computed again"))
    assert stored.shape == (75, 8)
    assert loaded.derive("codes", "ef" * 32, lambda: np.zeros((1, 2), int)).tolist() == [[0, 0]]


def test_missing_foreign_and_truncated_files_are_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "a.safetensors", make_voice().to_bytes()
    with pytest.raises(RecordingError, match="there is no voice file"):
        Voice.load(path)
    with pytest.raises(RecordingError, match="cannot read"):
        Voice.load(tmp_path)
    foreign = [
        b"",
        b"RIFF....WAVEfmt " * 100,
        np.random.default_rng(0).bytes(5000),
        struct.pack("<Q", 1 << 60) + b"{}",
        safetensors.numpy.save({"audio": np.zeros(4)}),
        safetensors.numpy.save({"audio": np.zeros(4)}, {"valle": "[" * 100_000}),
        safetensors.numpy.save({"audio": np.zeros(4)}, {"valle": '{"format":2}'}),
        *(data[: int(len(data) * share)] for share in (0.999, 0.5, 0.01)),
        data + b"x",
    ]
    for content in foreign:
        path.write_bytes(content)
        with pytest.raises(RecordingError, match="a.safetensors is not a voice file, or is damag"):
            Voice.load(path)
    with path.open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(RecordingError, match="too large"):
        Voice.load(path)


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), header=st.booleans())
def test_every_changed_byte_is_noticed(place: float, change: int, header: bool) -> None:
    voice = make_voice()
    data = bytearray(voice.to_bytes())
    end = 8 + struct.unpack_from("<Q", data)[0] if header else len(data)
    data[int(place * end)] ^= change
    try:
        loaded = Voice.from_bytes(bytes(data))
    except (RecordingError, ConsentError):
        return
    assert_same_voice(loaded, voice)  # white space for white space in the JSON


def test_later_format_is_refused_by_number() -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    with pytest.raises(RecordingError, match="format 3, made by a later version"):
        Voice.from_bytes(put_together(metadata | {"format": 3}, tensors))


def test_unsigned_file_of_format_1_is_refused() -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    del metadata["seal"]
    with pytest.raises(ConsentError, match="before voices were signed.* enroll"):
        Voice.from_bytes(pack(metadata | {"format": 1, "digest": "0" * 64}, tensors))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "../x"}, "cannot name a voice"),
        ({"name": 3}, "cannot name a voice"),
        ({"sample_rate": "8000"}, "sample rate"),
        ({"sample_rate": True}, "sample rate"),
        ({"symbols": []}, "0 symbols"),
        ({"symbols": "^həl."}, "symbols are not texts"),
        ({"symbols": ["^", 1, "", "l", "o", "."]}, "symbols are not texts"),
        ({"stress": [0, 0, 0, 0, 3, 0]}, "stress"),
        ({"stress": [0, 0, 0, 0, 2]}, "6 symbols and 5 stress"),
        ({"warnings": [1]}, "warnings"),
        ({"warnings": None}, "warnings"),
        ({"extra": 1}, "not a voice file"),
    ],
)
def test_every_field_is_validated(change: dict[str, Any], reason: str) -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    with pytest.raises(RecordingError, match=reason):
        Voice.from_bytes(put_together(metadata | change, tensors))


@pytest.mark.parametrize("change", [{"name": "Berta"}, {"stress": [0, 0, 0, 0, 1, 0]}])
def test_changed_field_needs_a_new_signature(change: dict[str, Any]) -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    with pytest.raises(ConsentError, match="altered or damaged"):
        Voice.from_bytes(pack(metadata | change, tensors))
    Voice.from_bytes(put_together(metadata | change, tensors))


@pytest.mark.parametrize("missing", ["audio", "frame_symbol"])
def test_file_without_a_tensor_is_refused(missing: str) -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    del tensors[missing]
    with pytest.raises(RecordingError, match=f"lacks '{missing}'"):
        Voice.from_bytes(put_together(metadata, tensors))


def test_parts_that_do_not_fit_together_are_refused() -> None:
    audio = make_voice().audio

    def assert_refused(reason: str, **changes: Any) -> None:
        if "audio" in changes:
            changes["consent"] = attest(changes["audio"], RATE)
        with pytest.raises(RecordingError, match=reason):
            make_voice(**changes)

    assert_refused("lasts 1.00 s", audio=audio[:8000])
    assert_refused("lasts 61.00 s", audio=np.zeros(61 * RATE, np.float32))
    assert_refused("float64", audio=audio.astype(np.float64))
    assert_refused("float32", audio=audio[None])
    assert_refused(r"not in \[-1, 1\]", audio=audio * 4)
    with_nan = np.where(np.arange(len(audio)) == 5, np.float32(np.nan), audio)
    assert_refused(r"not in \[-1, 1\]", audio=with_nan)
    for path in ([1, 0], [-1, 0], [0, 6]):
        assert_refused("does not go forward", frame_symbol=np.array(path))
    assert_refused("int32", frame_symbol=np.zeros(4, np.int32))
    assert_refused("int64", frame_symbol=np.zeros(0, np.int64))
    assert_refused("longer than", symbols=("a",) * 100_000, stress=(0,) * 100_000)


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("codes", np.zeros((3, 8), np.int64)),
        (f"codes.{GRAPH}", np.full((3, 8), np.nan)),
        (f"codes.{GRAPH}", np.zeros(3, np.int64)),
        (f"embedding.{GRAPH}", np.zeros((2, 192), np.float32)),
        (f"embedding.{GRAPH}", np.full(192, np.nan, np.float32)),
        (f"embedding.{GRAPH}", np.zeros(0, np.float32)),
    ],
)
def test_tensors_that_no_graph_computes_are_refused(name: str, tensor: np.ndarray) -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    tensors.pop(f"codes.{GRAPH}")
    with pytest.raises(RecordingError, match="unknown tensor"):
        Voice.from_bytes(put_together(metadata, tensors | {name: tensor}))


def test_nobody_hands_in_what_graphs_compute() -> None:
    ours, theirs = make_voice(), make_voice("Berta")
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(ours, derived=dict(theirs.derived))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        ours.derived[f"codes.{GRAPH}"] = np.zeros((75, 8), np.int64)  # type: ignore[index]
    assert dict(dataclasses.replace(ours, name="Carl").derived) == {}  # computed again
    assert ours.with_name("Carl").derived.keys() == ours.derived.keys()
    for array in (ours.audio, ours.frame_symbol, *ours.derived.values()):
        assert isinstance(array, np.ndarray)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize("part", ["audio", f"codes.{GRAPH}"])
def test_voice_that_was_changed_in_place_is_neither_used_nor_sealed(part: str) -> None:
    voice = make_voice()
    array = voice.audio if part == "audio" else voice.derived[part]
    array.flags.writeable = True
    array[3] = 0 if array[3].any() else 1
    with pytest.raises(ConsentError, match="another recording"):
        voice.to_bytes()
    with pytest.raises(ConsentError, match="another recording"):
        voice.derive("embedding", GRAPH, lambda: np.ones(4))


def test_samples_swapped_while_something_is_computed_are_noticed() -> None:
    voice = make_voice()

    def compute() -> np.ndarray:
        voice.audio.flags.writeable = True
        voice.audio[:] = 0
        return np.ones(4)

    with pytest.raises(ConsentError, match="another recording"):
        voice.derive("embedding", GRAPH, compute)


@pytest.mark.skipif(os.name != "posix", reason="POSIX modes")
@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_file_is_private_whatever_umask_or_earlier_file_allow(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "a.safetensors"
    path.touch()
    path.chmod(0o666)
    before = os.umask(umask)
    try:
        make_voice().save(path)
        registry.add(make_voice("Anna"))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert registry.path("Anna").stat().st_mode & 0o777 == 0o600
    assert registry.folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.name != "posix", reason="POSIX devices")
def test_devices_and_pipes_are_no_voice_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in ("/dev/zero", tmp_path / "pipe", tmp_path / "link"):
        with pytest.raises(RecordingError, match="not a regular file"):
            Voice.load(path)


def test_voice_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        make_voice().save(tmp_path / "no" / "a.safetensors")


# --- consent (the receipt itself: tests/trust/test_receipts.py) -----------------------------


def test_another_recording_with_the_same_receipt_is_refused() -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    other = tensors | {"audio": tensors["audio"] * np.float32(0.5)}
    with pytest.raises(ConsentError, match="for another recording"):
        Voice.from_bytes(put_together(metadata, other), "a.safetensors")
    with pytest.raises(ConsentError, match="altered or damaged"):
        Voice.from_bytes(pack(metadata, other))
    with pytest.raises(ConsentError, match="for another recording"):
        Voice.from_bytes(put_together(metadata | {"sample_rate": 7999}, tensors))


def test_derived_arrays_of_another_voice_are_refused() -> None:
    metadata, tensors = take_apart(make_voice().to_bytes())
    tensors[f"codes.{GRAPH}"] = tensors[f"codes.{GRAPH}"] + 1
    with pytest.raises(ConsentError, match="altered or damaged"):
        Voice.from_bytes(pack(metadata, tensors))
    with pytest.raises(ConsentError, match="not known here"):
        Voice.from_bytes(put_together(metadata, tensors, keys.generate()))
