"""Receipts are signed, and nothing in one can be changed; a key is the user's alone."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from valle.errors import ConsentError
from valle.evaluation.protocols.tampering import ODD, altered
from valle.trust import keys, ledger, receipts
from valle.trust.canonical_json import canonical, sha256_of

RECORDING = "ab" * 32
STATEMENT = "I hold the rights to this voice"

Facts = dict[str, Any]


def consented() -> Facts:
    return receipts.sign(
        kind="consented",
        recording_sha256=RECORDING,
        statement="My name is Ada. I agree.",
        statement_sha256="cd" * 32,
        speaker="Ada",
        challenge="0" * 16,
        scope={"user": "Bob", "purpose": "a book", "languages": ["en-us"], "expires": "2030-01-31"},
        scores={"statement": -0.5, "words": {"anchor": -0.1}, "made_speech": "not checked"},
    )


@pytest.fixture(params=["attested", "consented"])
def receipt(request: pytest.FixtureRequest) -> Facts:
    return receipts.attest(STATEMENT, RECORDING) if request.param == "attested" else consented()


def test_a_receipt_is_the_same_each_time_and_holds_no_time(receipt: Facts) -> None:
    assert receipts.check(receipt, RECORDING).kind == receipt["kind"]
    assert receipts.check(json.loads(json.dumps(receipt)), RECORDING).id == receipt["id"]
    again = receipts.attest(f" {STATEMENT}\n", RECORDING)
    if receipt["kind"] == "attested":
        assert again == receipt
        assert receipts.attest("I was asked", RECORDING)["id"] != receipt["id"]
    signed = {name: value for name, value in receipt.items() if name not in ("id", "signature")}
    assert receipt["id"] == sha256_of(signed) and receipt["key"] == ledger.signer().id
    assert "time" not in json.dumps(receipt)


@pytest.mark.parametrize("statement", ["", " ", "\n\t", None, 5, "x" * 3000])
def test_stating_nothing_is_no_consent(statement: Any) -> None:
    with pytest.raises(ConsentError, match="stated|characters"):
        receipts.attest(statement, RECORDING)


def signed_by(key: keys.SigningKey, facts: Facts) -> Facts:
    """A receipt by somebody who has a key of his own."""
    rest = {name: value for name, value in facts.items() if name not in ("id", "signature")}
    rest["key"] = key.id
    return rest | {"id": sha256_of(rest), "signature": key.sign("receipt", canonical(rest))}


def test_receipts_that_are_none(receipt: Facts) -> None:
    mine = ledger.signer()
    unsigned = {name: value for name, value in receipt.items() if name != "signature"}
    blank = signed_by(mine, receipt | {"statement": " "})
    for changed, why in (
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
        (receipt | {"more": 1}, "other fields"),
        (receipt | {"scope": {"expires": None}}, "altered"),
        (receipt | {"scope": {"expires": "tomorrow"}}, "other fields"),
        (receipt | {1: 2}, "other fields"),
        (blank, "nothing is stated"),
    ):
        with pytest.raises(ConsentError, match=why):
            receipts.check(changed, RECORDING)
    with pytest.raises(ConsentError, match="not the one that its consent receipt is for"):
        receipts.check(receipt, "ef" * 32)


def test_what_is_signed_as_one_thing_is_not_another() -> None:
    facts = receipts.attest(STATEMENT, RECORDING)
    rest = {name: value for name, value in facts.items() if name not in ("id", "signature")}
    other = ledger.signer().sign("ledger line", canonical(rest))
    with pytest.raises(ConsentError, match="altered"):
        receipts.check(facts | {"signature": other}, RECORDING)


def test_of_thousands_of_altered_receipts_none_is_taken_and_none_crashes(receipt: Facts) -> None:
    rng, odd = random.Random(0), (*ODD, b"bytes", ("a",), {1: 2})
    refused = 0
    for _ in range(2500):
        tried = altered(receipt, rng, odd)
        if tried == receipt:
            continue
        with pytest.raises(ConsentError):
            receipts.check(tried, RECORDING)
        refused += 1
    assert refused > 2000


# --- keys -----------------------------------------------------------------------------------


def test_a_key_is_made_once_and_for_its_owner_only(home: Path) -> None:
    first = ledger.signer()
    assert ledger.signer().id == first.id == keys.own().id  # type: ignore[union-attr]
    assert len(first.id) == 64
    if os.name == "posix":
        assert (home / "safety" / "key.pem").stat().st_mode & 0o777 == 0o600
        assert (home / "safety").stat().st_mode & 0o777 == 0o700
        assert all(file.stat().st_mode & 0o077 == 0 for file in (home / "safety").iterdir())


@pytest.mark.skipif(os.name != "posix", reason="other systems have other permissions")
@pytest.mark.parametrize("what", ["key.pem", ""])
def test_a_key_that_others_can_read_is_refused(home: Path, what: str) -> None:
    facts = receipts.attest(STATEMENT, RECORDING)
    path = home / "safety" / what
    path.chmod(0o755)
    for use in (ledger.signer, ledger.end, lambda: keys.check_known(facts["key"])):
        with pytest.raises(ConsentError, match="others can read or write .*chmod 7?6?00"):
            use()
    path.chmod(0o700)
    assert ledger.signer().id == facts["key"]


def test_a_key_that_is_damaged_or_gone_is_refused(home: Path) -> None:
    ledger.append("speak", receipt="x")
    path = home / "safety" / "key.pem"
    pem = path.read_bytes()
    for bad in (b"", b"x", pem[:60], pem.replace(b"PRIVATE", b"PUBLIC")):
        path.write_bytes(bad)
        with pytest.raises(ConsentError, match="holds no Ed25519 key"):
            ledger.signer()
    path.unlink()
    with pytest.raises(ConsentError, match="key.pem is gone"):
        ledger.signer()


def test_the_key_of_another_is_known_when_it_is_trusted(home: Path) -> None:
    ledger.signer()
    other = keys.generate()
    theirs = signed_by(other, receipts.attest(STATEMENT, RECORDING))
    assert receipts.check(theirs, RECORDING).key == other.id
    with pytest.raises(ConsentError, match="not known here.*trusted_keys.txt"):
        keys.check_known(other.id)
    trusted = home / "safety" / "trusted_keys.txt"
    trusted.write_text(f"# friends\n\n{other.id} Bob, who asks people\n")
    keys.check_known(other.id)
    trusted.write_text("Bob\n")
    with pytest.raises(ConsentError, match="line 1"):
        keys.check_known(other.id)


def test_a_signature_that_is_none_is_false_and_no_crash() -> None:
    key = ledger.signer()
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
