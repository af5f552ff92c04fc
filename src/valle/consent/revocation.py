"""Which receipts there are, whether they hold, and how one is taken back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from valle.consent.permission import expired
from valle.errors import ConsentError, UsageError
from valle.trust import ledger
from valle.trust.audit import genuine
from valle.voices import registry

_ID = re.compile(r"[0-9a-f]{64}")
_SHORTEST = 8  # digits by which a receipt may be called, if they are those of one only


@dataclass(frozen=True)
class Entry:
    """A receipt as the ledger knows it."""

    id: str
    kind: str
    voice: str
    recording_sha256: str
    expires: str | None
    state: str
    """"valid", "revoked" or "expired"."""


def entries() -> list[Entry]:
    """The receipts of all voices ever enrolled here, each once, by its latest enrolment.

    Raises what `ledger.end` raises.
    """
    end = ledger.end()
    found: dict[str, Entry] = {}
    key = ledger.signer().id
    for raw in ledger.raw_lines():
        line = genuine(raw, key)
        if line is None or line["what"] != "enroll":
            continue
        receipt, last_day = str(line["receipt"]), line["expires"]
        state = "valid"
        if receipt in end.revoked:
            state = "revoked"
        elif expired(last_day, end.latest):
            state = "expired"
        found[receipt] = Entry(
            receipt, line["kind"], line["voice"], line["recording_sha256"], last_day, state
        )
    return list(found.values())


def revoke(which: str) -> str:
    """Revoke a receipt for good; returns its id.

    Args:
        which: the name of a voice that is kept, or the receipt's id: all of it, or enough digits
            to tell it from others in the ledger.

    Raises UsageError for what names no receipt, and what `ledger.append` raises.
    """
    receipt, recording = _found(which)
    if receipt in ledger.end().revoked:
        raise ConsentError(f"receipt {receipt[:16]}... is revoked already")
    ledger.append("revoke", revoked={receipt: recording}, receipt=receipt)
    return receipt


def _found(which: str) -> tuple[str, str]:
    """The id of a receipt and its recording's hash, "" where that is not known."""
    if which.casefold() in (name.casefold() for name in registry.names()):
        consent = registry.load(which).consent
        return consent["id"], consent["recording_sha256"]
    digits = which.lower()
    known = [entry for entry in entries() if entry.id.startswith(digits)]
    if len(digits) >= _SHORTEST and len(known) == 1:
        return known[0].id, known[0].recording_sha256
    if _ID.fullmatch(digits):  # of a voice that was enrolled elsewhere, by a trusted key
        return digits, ""
    raise UsageError(
        f"{which!r} is neither a voice that is kept nor the id of a receipt; "
        "`valle consent list` shows both"
    )
