"""Signed sidecar records and Content Credentials; `valle detect` and `valle verify`."""

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
from valle.detection.report import describe_provenance
from valle.synthesis.speech import Speech
from valle.trust import c2pa as content_credentials
from valle.trust import keys, ledger, provenance
from valle.watermark.embed import Payload, embed_watermark, key_fingerprint

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
    """Return 3 s of watermarked speech with the owner's payload."""
    read, rate = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    assert rate == RATE
    payload = Payload.for_receipt(OWNER_KEY, "c0ffee")
    audio = embed_watermark(read[: 3 * RATE].astype(np.float32), RATE, OWNER_KEY, payload)
    none = np.zeros((0, 8), np.int64)
    return Speech(audio, RATE, none, [], [], None, [], RECORD)


@pytest.fixture
def saved(speech: Speech, tmp_path: Path) -> Path:
    speech.save(tmp_path / "speech.wav", key=KEY)
    return tmp_path / "speech.wav"


def rewrite(audio: Path, **changes: Any) -> None:
    """Change fields of the sidecar record; None removes a field."""
    path = provenance.sidecar_path(audio)
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


def test_saved_file_has_a_signed_record(saved: Path) -> None:
    read = provenance.read_sidecar(saved)
    assert read is not None
    assert read.fits
    assert read.signed
    assert not read.altered
    assert read.key == KEY_ID
    assert read.record.items() >= RECORD.items()
    assert sorted(path.name for path in saved.parent.iterdir()) == ["speech.wav", "speech.wav.json"]
    report = describe_provenance(saved)
    assert report["verified"] is True
    assert report["sidecar"]["key"] == KEY_ID


def test_signature_is_ed25519_of_canonical_json() -> None:
    """Known answer: Ed25519 of the message, spelled out."""
    signed = provenance.sign({"b": 1, "a": "é"}, KEY)
    message = b'valle provenance\n{"a":"\\u00e9","b":1}'
    assert signed["signature"] == {"key": KEY_ID, "value": KEY.sign(message).hex()}


def test_equal_speech_has_equal_records(speech: Speech, saved: Path, tmp_path: Path) -> None:
    speech.save(tmp_path / "again.wav", key=KEY)
    first, second = (
        provenance.sidecar_path(tmp_path / n).read_bytes() for n in ("speech.wav", "again.wav")
    )
    assert first == second


def test_unsigned_record_is_neither_verified_nor_altered(speech: Speech, tmp_path: Path) -> None:
    speech.save(tmp_path / "speech.flac")
    rewrite(tmp_path / "speech.flac", signature=None)
    read = provenance.read_sidecar(tmp_path / "speech.flac")
    assert read is not None
    assert read.fits
    assert not read.signed
    assert read.key is None
    assert not read.altered
    assert describe_provenance(tmp_path / "speech.flac")["verified"] is None


def test_speech_is_signed_by_the_users_key_by_default(speech: Speech, tmp_path: Path) -> None:
    speech.save(tmp_path / "speech.ogg")
    assert (
        describe_provenance(tmp_path / "speech.ogg")["sidecar"]["key"]
        == ledger.get_signing_key().id
    )


def test_alterations_are_detected(saved: Path) -> None:
    original = provenance.sidecar_path(saved).read_bytes()
    record = json.loads(original)
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
        assert describe_provenance(saved)["verified"] is False, changes
        provenance.sidecar_path(saved).write_bytes(original)
    assert describe_provenance(saved)["verified"] is True
    with saved.open("r+b") as file:
        file.seek(1000)
        file.write(b"\x01")
    assert describe_provenance(saved)["verified"] is False
    assert describe_provenance(saved)["sidecar"]["fits"] is False


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{}", b"[]", b"null", b"\xff", b"[" * 100_000, b"1" * 10_000, b" " * (2 << 20)),
        *(b'{"made_by": NaN}', b'{"made_by": 1, "model": "x", "file_sha256": "y"}'),
    ],
    ids=range(10),
)
def test_malformed_record_is_refused(saved: Path, content: bytes) -> None:
    provenance.sidecar_path(saved).write_bytes(content)
    with pytest.raises(valle.RecordingError, match="is not a record"):
        provenance.read_sidecar(saved)
    assert describe_provenance(saved)["verified"] is False


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
ANY_JSON = st.recursive(
    SCALARS, lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=5
)
FIELDS = [*RECORD, "signature", "file_sha256"]


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), ANY_JSON, max_size=8))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_arbitrary_json_never_crashes(saved: Path, content: dict[str, Any]) -> None:
    provenance.sidecar_path(saved).write_text(json.dumps(content))
    try:
        read = provenance.read_sidecar(saved)
    except valle.RecordingError:
        return
    assert read is not None
    assert read.altered


def test_failed_save_leaves_no_files(speech: Speech, tmp_path: Path) -> None:
    for name in (str(tmp_path / "speech.ogg"), "-"):
        with pytest.raises(valle.UsageError):
            speech.save(name, key=KEY, credentials=True)
    assert not list(tmp_path.iterdir())


# --- C2PA


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


# --- commands


def test_verify_command(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "was altered after signing" in output.err
    provenance.sidecar_path(saved).unlink()
    assert main(["verify", str(saved)]) == 8


def test_record_cannot_send_control_characters_to_the_terminal(
    saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rewrite(saved, made_by="\x1b[31mvalle\r" + "x" * 1000, voice="\x07\u202e")
    main(["verify", str(saved)])
    shown = capsys.readouterr().out
    assert "?[31mvalle?x" in shown
    assert len(shown) < 800
    assert not set(shown) & set("\x1b\r\x07\u202e")


def test_detect_command_reports_all_parts(
    saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "owner.key"
    key.write_bytes(OWNER_KEY)
    assert main(["detect", str(saved), "--json", "--owner-key", str(key)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"file", "seconds", "watermark", "detector", "provenance"}
    assert report["watermark"]["found"]
    assert report["watermark"]["false_positive_bound"] < 1e-7
    assert report["watermark"]["payload"]["receipt"] == "c0ff"
    assert report["watermark"]["payload"]["key"] == f"{key_fingerprint(OWNER_KEY):03x}"
    (span,) = report["watermark"]["spans"]
    assert span["start"] < 0.2
    assert span["end"] > 2.8
    assert report["detector"].get("why") or report["detector"]["cannot_know"]
    assert report["provenance"]["verified"] is True
    assert main(["detect", str(saved)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("result:     synthetic speech made by valle: it has the watermark")
    assert "made by valle, 0.00 to" in shown
    assert "payload not readable" in shown
    assert "detector:   " in shown
    assert KEY_ID in shown


def test_detect_finds_own_receipts_in_the_ledger(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_key, receipt = ledger.get_signing_key().derive_watermark_key(), "beef" + "0" * 60
    for _ in range(2):
        ledger.append("speak", receipt=receipt, voice="Ada")
    ledger.append("speak", receipt="dead" + "0" * 60, voice="Eve")
    path = tmp_path / "speech.wav"
    samples, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    watermarked = embed_watermark(
        samples[: 3 * RATE].astype(np.float32), RATE, own_key, Payload.for_receipt(own_key, receipt)
    )
    soundfile.write(path, watermarked, RATE)
    assert main(["detect", str(path), "--json"]) == 0
    payload = json.loads(capsys.readouterr().out)["watermark"]["payload"]
    assert payload["receipt"] == "beef"
    assert payload["key"] == f"{key_fingerprint(own_key):03x}"
    (entry,) = payload["ledger"]
    assert entry["receipt"] == receipt
    assert entry["voice"] == "Ada"
    assert entry["spoken"] == 2
    assert main(["detect", str(path)]) == 0
    assert "in the ledger: beef000000000000... of voice Ada, 2" in capsys.readouterr().out


def test_exported_owner_key_reads_payloads_elsewhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = tmp_path / "owner.key"
    assert main(["consent", "key", "--owner-key", str(exported)]) == 0
    assert capsys.readouterr().out.strip() == ledger.get_signing_key().id
    own_key = ledger.get_signing_key().derive_watermark_key()
    assert exported.read_bytes() == own_key
    assert exported.stat().st_mode & 0o077 == 0
    samples, _ = soundfile.read(Path(__file__).parents[2] / "examples" / "voice.wav")
    watermarked = embed_watermark(
        samples[: 3 * RATE].astype(np.float32),
        RATE,
        own_key,
        Payload.for_receipt(own_key, "c0ffee"),
    )
    soundfile.write(tmp_path / "speech.wav", watermarked, RATE)
    monkeypatch.setenv("VALLE_HOME", str(tmp_path / "elsewhere"))
    for options, read in (([], False), (["--owner-key", str(exported)], True)):
        assert main(["detect", str(tmp_path / "speech.wav"), "--json", *options]) == 0
        payload = json.loads(capsys.readouterr().out)["watermark"]["payload"]
        assert (payload is not None) is read
        assert not read or (payload["receipt"] == "c0ff" and payload["ledger"] == [])


def test_watermark_key_is_hkdf_of_the_private_key() -> None:
    """Known answer: HKDF (RFC 5869), spelled out as two rounds of HMAC."""
    private = bytes(range(32))
    extracted = hmac.digest(bytes(32), private, "sha256")
    expected = hmac.digest(extracted, b"valle watermark key\x01", "sha256")
    key = keys.SigningKey(Ed25519PrivateKey.from_private_bytes(private), KEY_ID)
    assert key.derive_watermark_key() == expected


def test_detect_reports_no_watermark_in_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * RATE) / 9
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    assert main(["detect", str(tmp_path / "noise.wav"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["watermark"]["found"] is False
    assert report["watermark"]["spans"] == []
    assert report["provenance"]["verified"] is None
    assert main(["detect", str(tmp_path / "noise.wav")]) == 0
    assert "watermark:  not found" in capsys.readouterr().out


def test_detect_accepts_one_second(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soundfile.write(tmp_path / "short.wav", speech.audio[8_000 : 8_000 + RATE], RATE)
    assert main(["detect", str(tmp_path / "short.wav")]) == 0
    assert "made by valle" in capsys.readouterr().out
    soundfile.write(tmp_path / "short.wav", speech.audio[8_000 : 8_000 + RATE // 4], RATE)
    assert main(["detect", str(tmp_path / "short.wav")]) == 3
    assert "0.5 s" in capsys.readouterr().err


def test_detect_writes_a_picture(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    picture = saved.parent / "found.png"
    assert main(["detect", str(saved), "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert main(["detect", str(saved), "--picture", str(saved.parent / "no" / "x.png")]) == 7


@pytest.mark.parametrize("content", [b"", b"1" * 15, b"1" * 5000])
def test_invalid_owner_key_is_a_usage_error(saved: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    assert main(["detect", str(saved), "--owner-key", str(tmp_path / "key")]) == 2
    assert main(["detect", str(saved), "--owner-key", str(tmp_path / "none")]) == 2


def test_broken_recordings_are_refused_with_one_line(
    speech: Speech, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> None:
    # The search of other speeds is not tested here, and is slow.
    monkeypatch.setattr("valle.watermark.detect.WARPS", ())
    rng = np.random.default_rng(0)
    for ending in ("wav", "flac", "mp3", "ogg"):
        path = tmp_path / f"speech.{ending}"
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
