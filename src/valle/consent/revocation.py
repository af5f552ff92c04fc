"""Listing receipts with their state, and revoking them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass

from valle.errors import ConsentError, UsageError
from valle.trust import ledger
from valle.trust.ledger import is_expired
from valle.trust.ledger_line import verify_line
from valle.voices import registry

_ID = re.compile(r"[0-9a-f]{64}")
_MIN_DIGITS = 8  # of an abbreviated receipt id


@dataclass(frozen=True)
class ReceiptEntry:
    """A receipt as the ledger knows it."""

    id: str
    kind: str
    voice: str
    recording_sha256: str
    expires: str | None
    state: str
    """"valid", "revoked" or "expired"."""


def list_receipts() -> list[ReceiptEntry]:
    """List the receipts of all voices ever enrolled here, each once, by its latest enrollment.

    Raises what `ledger.read_head` raises.
    """
    head = ledger.read_head()
    entries: dict[str, ReceiptEntry] = {}
    key_id = ledger.get_signing_key().id
    for raw_line in ledger.read_raw_lines():
        line = verify_line(raw_line, key_id)
        if line is None or line["what"] != "enroll":
            continue
        receipt, last_day = str(line["receipt"]), line["expires"]
        state = "valid"
        if receipt in head.revoked:
            state = "revoked"
        elif receipt in head.ended or is_expired(last_day, head.latest):
            state = "expired"
        entries[receipt] = ReceiptEntry(
            receipt, line["kind"], line["voice"], line["recording_sha256"], last_day, state
        )
    return list(entries.values())


def revoke(name_or_id: str) -> list[ReceiptEntry]:
    """Revoke a receipt permanently, and with it all receipts of its recording.

    Args:
        name_or_id: The name of a stored voice, or the receipt's id: the whole id, or at least 8
            digits that no other receipt in the ledger begins with.

    Returns:
        What was revoked, that receipt first.

    Raises:
        UsageError: It does not identify a receipt.
        ConsentError: The receipt was revoked before; and what `ledger.append` raises.
    """
    receipt, recording = _find_receipt(name_or_id)
    if receipt in ledger.read_head().revoked:
        raise ConsentError(f"receipt {receipt[:16]}... is revoked already")
    entries = list_receipts()
    first = [entry for entry in entries if entry.id == receipt]
    revoked = first or [ReceiptEntry(receipt, "", "", recording, None, "valid")]
    revoked += [
        entry
        for entry in entries
        if recording and entry.recording_sha256 == recording and entry not in revoked
        if entry.state != "revoked"
    ]
    ledger.append(
        "revoke",
        revoked={entry.id: entry.recording_sha256 for entry in revoked},
        receipt=receipt,
        **({"also": [entry.id for entry in revoked[1:]]} if revoked[1:] else {}),
    )
    return revoked


def _find_receipt(name_or_id: str) -> tuple[str, str]:
    """Return a receipt's id and its recording's hash, "" where the recording is not known."""
    with contextlib.suppress(UsageError):  # no stored voice has this name
        consent = registry.load(name_or_id).consent
        return consent["id"], consent["recording_sha256"]
    digits = name_or_id.lower()
    matches = [entry for entry in list_receipts() if entry.id.startswith(digits)]
    if len(digits) >= _MIN_DIGITS and len(matches) == 1:
        return matches[0].id, matches[0].recording_sha256
    if _ID.fullmatch(digits):  # of a voice that was enrolled elsewhere, by a trusted key
        return digits, ""
    raise UsageError(
        f"{name_or_id!r} is neither a stored voice nor the id of a receipt; "
        "`valle consent list` shows both"
    )
