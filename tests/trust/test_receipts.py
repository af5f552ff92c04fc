"""Receipts are signed and cannot be altered; the signing key is private to its user."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from valle.errors import ConsentError
from valle.evaluation.protocols.tampering import INVALID_VALUES, mutate_record
from valle.trust import keys, ledger, receipts
from valle.trust.canonical_json import canonicalize, sha256_of

RECORDING = "ab" * 32
STATEMENT = "I hold the rights to this voice"

Receipt = dict[str, Any]


def sign_consent() -> Receipt:
    return receipts.sign(
        kind="consented",
        recording_sha256=RECORDING,
        statement="My name is Ada. I agree.",
        statement_sha256="cd" * 32,
        speaker="Ada",
        challenge="0" * 16,
        scope={"user": "Bob", "purpose": "a book", "languages": ["en-us"], "expires": "2030-01-31"},
        scores={"statement": -0.5, "words": {"anchor": -0.1}, "spoof": "not checked"},
    )


@pytest.fixture(params=["attested", "consented"])
def receipt(request: pytest.FixtureRequest) -> Receipt:
    return receipts.attest(STATEMENT, RECORDING) if request.param == "attested" else sign_consent()


def test_receipt_is_deterministic_and_contains_no_time(receipt: Receipt) -> None:
    assert receipts.check(receipt, RECORDING).kind == receipt["kind"]
    assert receipts.check(json.loads(json.dumps(receipt)), RECORDING).id == receipt["id"]
    again = receipts.attest(f" {STATEMENT}\n", RECORDING)
    if receipt["kind"] == "attested":
        assert again == receipt
        assert receipts.attest("I was asked", RECORDING)["id"] != receipt["id"]
    payload = {name: value for name, value in receipt.items() if name not in ("id", "signature")}
    assert receipt["id"] == sha256_of(payload)
    assert receipt["key"] == ledger.get_signing_key().id
    assert "time" not in json.dumps(receipt)


@pytest.mark.parametrize("statement", ["", " ", "\n\t", None, 5, "x" * 3000])
def test_empty_or_long_statement_is_refused(statement: Any) -> None:
    with pytest.raises(ConsentError, match="is empty|characters"):
        receipts.attest(statement, RECORDING)


def sign_with(key: keys.SigningKey, receipt: Receipt) -> Receipt:
    """Sign a receipt again with another key."""
    payload = {name: value for name, value in receipt.items() if name not in ("id", "signature")}
    payload["key"] = key.id
    signature = key.sign("receipt", canonicalize(payload))
    return payload | {"id": sha256_of(payload), "signature": signature}


def test_invalid_receipts_are_refused_with_the_reason(receipt: Receipt) -> None:
    key = ledger.get_signing_key()
    unsigned = {name: value for name, value in receipt.items() if name != "signature"}
    blank = sign_with(key, receipt | {"statement": " "})
    for candidate, reason in (
        (None, "no consent receipt"),
        ({}, "no consent receipt"),
        ([1], "no consent receipt"),
        (unsigned, "not signed"),
        (receipt | {"statement": "Anybody may"}, "altered"),
        (receipt | {"id": "0" * 64}, "altered"),
        (receipt | {"signature": "0" * 128}, "altered"),
        (receipt | {"key": keys.generate().id}, "altered"),
        (receipt | {"kind": "assumed"}, "unknown kind, 'assumed'"),
        (receipt | {"kind": ["attested"]}, "unknown kind"),
        (receipt | {"more": 1}, "does not have the fields"),
        (receipt | {"scope": {"expires": None}}, "altered"),
        (receipt | {"scope": {"expires": "tomorrow"}}, "does not have the fields"),
        (receipt | {1: 2}, "does not have the fields"),
        (blank, "statement is empty"),
    ):
        with pytest.raises(ConsentError, match=reason):
            receipts.check(candidate, RECORDING)
    with pytest.raises(ConsentError, match="consent receipt is for another recording"):
        receipts.check(receipt, "ef" * 32)


def test_signature_for_another_purpose_is_invalid() -> None:
    receipt = receipts.attest(STATEMENT, RECORDING)
    payload = {name: value for name, value in receipt.items() if name not in ("id", "signature")}
    signature = ledger.get_signing_key().sign("ledger line", canonicalize(payload))
    with pytest.raises(ConsentError, match="altered"):
        receipts.check(receipt | {"signature": signature}, RECORDING)


def test_random_alterations_are_refused_without_a_crash(receipt: Receipt) -> None:
    rng, values = random.Random(0), (*INVALID_VALUES, b"bytes", ("a",), {1: 2})
    refused = 0
    for _ in range(2500):
        candidate = mutate_record(receipt, rng, values)
        if candidate == receipt:
            continue
        with pytest.raises(ConsentError):
            receipts.check(candidate, RECORDING)
        refused += 1
    assert refused > 2000


# --- keys -----------------------------------------------------------------------------------


def test_signing_key_is_created_once_and_private(home: Path) -> None:
    first = ledger.get_signing_key()
    assert ledger.get_signing_key().id == first.id == keys.load_user_key().id  # type: ignore[union-attr]
    assert len(first.id) == 64
    if os.name == "posix":
        assert (home / "safety" / "key.pem").stat().st_mode & 0o777 == 0o600
        assert (home / "safety").stat().st_mode & 0o777 == 0o700
        readable = {
            f.name: oct(f.stat().st_mode)
            for f in (home / "safety").iterdir()
            if f.stat().st_mode & 0o077
        }
        assert readable == {}


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
@pytest.mark.parametrize("name", ["key.pem", ""])
def test_key_that_others_can_read_is_refused(home: Path, name: str) -> None:
    receipt = receipts.attest(STATEMENT, RECORDING)
    path = home / "safety" / name
    path.chmod(0o755)
    for use in (ledger.get_signing_key, ledger.read_head, lambda: keys.check_known(receipt["key"])):
        with pytest.raises(ConsentError, match="others can read or write .*chmod 7?6?00"):
            use()
    path.chmod(0o700)
    assert ledger.get_signing_key().id == receipt["key"]


def test_damaged_or_missing_key_is_refused(home: Path) -> None:
    ledger.append("speak", receipt="x")
    path = home / "safety" / "key.pem"
    pem = path.read_bytes()
    for bad in (b"", b"x", pem[:60], pem.replace(b"PRIVATE", b"PUBLIC")):
        path.write_bytes(bad)
        with pytest.raises(ConsentError, match="does not hold an Ed25519 key"):
            ledger.get_signing_key()
    path.unlink()
    with pytest.raises(ConsentError, match="key.pem is gone"):
        ledger.get_signing_key()


def test_trusted_key_of_another_user_is_accepted(home: Path) -> None:
    ledger.get_signing_key()
    other = keys.generate()
    foreign = sign_with(other, receipts.attest(STATEMENT, RECORDING))
    assert receipts.check(foreign, RECORDING).key == other.id
    with pytest.raises(ConsentError, match="not known here.*trusted_keys.txt"):
        keys.check_known(other.id)
    trusted = home / "safety" / "trusted_keys.txt"
    trusted.write_text(f"# friends\n\n{other.id} Bob\n")
    keys.check_known(other.id)
    trusted.write_text("Bob\n")
    with pytest.raises(ConsentError, match="line 1"):
        keys.check_known(other.id)


def test_malformed_signatures_are_invalid() -> None:
    key = ledger.get_signing_key()
    good = key.sign("receipt", b"x")
    assert keys.verify(key.id, good, "receipt", b"x")
    for key_id, signature in (
        (key.id, good.upper()),
        (key.id, good[:-1]),
        (key.id, ""),
        (key.id.upper(), good),
        ("0" * 64, good),
        ("f" * 64, good),
        ("", good),
    ):
        assert not keys.verify(key_id, signature, "receipt", b"x")
    assert not keys.verify(key.id, good, "receipt", b"y")
