"""What can be told of an audio file: its watermark, and what is signed beside and inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from valle.detection.detector import CANNOT_KNOW, KINDS, Verdict
from valle.errors import RecordingError, UsageError
from valle.trust import c2pa as content_credentials
from valle.trust import keys, ledger, provenance
from valle.watermark.detect import Detection
from valle.watermark.embed import Payload

SHORTEST_KEY, LONGEST_KEY = 16, 4096  # bytes


def watermark_facts(found: Detection, in_ledger: bool) -> dict[str, Any]:
    """What was found of the mark: plain values.

    `in_ledger`: whether the payload was read by this machine's own key, so that its receipt is
    looked up in this machine's ledger.
    """
    spans = [
        {
            "start": round(span.start, 3),
            "end": round(span.end, 3),
            "payload": _payload_facts(span.payload),
        }
        for span in found.spans
    ]
    payloads = {span.payload for span in found.spans if span.payload is not None}
    payload = payloads.pop() if len(payloads) == 1 else None
    said = _payload_facts(payload)
    if said is not None and payload is not None:
        said["ledger"] = receipt_facts(payload) if in_ledger else []
    return {
        "found": found.found,
        "chance": found.chance,
        "score": round(found.score, 2),
        "spans": spans,
        "payload": said,
        "speed": found.warp and round(found.warp.speed, 4),
        "pitch": found.warp and round(found.warp.pitch, 4),
    }


def receipt_facts(payload: Payload) -> list[dict[str, Any]]:
    """The receipts in this machine's ledger that a payload can mean: plain values.

    A payload holds the first 16 bits of a receipt's id. `spoken` is how many texts the ledger has
    under it, `last` when the latest one was.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in ledger.lines():
        receipt, what = line.get("receipt"), line.get("what")
        if not isinstance(receipt, str) or not receipt.startswith(f"{payload.receipt:04x}"):
            continue
        facts = found.setdefault(
            receipt, {"receipt": receipt, "voice": None, "spoken": 0, "last": None}
        )
        if what in ("enroll", "speak"):
            facts["voice"] = line.get("voice")
        if what == "speak":
            facts["spoken"] += 1
            facts["last"] = line.get("time")
    return list(found.values())


def detector_facts(verdict: Verdict | None) -> dict[str, Any]:
    """What a model that learnt to tell made speech from recordings thinks: plain values."""
    if verdict is None:
        return {"checked": False, "why": "this bundle has no model that tells made speech by ear"}
    return {
        "checked": True,
        "kind": verdict.kind,
        "probability": {kind: round(one, 4) for kind, one in verdict.whole.items()},
        "seconds": [
            {kind: round(float(one), 4) for kind, one in zip(KINDS, second, strict=True)}
            for second in verdict.seconds
        ],
        "cannot_know": CANNOT_KNOW,
    }


def provenance_facts(path: str | Path) -> dict[str, Any]:
    """What lies beside and inside a file: plain values.

    `verified` is True if there is a valid signature and nothing contradicts the file, False if
    anything does, None if nothing is signed. Who a signer is, is another question.
    """
    credentials = content_credentials.read(path)
    embedded = bool(credentials.get("found"))
    sidecar: dict[str, Any] = {"found": False}
    altered, signed = embedded and not credentials["valid"], embedded
    try:
        read = provenance.read_sidecar(path)
    except RecordingError as error:
        altered = True
        sidecar = {"found": True, "fits": False, "why": str(error)}
    else:
        if read is not None:
            altered, signed = altered or read.altered, signed or read.key is not None
            sidecar = {
                "found": True,
                "fits": read.fits,
                "signed": read.signed,
                "key": read.key,
                "record": read.record,
            }
    verified = False if altered else (signed or None)
    return {"verified": verified, "sidecar": sidecar, "c2pa": credentials}


def own_watermark_key() -> bytes | None:
    """The key that this machine's user marks with; None where there is none yet.

    Raises what `keys.own` raises.
    """
    key = keys.own()
    return None if key is None else key.watermark_key()


def read_owner_key(path: str | Path) -> bytes:
    """The owner's key from a file. Raises UsageError if it cannot be read, or is none."""
    try:
        with Path(path).open("rb") as file:
            key = file.read(LONGEST_KEY + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the key {path} cannot be read: {why}") from error
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY:
        raise UsageError(f"{path} is no key: a key has {SHORTEST_KEY} to {LONGEST_KEY} bytes")
    return key


def _payload_facts(payload: Payload | None) -> dict[str, Any] | None:
    if payload is None:
        return None
    return {
        "version": payload.version,
        "key": f"{payload.key:03x}",
        "receipt": f"{payload.receipt:04x}",
        "bits": f"{payload.bits:08x}",
    }
