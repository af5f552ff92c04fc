"""Consent receipts: who consented to what, for which recording, signed by the user's key.

A receipt's id is the hash of everything that it signs. It contains no time except the day on which
the consent ends, so the same recording and words give the same receipt, and the same speech.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from valle.errors import ConsentError
from valle.trust import keys, ledger
from valle.trust.attestation import ATTESTATION
from valle.trust.canonical_json import canonicalize, sha256_of
from valle.trust.private_files import StrictModel

MAX_STATEMENT_LENGTH = 2000  # characters
CONSENT_PROVES = (
    "that the words of the statement were spoken in a voice like that of the recording, in a "
    "recording that was not used before; not that a person was present: a voice generator that the "
    "detector does not know may pass"
)

_PURPOSE = "receipt"  # of the signature
_SHA256 = "^[0-9a-f]{64}$"
_DAY = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


class Scope(StrictModel):
    """What the consent covers; None where the statement does not say."""

    user: str | None = None
    """Who may use the voice."""
    purpose: str | None = None
    """What for."""
    languages: list[str] | None = None
    """Languages that the voice may speak, such as "en-us"."""
    expires: str | None = Field(default=None, pattern=_DAY)
    """The last day, in UTC."""


class _BaseReceipt(StrictModel):
    recording_sha256: str = Field(pattern=_SHA256)
    statement: str = Field(max_length=MAX_STATEMENT_LENGTH)
    scope: Scope
    key: str = Field(pattern=_SHA256)
    id: str = Field(pattern=_SHA256)
    signature: str = Field(pattern="^[0-9a-f]{128}$")


class AttestationReceipt(_BaseReceipt):
    """The user's own statement of holding the rights to a recording."""

    kind: Literal["attested"]
    voice: str | None = None
    """The name under which the recording was enrolled, if it had one: under each name it has a
    receipt of its own, which can be revoked by itself."""


class ConsentReceipt(_BaseReceipt):
    """The speaker's own consent, read aloud and verified."""

    kind: Literal["consented"]
    speaker: str
    challenge: str
    statement_sha256: str = Field(pattern=_SHA256)
    """Of the recorded statement, as `recording_sha256` is of the voice's recording."""
    scores: dict[str, float | str | dict[str, float]]
    """What the verification measured, see `valle.consent.verification.Scores`."""
    verifiers: dict[str, str] | None = None
    """SHA-256 of each model that verified it; None in receipts from before they were named."""
    challenges: int | None = None
    """How many challenges had been issued for the speaker that day, with this one."""
    tries: int | None = None
    """Which try of the statement this was, from 1."""
    proves: str | None = None
    """What a spoken statement proves, and what not."""


Receipt = AttestationReceipt | ConsentReceipt
_ADAPTER: TypeAdapter[Receipt] = TypeAdapter(Receipt)


def attest(statement: str, recording_sha256: str, voice: str | None = None) -> dict[str, Any]:
    """Sign a receipt for the user's own statement of holding the rights to a recording.

    Args:
        statement: What the user states.
        recording_sha256: Of the recording.
        voice: The name of the voice, if it has one.

    Raises:
        ConsentError: The statement is empty or too long; and what `ledger.get_signing_key` raises.
    """
    _check_statement(statement)
    return sign(
        kind="attested",
        recording_sha256=recording_sha256,
        statement=statement.strip(),
        scope=Scope().model_dump(),
        **({} if voice is None else {"voice": voice}),
    )


def sign(**fields: Any) -> dict[str, Any]:
    """Sign a receipt with these fields by the user's key."""
    key = ledger.get_signing_key()
    payload = {**fields, "key": key.id}
    signature = key.sign(_PURPOSE, canonicalize(payload))
    return {**payload, "id": sha256_of(payload), "signature": signature}


def check(receipt: object, recording_sha256: str) -> Receipt:
    """Parse a receipt and verify its signature.

    Whether its key is trusted here, and whether it has been revoked or has expired, is not checked
    (see `valle.consent.validity`).

    Raises:
        ConsentError: It is for another recording, altered, unsigned, or not a receipt at all.
    """
    if not isinstance(receipt, Mapping) or not receipt:
        raise ConsentError("the voice has no consent receipt; enroll it with consent or attest")
    if "signature" not in receipt:
        raise ConsentError(
            "its consent receipt is not signed, as in the first versions of valle; "
            "enroll the recording again"
        )
    if receipt.get("kind") not in ("attested", "consented"):
        raise ConsentError(f"its consent receipt is of an unknown kind, {receipt.get('kind')!r}")
    try:
        parsed = _ADAPTER.validate_python(dict(receipt))
        payload = {
            name: value for name, value in receipt.items() if name not in ("id", "signature")
        }
        message = canonicalize(payload)
    except (ValidationError, ValueError, TypeError, RecursionError):
        raise ConsentError(
            "its consent receipt does not have the fields of its kind; enroll the recording again"
        ) from None
    if parsed.recording_sha256 != recording_sha256:
        raise ConsentError(
            "its consent receipt is for another recording; "
            "enroll the recording again, with its owner's consent"
        )
    signed = keys.verify(parsed.key, parsed.signature, _PURPOSE, message)
    if parsed.id != sha256_of(payload) or not signed:
        raise ConsentError("its consent receipt was altered; enroll the recording again")
    _check_statement(parsed.statement)
    return parsed


def _check_statement(statement: object) -> None:
    if not isinstance(statement, str) or not statement.strip():
        raise ConsentError(f'the statement is empty: it is "{ATTESTATION}"')
    if len(statement.strip()) > MAX_STATEMENT_LENGTH:
        raise ConsentError(f"a statement has at most {MAX_STATEMENT_LENGTH} characters")
