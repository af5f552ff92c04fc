"""Signed records next to audio files."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import valle
from signed_speech import KEY, KEY_ID, RECORD, rewrite_record
from valle.detection.report import describe_provenance
from valle.synthesis.speech import Speech
from valle.trust import keys, ledger, provenance


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
    rewrite_record(tmp_path / "speech.flac", signature=None)
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
        rewrite_record(saved, **changes)
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


def test_watermark_key_is_hkdf_of_the_private_key() -> None:
    """Known answer: HKDF (RFC 5869), spelled out as two rounds of HMAC."""
    private = bytes(range(32))
    extracted = hmac.digest(bytes(32), private, "sha256")
    expected = hmac.digest(extracted, b"valle watermark key\x01", "sha256")
    key = keys.SigningKey(Ed25519PrivateKey.from_private_bytes(private), KEY_ID)
    assert key.derive_watermark_key() == expected
    text_key = hmac.digest(extracted, b"valle ledger text key\x01", "sha256")
    assert key.authenticate_text("é") == hmac.digest(text_key, b"\xc3\xa9", "sha256").hex()
