"""Signed records beside speech, Content Credentials inside it; `valle detect`, `valle verify`."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import valle
from valle.cli.main import main
from valle.detection.report import provenance_facts
from valle.synthesis.speech import Speech
from valle.trust import c2pa as content_credentials
from valle.trust import keys, ledger, provenance
from valle.watermark.embed import Payload, key_number, mark

RATE = 16_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY_ID = KEY.public_key().public_bytes_raw().hex()
OWNER_KEY = b"sixteen bytes and more"
RECORD = {
    "made_by": "valle 0.1.0",
    "model": "debug",
    "voice": "Ada",
    "consent": {"kind": "attested", "id": "c0ffee"},
    "watermark": {"version": 1, "payload": None},
}


@pytest.fixture(scope="module")
def speech() -> Speech:
    """3 s that are marked, with the owner's payload."""
    read, rate = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    assert rate == RATE
    payload = Payload.of(OWNER_KEY, "c0ffee")
    audio = mark(read[: 3 * RATE].astype(np.float32), RATE, OWNER_KEY, payload)
    none = np.zeros((0, 8), np.int64)
    return Speech(audio, RATE, none, [], [], None, [], RECORD)


@pytest.fixture
def saved(speech: Speech, tmp_path: Path) -> Path:
    speech.save(tmp_path / "said.wav", key=KEY)
    return tmp_path / "said.wav"


def rewrite(audio: Path, **changes: Any) -> None:
    """Change the record beside a file; None takes a field out."""
    path = provenance.sidecar_path(audio)
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


def test_a_saved_file_has_a_signed_record(saved: Path) -> None:
    read = provenance.read_sidecar(saved)
    assert read is not None and read.fits and read.signed and not read.altered
    assert read.key == KEY_ID
    assert read.record.items() >= RECORD.items()
    assert sorted(path.name for path in saved.parent.iterdir()) == ["said.wav", "said.wav.json"]
    facts = provenance_facts(saved)
    assert facts["verified"] is True and facts["sidecar"]["key"] == KEY_ID


def test_the_signature_is_that_of_rfc_8032() -> None:
    """Known answer: Ed25519 on the spelled-out message."""
    signed = provenance.sign({"b": 1, "a": "é"}, KEY)
    message = b'valle provenance\n{"a":"\\u00e9","b":1}'
    assert signed["signature"] == {"key": KEY_ID, "value": KEY.sign(message).hex()}


def test_the_same_speech_has_the_same_record(speech: Speech, saved: Path, tmp_path: Path) -> None:
    speech.save(tmp_path / "again.wav", key=KEY)
    one, two = (
        provenance.sidecar_path(tmp_path / n).read_bytes() for n in ("said.wav", "again.wav")
    )
    assert one == two


def test_a_record_that_nobody_signed(speech: Speech, tmp_path: Path) -> None:
    speech.save(tmp_path / "said.flac")
    rewrite(tmp_path / "said.flac", signature=None)
    read = provenance.read_sidecar(tmp_path / "said.flac")
    assert read is not None and read.fits and not read.signed and read.key is None
    assert not read.altered
    assert provenance_facts(tmp_path / "said.flac")["verified"] is None


def test_what_is_saved_is_signed_by_the_users_own_key(speech: Speech, tmp_path: Path) -> None:
    speech.save(tmp_path / "said.ogg")
    assert provenance_facts(tmp_path / "said.ogg")["sidecar"]["key"] == ledger.signer().id


def test_changes_are_noticed(saved: Path) -> None:
    good = provenance.sidecar_path(saved).read_bytes()
    record = json.loads(good)
    signature = record["signature"]
    other = Ed25519PrivateKey.generate()
    for changes in (
        {"voice": "Eve"},
        {"made_by": "valle 9"},
        {"file_sha256": "0" * 64},
        {"more": 1},
        {"model": None, "modell": "x"},
        {"signature": signature | {"value": "0" * 128}},
        {"signature": signature | {"key": other.public_key().public_bytes_raw().hex()}},
        {"signature": signature | {"key": "f" * 64}},
        {"signature": signature | {"value": signature["value"].upper()}},
        {"signature": signature | {"more": "not signed"}},
        {"signature": "signed"},
        {"signature": [1]},
    ):
        rewrite(saved, **changes)
        assert provenance_facts(saved)["verified"] is False, changes
        provenance.sidecar_path(saved).write_bytes(good)
    assert provenance_facts(saved)["verified"] is True
    with saved.open("r+b") as file:
        file.seek(1000)
        file.write(b"\x01")
    assert provenance_facts(saved)["verified"] is False
    assert provenance_facts(saved)["sidecar"]["fits"] is False


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b"1" * 10_000, b" " * (2 << 20)),
        *(b'{"made_by": NaN}', b'{"made_by": 1, "model": "x", "file_sha256": "y"}'),
    ],
    ids=range(10),
)
def test_what_is_no_record_is_refused(saved: Path, content: bytes) -> None:
    provenance.sidecar_path(saved).write_bytes(content)
    with pytest.raises(valle.RecordingError, match="is no record"):
        provenance.read_sidecar(saved)
    assert provenance_facts(saved)["verified"] is False


PLAIN = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ANYTHING = st.recursive(PLAIN, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=5)
FIELDS = [*RECORD, "signature", "file_sha256"]


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), ANYTHING, max_size=8))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_record_makes_it_fail(saved: Path, content: dict[str, Any]) -> None:
    provenance.sidecar_path(saved).write_text(json.dumps(content))
    try:
        read = provenance.read_sidecar(saved)
    except valle.RecordingError:
        return
    assert read is not None and read.altered


def test_a_save_that_fails_leaves_nothing(speech: Speech, tmp_path: Path) -> None:
    for name in (str(tmp_path / "said.ogg"), "-"):
        with pytest.raises(valle.UsageError):
            speech.save(name, key=KEY, credentials=True)
    assert not list(tmp_path.iterdir())


# --- C2PA


@pytest.fixture
def c2pa() -> Any:
    return pytest.importorskip("c2pa", reason="needs the extra [provenance]")


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac"])
def test_content_credentials(c2pa: Any, speech: Speech, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"said.{ending}"
    speech.save(path, key=KEY, credentials=True)
    assert len(list(tmp_path.iterdir())) == 2
    facts = provenance_facts(path)
    assert facts["verified"] is True and facts["sidecar"]["fits"]
    inside = facts["c2pa"]
    assert inside["found"] and inside["valid"] and inside["generator"] == "valle"
    assert inside["record"].items() >= RECORD.items()
    read, _ = soundfile.read(path)
    assert abs(len(read) - len(speech.audio)) < 2500
    # Read by the library as any other program would, with its own settings.
    with c2pa.Reader(path) as reader:
        actions = json.loads(reader.json())["manifests"].popitem()[1]["assertions"][0]
    assert actions["data"]["actions"][0]["digitalSourceType"].endswith("trainedAlgorithmicMedia")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    facts = provenance_facts(path)
    assert facts["verified"] is False and not facts["c2pa"]["valid"] and facts["c2pa"]["problems"]


def test_files_without_a_manifest(c2pa: Any, speech: Speech, tmp_path: Path) -> None:
    for name in ("said.wav", "said.mp3", "said.flac", "said.ogg"):
        speech.save(tmp_path / name)
        assert content_credentials.read(tmp_path / name) == {"checked": True, "found": False}


def test_broken_manifests_are_no_crash(c2pa: Any, speech: Speech, tmp_path: Path) -> None:
    path = tmp_path / "said.mp3"
    speech.save(path, key=KEY, credentials=True)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole[: int(rng.integers(1, len(whole) + 1))])
        for at in rng.integers(0, min(len(broken), 5000), 4):
            broken[at] = int(rng.integers(256))
        path.write_bytes(broken)
        facts = provenance_facts(path)
        assert facts["verified"] is False


def test_without_the_package_it_says_so(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(content_credentials, "import_module", missing)
    facts = provenance_facts(saved)
    assert facts["verified"] is True
    assert not facts["c2pa"]["checked"] and "valle[provenance]" in facts["c2pa"]["why"]
    with pytest.raises(valle.UsageError, match="provenance"):
        content_credentials.embed(saved, "wav", RECORD, KEY)


# --- the commands


def test_verify(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(saved)]) == 0
    assert KEY_ID in capsys.readouterr().out
    assert main(["verify", str(saved), "--key", KEY_ID, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    assert main(["verify", str(saved), "--key", "0" * 64]) == 8
    assert main(["verify", str(saved), "--key", "0"]) == 2
    assert main(["verify", str(saved.parent / "none.wav")]) == 3
    rewrite(saved, signature=None)
    assert main(["verify", str(saved)]) == 8
    rewrite(saved, file_sha256="0" * 64)
    assert main(["verify", str(saved), "--json"]) == 8
    output = capsys.readouterr()
    assert json.loads(output.out.splitlines()[-1])["verified"] is False
    assert "is not what was signed" in output.err
    provenance.sidecar_path(saved).unlink()
    assert main(["verify", str(saved)]) == 8


def test_a_record_cannot_write_to_the_terminal(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(saved, made_by="\x1b[31mvalle\r" + "x" * 1000, voice="\x07\u202e")
    main(["verify", str(saved)])
    shown = capsys.readouterr().out
    assert "?[31mvalle?x" in shown and len(shown) < 800
    assert not set(shown) & set("\x1b\r\x07\u202e")


def test_detect(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "owner.key"
    key.write_bytes(OWNER_KEY)
    assert main(["detect", str(saved), "--json", "--owner-key", str(key)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"file", "seconds", "watermark", "detector", "provenance"}
    assert found["watermark"]["found"] and found["watermark"]["chance"] < 1e-7
    assert found["watermark"]["payload"]["receipt"] == "c0ff"
    assert found["watermark"]["payload"]["key"] == f"{key_number(OWNER_KEY):03x}"
    (span,) = found["watermark"]["spans"]
    assert span["start"] < 0.2 and span["end"] > 2.8
    assert found["detector"].get("why") or found["detector"]["cannot_know"]
    assert found["provenance"]["verified"] is True
    assert main(["detect", str(saved)]) == 0
    shown = capsys.readouterr().out
    assert "made by valle, 0.00 to" in shown and "payload not read" in shown
    assert "detector:   " in shown and KEY_ID in shown


def test_detect_knows_what_this_machine_marked(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own, receipt = ledger.signer().watermark_key(), "beef" + "0" * 60
    for _ in range(2):
        ledger.append("speak", receipt=receipt, voice="Ada")
    ledger.append("speak", receipt="dead" + "0" * 60, voice="Eve")
    path = tmp_path / "made.wav"
    unmarked, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    marked = mark(unmarked[: 3 * RATE].astype(np.float32), RATE, own, Payload.of(own, receipt))
    soundfile.write(path, marked, RATE)
    assert main(["detect", str(path), "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)["watermark"]["payload"]
    assert payload["receipt"] == "beef" and payload["key"] == f"{key_number(own):03x}"
    (entry,) = payload["ledger"]
    assert entry["receipt"] == receipt and entry["voice"] == "Ada" and entry["spoken"] == 2
    assert main(["detect", str(path)]) == 0
    assert "in the ledger: beef000000000000... of voice Ada, 2" in capsys.readouterr().out


def test_an_owner_key_given_away_reads_the_mark_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = tmp_path / "marks.key"
    assert main(["consent", "key", "--owner-key", str(given)]) == 0
    assert capsys.readouterr().out.strip() == ledger.signer().id
    own = ledger.signer().watermark_key()
    assert given.read_bytes() == own and given.stat().st_mode & 0o077 == 0
    unmarked, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    marked = mark(unmarked[: 3 * RATE].astype(np.float32), RATE, own, Payload.of(own, "c0ffee"))
    soundfile.write(tmp_path / "made.wav", marked, RATE)
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "elsewhere"))
    for options, read in (([], False), (["--owner-key", str(given)], True)):
        assert main(["detect", str(tmp_path / "made.wav"), "--json", *options]) == 0
        payload = json.loads(capsys.readouterr().out)["watermark"]["payload"]
        assert (payload is not None) is read
        assert not read or (payload["receipt"] == "c0ff" and payload["ledger"] == [])


def test_the_key_of_marks_is_that_of_rfc_5869() -> None:
    """Known answer: HKDF spelled out as two rounds of HMAC."""
    private = bytes(range(32))
    extracted = hmac.digest(bytes(32), private, "sha256")
    expected = hmac.digest(extracted, b"valle watermark key\x01", "sha256")
    key = keys.SigningKey(Ed25519PrivateKey.from_private_bytes(private), KEY_ID)
    assert key.watermark_key() == expected


def test_detect_on_what_is_not_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE) / 9
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    assert main(["detect", str(tmp_path / "noise.wav"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["watermark"]["found"] is False and found["watermark"]["spans"] == []
    assert found["provenance"]["verified"] is None
    assert main(["detect", str(tmp_path / "noise.wav")]) == 0
    assert "watermark:  not found" in capsys.readouterr().out


def test_detect_takes_a_second(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "short.wav", speech.audio[8_000 : 8_000 + RATE], RATE)
    assert main(["detect", str(tmp_path / "short.wav")]) == 0
    assert "made by valle" in capsys.readouterr().out
    soundfile.write(tmp_path / "short.wav", speech.audio[8_000 : 8_000 + RATE // 4], RATE)
    assert main(["detect", str(tmp_path / "short.wav")]) == 3
    assert "0.5 s" in capsys.readouterr().err


def test_a_picture(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = saved.parent / "found.png"
    assert main(["detect", str(saved), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["detect", str(saved), "--picture", str(saved.parent / "no" / "x.png")]) == 7


@pytest.mark.parametrize("content", [b"", b"1" * 15, b"1" * 5000])
def test_keys_that_are_none(saved: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    assert main(["detect", str(saved), "--owner-key", str(tmp_path / "key")]) == 2
    assert main(["detect", str(saved), "--owner-key", str(tmp_path / "none")]) == 2


def test_broken_recordings_are_refused_in_one_line(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    # The search itself is not what is tried here, and takes its time.
    monkeypatch.setattr("valle.watermark.detect.WARPS", ())
    rng = np.random.default_rng(0)
    for ending in ("wav", "flac", "mp3", "ogg"):
        path = tmp_path / f"said.{ending}"
        speech.save(path)
        whole = path.read_bytes()
        for _ in range(6):
            broken = bytearray(whole[: int(rng.integers(1, len(whole) + 1))])
            for at in rng.integers(0, min(len(broken), 400), 3):
                broken[at] = int(rng.integers(256))
            path.write_bytes(broken)
            for command in ("detect", "verify"):
                code = main([command, str(path)])
                output = capsys.readouterr()
                assert code in (0, 3, 8), (ending, code, output.err)
                assert output.err.count("\n") == (code != 0), output.err
