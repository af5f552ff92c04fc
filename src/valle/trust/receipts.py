"""Receipts: who agreed to what, about which recording, signed by the key that took it.

A receipt's id is the hash of all that it signs. No time is in it, save the day on which an
agreement ends: so the same recording and words give the same receipt, and the same speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from valle.errors import ConsentError
from valle.trust import keys, ledger
from valle.trust.canonical_json import canonical, sha256_of
from valle.trust.private_files import Strict

LONGEST_STATEMENT = 2000  # characters

_PURPOSE = "receipt"  # what is signed
_SHA256 = "^[0-9a-f]{64}$"


class Scope(Strict):
    """What was agreed to; None where nothing was said about it."""

    user: str | None = None
    """Who may use the voice."""
    purpose: str | None = None
    """What for."""
    languages: list[str] | None = None
    """That it may speak, such as "en-us"."""
    expires: str | None = Field(default=None, pattern=r"^\d{4}-\d\d-\d\d$")
    """The last day, by UTC."""


class _Receipt(Strict):
    recording_sha256: str = Field(pattern=_SHA256)
    statement: str = Field(max_length=LONGEST_STATEMENT)
    scope: Scope
    key: str = Field(pattern=_SHA256)
    id: str = Field(pattern=_SHA256)
    signature: str = Field(pattern="^[0-9a-f]{128}$")


class Attested(_Receipt):
    """The user's own word of holding the rights to a recording."""

    kind: Literal["attested"]


class Consented(_Receipt):
    """The speaker's own agreement, read aloud and checked."""

    kind: Literal["consented"]
    speaker: str
    challenge: str
    statement_sha256: str = Field(pattern=_SHA256)
    """Of the recording of the statement, as `recording_sha256` is of the voice's."""
    scores: dict[str, float | str | dict[str, float]]
    """What the check measured, see `valle.consent.verification.Scores`."""


Receipt = Attested | Consented
_READER: TypeAdapter[Receipt] = TypeAdapter(Receipt)


def attest(statement: str, recording_sha256: str) -> dict[str, Any]:
    """The receipt for a user's own statement of holding the rights to a recording.

    Raises ConsentError when nothing is stated, and what `ledger.signer` raises.
    """
    _check_statement(statement)
    return sign(
        kind="attested",
        recording_sha256=recording_sha256,
        statement=statement.strip(),
        scope=Scope().model_dump(),
    )


def sign(**states: Any) -> dict[str, Any]:
    """A receipt that states all this, by the user's key."""
    key = ledger.signer()
    facts = {**states, "key": key.id}
    message = canonical(facts)
    return {**facts, "id": sha256_of(facts), "signature": key.sign(_PURPOSE, message)}


def check(receipt: object, recording_sha256: str) -> Receipt:
    """Read a receipt; whether its key is known here, and it still holds, are other questions.

    Raises ConsentError for one that is for another recording, altered, unsigned, or none at all.
    """
    if not isinstance(receipt, Mapping) or not receipt:
        raise ConsentError("the voice has no consent receipt; enroll it with consent or attest")
    if "signature" not in receipt:
        raise ConsentError(
            "its consent receipt is not signed, as those of valle were at first; "
            "enroll the recording again"
        )
    if receipt.get("kind") not in ("attested", "consented"):
        raise ConsentError(f"its consent receipt is of an unknown kind, {receipt.get('kind')!r}")
    try:
        read = _READER.validate_python(dict(receipt))
        facts = {name: value for name, value in receipt.items() if name not in ("id", "signature")}
        message = canonical(facts)
    except (ValidationError, ValueError, TypeError, RecursionError):
        raise ConsentError(
            "its consent receipt has other fields than one of its kind has; "
            "enroll the recording again"
        ) from None
    if read.recording_sha256 != recording_sha256:
        raise ConsentError(
            "its recording is not the one that its consent receipt is for; "
            "enroll the recording again, with its owner's agreement"
        )
    if read.id != sha256_of(facts) or not keys.verify(read.key, read.signature, _PURPOSE, message):
        raise ConsentError("its consent receipt was altered; enroll the recording again")
    _check_statement(read.statement)
    return read


def _check_statement(statement: object) -> None:
    if not isinstance(statement, str) or not statement.strip():
        raise ConsentError(
            "nothing is stated: say what right you have to the voice, "
            'such as "I hold the rights to this voice"'
        )
    if len(statement.strip()) > LONGEST_STATEMENT:
        raise ConsentError(f"a statement has at most {LONGEST_STATEMENT} characters")
