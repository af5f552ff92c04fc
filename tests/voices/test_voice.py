"""A voice file is read back as it was, or refused with the reason; the registry keeps names."""

import dataclasses
import hashlib
import json
import os
import struct

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.errors import ConsentError, Error, OutputError, RecordingError, UsageError
from valle.trust import keys, ledger, receipts
from valle.trust.canonical_json import canonicalize
from valle.voices import registry
from valle.voices.names import check_name
from valle.voices.voice import Voice, recording_sha256

RATE = 8000
GRAPH = "ab" * 32
STATEMENT = "I hold the rights to this voice"


def voice(name="Anna", **changes):
    audio = (0.3 * np.sin(np.arange(int(1.5 * RATE)) * 0.1)).astype(np.float32)
    parts = {
        "name": name,
        "audio": audio,
        "sample_rate": RATE,
        "symbols": ("^", "h", "ə", "l", "oʊ", "."),
        "stress": (0, 0, 0, 0, 2, 0),
        "frame_symbol": np.repeat([0, 1, 2, 3, 4, 5], [3, 10, 12, 20, 25, 5]),
        "consent": attest(STATEMENT, audio, RATE),
        "warnings": ("it is noisy",),
        "derived": {f"codes.{GRAPH}": np.arange(600).reshape(75, 8)},
    }
    return Voice(**(parts | changes))


def attest(statement, audio, rate):
    return receipts.attest(statement, recording_sha256(audio, rate))


def same(a, b):
    for name in ("name", "sample_rate", "symbols", "stress", "warnings"):
        assert getattr(a, name) == getattr(b, name)
    assert dict(a.consent) == dict(b.consent)
    for x, y in ((a.audio, b.audio), (a.frame_symbol, b.frame_symbol)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)
    assert a.derived.keys() == b.derived.keys()
    for key in a.derived:
        np.testing.assert_array_equal(a.derived[key], b.derived[key])


def taken_apart(data):
    """The facts of a voice file, and its tensors."""
    (length,) = struct.unpack_from("<Q", data)
    facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["valle"])
    return facts, safetensors.numpy.load(data)


def put_together(facts, tensors, key=None):
    """A voice file by somebody who has the key, the user's own if none is given."""
    facts = {name: value for name, value in facts.items() if name != "seal"}
    held = {
        name: [str(t.dtype), list(t.shape), hashlib.sha256(t.tobytes()).hexdigest()]
        for name, t in tensors.items()
    }
    key = key or ledger.get_signing_key()
    facts["seal"] = {"key": key.id, "signature": key.sign("voice", canonicalize([facts, held]))}
    return safetensors.numpy.save(tensors, {"valle": json.dumps(facts)})


# --- the file -------------------------------------------------------------------------------


def test_a_voice_comes_back_as_it_was(tmp_path):
    kept = voice()
    kept.save(tmp_path / "anna.safetensors")
    same(Voice.load(tmp_path / "anna.safetensors"), kept)
    assert os.listdir(tmp_path) == ["anna.safetensors"]
    assert voice().to_bytes() == kept.to_bytes()
    same(Voice.from_bytes(put_together(*taken_apart(kept.to_bytes()))), kept)


def test_lists_will_do_and_a_voice_may_have_no_name():
    made = voice(name="", symbols=["^", "."], stress=[0, 0], frame_symbol=np.array([0, 1]))
    assert made.symbols == ("^", ".")
    same(Voice.from_bytes(made.to_bytes()), made)


def test_what_a_graph_makes_is_kept_with_the_voice():
    calls = []
    made = voice()
    for _ in range(2):
        embedding = made.derive("embedding", "cd" * 32, lambda: calls.append(1) or np.ones(4))
    assert calls == [1] and embedding.tolist() == [1, 1, 1, 1]
    kept = Voice.from_bytes(made.to_bytes())
    assert kept.derive("codes", GRAPH, lambda: pytest.fail("made again")).shape == (75, 8)
    assert kept.derive("codes", "ef" * 32, lambda: np.zeros(2)).tolist() == [0, 0]


def test_missing_foreign_and_cut_off_files_are_refused(tmp_path):
    path, data = tmp_path / "a.safetensors", voice().to_bytes()
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
        with pytest.raises(RecordingError, match="a.safetensors is no voice file, or a damaged"):
            Voice.load(path)
    with open(path, "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(RecordingError, match="too large"):
        Voice.load(path)


@settings(max_examples=200, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255), header=st.booleans())
def test_no_changed_byte_goes_unnoticed(place, change, header):
    kept = voice()
    data = bytearray(kept.to_bytes())
    end = 8 + struct.unpack_from("<Q", data)[0] if header else len(data)
    data[int(place * end)] ^= change
    try:
        read = Voice.from_bytes(bytes(data))
    except (RecordingError, ConsentError):
        return
    same(read, kept)  # a blank for a blank in the JSON


def test_a_later_format_is_refused_by_number():
    facts, tensors = taken_apart(voice().to_bytes())
    with pytest.raises(RecordingError, match="format 3, made by a later version"):
        Voice.from_bytes(put_together(facts | {"format": 3}, tensors))


def test_a_file_from_before_voices_were_signed_is_refused():
    facts, tensors = taken_apart(voice().to_bytes())
    facts = {name: value for name, value in facts.items() if name != "seal"}
    old = facts | {"format": 1, "digest": "0" * 64}
    with pytest.raises(ConsentError, match="before voices were signed.* enroll"):
        Voice.from_bytes(safetensors.numpy.save(tensors, {"valle": json.dumps(old)}))


ALTERED = [
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
    ({"extra": 1}, "no voice file"),
    ({"name": "Berta"}, None),
]


@pytest.mark.parametrize("change, why", ALTERED)
def test_every_fact_is_checked(change, why):
    facts, tensors = taken_apart(voice().to_bytes())
    if why is None:
        assert Voice.from_bytes(put_together(facts | change, tensors)).name == "Berta"
    else:
        with pytest.raises(RecordingError, match=why):
            Voice.from_bytes(put_together(facts | change, tensors))
    error = RecordingError if "extra" in change else ConsentError  # without a new signature
    with pytest.raises(error):
        Voice.from_bytes(safetensors.numpy.save(tensors, {"valle": json.dumps(facts | change)}))


@pytest.mark.parametrize("lacking", ["audio", "frame_symbol"])
def test_a_file_without_a_tensor_is_refused(lacking):
    facts, tensors = taken_apart(voice().to_bytes())
    del tensors[lacking]
    with pytest.raises(RecordingError, match=f"lacks '{lacking}'"):
        Voice.from_bytes(put_together(facts, tensors))


def test_parts_that_do_not_fit_are_refused():
    sound = voice().audio

    def check(why, **changes):
        if "audio" in changes:
            changes["consent"] = attest(STATEMENT, changes["audio"], RATE)
        with pytest.raises(RecordingError, match=why):
            voice(**changes)

    check("lasts 1.00 s", audio=sound[:8000])
    check("lasts 61.00 s", audio=np.zeros(61 * RATE, np.float32))
    check("float64", audio=sound.astype(np.float64))
    check("float32", audio=sound[None])
    check(r"not in \[-1, 1\]", audio=sound * 4)
    check(r"not in \[-1, 1\]", audio=np.where(np.arange(len(sound)) == 5, np.nan, sound))
    for wrong in ([1, 0], [-1, 0], [0, 6]):
        check("does not go forward", frame_symbol=np.array(wrong))
    check("int32", frame_symbol=np.zeros(4, np.int32))
    check("int64", frame_symbol=np.zeros(0, np.int64))
    check("something unknown", derived={"codes": np.zeros(3)})
    check("something unknown", derived={f"codes.{GRAPH}": np.array([np.nan])})


def test_a_voice_that_cannot_be_written_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="there is no folder"):
        voice().save(tmp_path / "no" / "a.safetensors")


# --- consent --------------------------------------------------------------------------------


def test_another_recording_under_the_same_receipt_is_refused():
    facts, tensors = taken_apart(voice().to_bytes())
    tensors["audio"] = tensors["audio"] * np.float32(0.5)
    with pytest.raises(ConsentError, match="not the one that its consent receipt is for"):
        Voice.from_bytes(put_together(facts, tensors), "a.safetensors")
    with pytest.raises(ConsentError, match="altered or damaged"):
        Voice.from_bytes(safetensors.numpy.save(tensors, {"valle": json.dumps(facts)}))
    facts["sample_rate"] = 7999
    with pytest.raises(ConsentError, match="not the one"):
        Voice.from_bytes(put_together(facts, taken_apart(voice().to_bytes())[1]))


def test_what_graphs_made_of_another_voice_cannot_be_put_beside_a_receipt():
    facts, tensors = taken_apart(voice().to_bytes())
    tensors[f"codes.{GRAPH}"] = tensors[f"codes.{GRAPH}"] + 1
    with pytest.raises(ConsentError, match="altered or damaged"):
        Voice.from_bytes(safetensors.numpy.save(tensors, {"valle": json.dumps(facts)}))
    with pytest.raises(ConsentError, match="key that is not known here"):
        Voice.from_bytes(put_together(facts, tensors, keys.generate()))


# The receipt itself: tests/trust/test_receipts.py.


# --- names ----------------------------------------------------------------------------------


def test_names_are_never_paths(home):
    for good in ("a", "Anna", "Anna B. 2-x_y", "9", "x" * 64):
        assert check_name(good) == good
    for bad in (
        "",
        " a",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "a\0",
        "a\n",
        "Zoë",
        "x" * 65,
    ):
        for use in (check_name, registry.path, registry.load, registry.remove, registry.check_free):
            with pytest.raises(UsageError, match="cannot name a voice"):
                use(bad)
    assert not (home / "voices").exists()


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20))
def test_a_name_that_passes_stays_in_its_folder(name):
    try:
        check_name(name)
    except UsageError:
        return
    assert os.path.basename(name) == name and os.path.normpath(f"f/{name}.x") == f"f/{name}.x"


def test_voices_are_added_listed_loaded_and_removed(home):
    assert registry.names() == []
    for name in ("Berta", "anna", "Carl"):
        file = registry.add(voice(name))
        assert file == home / "voices" / f"{name}.safetensors" == registry.path(name)
    (home / "voices" / "note.txt").touch()
    (home / "voices" / "-odd.safetensors").touch()
    assert registry.names() == ["anna", "Berta", "Carl"]
    same(registry.load("Berta"), voice("Berta"))
    assert registry.load("ANNA").name == "anna"
    registry.remove("Berta")
    assert registry.names() == ["anna", "Carl"]
    assert len(os.listdir(home / "voices")) == 4


def test_a_taken_name_is_refused_and_the_voice_stays(home):
    registry.add(voice("Anna"))
    other = voice("anna", warnings=())
    with pytest.raises(UsageError, match="'Anna' already"):
        registry.add(other)
    with pytest.raises(UsageError, match="already"):
        registry.check_free("ANNA")
    registry.check_free("Annb")
    same(registry.load("Anna"), voice("Anna"))
    with pytest.raises(UsageError, match="cannot name"):
        registry.add(voice(""))


def test_of_two_at_once_one_gets_the_name(home, monkeypatch):
    registry.add(voice("Anna"))
    monkeypatch.setattr(registry, "names", list)  # both looked before either wrote
    with pytest.raises(UsageError, match="already"):
        registry.add(voice("Anna", warnings=()))
    assert Voice.load(home / "voices" / "Anna.safetensors").warnings == ("it is noisy",)
    assert os.listdir(home / "voices") == ["Anna.safetensors"]


def test_an_unknown_name_is_answered_with_those_like_it(home):
    with pytest.raises(UsageError, match="there are none yet; `valle enroll"):
        registry.load("Anna")
    for name in ("Anna", "Hannah", "Carl"):
        registry.add(voice(name))
    with pytest.raises(UsageError, match="did you mean 'Anna' or 'Hannah'\\?"):
        registry.load("Anno")
    with pytest.raises(UsageError, match="`valle voices` lists"):
        registry.remove("zzz")


def test_renaming_changes_file_and_voice(home):
    registry.add(voice("Anna"))
    registry.add(voice("Carl"))
    assert registry.rename("anna", "Berta").name == "Berta.safetensors"
    assert registry.names() == ["Berta", "Carl"]
    same(registry.load("Berta"), dataclasses.replace(voice("Anna"), name="Berta"))
    for old, new, why in (
        ("Berta", "carl", "already"),
        ("Berta", "berta", "already"),
        ("Anna", "Dora", "no voice named"),
        ("Berta", "../x", "cannot name"),
    ):
        with pytest.raises(UsageError, match=why):
            registry.rename(old, new)
    assert registry.names() == ["Berta", "Carl"]


def test_an_interrupted_rename_loses_nothing(home, monkeypatch):
    registry.add(voice("Anna"))

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", interrupted)
        with pytest.raises(KeyboardInterrupt):
            registry.rename("Anna", "Berta")
    assert os.listdir(home / "voices") == ["Anna.safetensors"]


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path, monkeypatch):
    made = voice()
    (tmp_path / "file").touch()
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="cannot make the folder"):
        registry.add(made)
    with pytest.raises(OutputError, match="cannot keep the ledger in .* VALLE_HOME"):
        voice()
    assert registry.names() == []


def test_without_valle_home_voices_are_in_the_users_data_folder(monkeypatch):
    monkeypatch.delenv("VALLE_HOME", raising=False)
    assert registry.folder().name == "voices" and registry.folder().parent.name == "valle"
    assert issubclass(ConsentError, Error) and ConsentError.exit_code == 6
