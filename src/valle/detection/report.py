"""Reports about an audio file: its watermark, its detector verdict, and its provenance.

Every report is a dictionary of JSON-compatible values, as `valle detect --json` prints them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from valle.audio.recording import Recording, load_recording
from valle.bundle.bundle import Bundle
from valle.detection.detector import KINDS, LIMITATIONS, Verdict, classify
from valle.errors import RecordingError, UsageError
from valle.trust import c2pa as content_credentials
from valle.trust import keys, ledger, provenance
from valle.trust.spoken import was_spoken
from valle.watermark.detect import Detection, detect_watermark
from valle.watermark.embed import Payload

MIN_KEY_BYTES, MAX_KEY_BYTES = 16, 4096
MIN_SECONDS = 0.5  # of sound: in less, a watermark is rarely found


def describe_recording(path: str | Path, bundle: Bundle, key: bytes | None) -> dict[str, Any]:
    """Report the watermark, the detector's verdict and the provenance of a file.

    Args:
        path: The file.
        bundle: The model whose detector is used.
        key: This machine's own watermark key (`load_watermark_key`); None reads no payload.

    Raises:
        RecordingError: The recording cannot be used.
    """
    recording = load_recording(path, min_seconds=MIN_SECONDS)
    detection = detect_watermark(recording.samples, recording.sample_rate, key)
    verdict = classify(bundle, recording.samples, recording.sample_rate)
    return {
        "seconds": round(recording.seconds, 3),
        "watermark": describe_watermark(detection, key is not None, recording),
        "detector": describe_verdict(verdict),
        "provenance": describe_provenance(path),
    }


def describe_watermark(
    detection: Detection, in_ledger: bool, recording: Recording | None = None
) -> dict[str, Any]:
    """Report the result of a search for the watermark.

    Args:
        detection: The result.
        in_ledger: Whether the payload was read with this machine's own key, so that its receipt
            is looked up in this machine's ledger.
        recording: What was searched. A payload can be laid on any recording, so each receipt is
            reported with `made`: whether speech like this was spoken under it here, None if that
            cannot be told.
    """
    spans = [
        {
            "start": round(span.start, 3),
            "end": round(span.end, 3),
            "payload": _describe_payload(span.payload),
        }
        for span in detection.spans
    ]
    payloads = {span.payload for span in detection.spans if span.payload is not None}
    payload = payloads.pop() if len(payloads) == 1 else None
    payload_report = _describe_payload(payload)
    if payload_report is not None and payload is not None:
        receipts = find_receipts(payload) if in_ledger else []
        payload_report["ledger"] = [
            receipt | {"made": _was_made(receipt["receipt"], detection, recording)}
            for receipt in receipts
        ]
    return {
        "found": detection.found,
        "false_positive_bound": detection.false_positive_bound,
        "score": round(detection.score, 2),
        "spans": spans,
        "payload": payload_report,
        "speed": detection.warp and round(detection.warp.speed, 4),
        "pitch": detection.warp and round(detection.warp.pitch, 4),
        "by_owner": detection.by_owner,
    }


def find_receipts(payload: Payload) -> list[dict[str, Any]]:
    """Find the receipts in this machine's ledger that a payload can refer to.

    A payload holds the first 16 bits of a receipt's id, so there may be several. `spoken` is how
    many texts were spoken under the receipt, `last` the time of the latest one.
    """
    receipts: dict[str, dict[str, Any]] = {}
    for line in ledger.read_lines():
        receipt_id, event = line.get("receipt"), line.get("what")
        if not isinstance(receipt_id, str):
            continue
        if not receipt_id.startswith(f"{payload.receipt:04x}"):
            continue
        receipt = receipts.setdefault(
            receipt_id, {"receipt": receipt_id, "voice": None, "spoken": 0, "last": None}
        )
        if event in ("enroll", "speak"):
            receipt["voice"] = line.get("voice")
        if event == "speak":
            receipt["spoken"] += 1
            receipt["last"] = line.get("time")
    return list(receipts.values())


def _was_made(receipt_id: str, detection: Detection, recording: Recording | None) -> bool | None:
    """Tell whether all that is marked sounds like what was spoken under a receipt."""
    if recording is None:
        return None
    speed = detection.warp.speed if detection.warp else 1.0
    answers = []
    for span in detection.spans:
        if span.payload is not None:
            first, last = (round(at * recording.sample_rate) for at in (span.start, span.end))
            samples = recording.samples[first:last]
            answers.append(was_spoken(receipt_id, samples, round(recording.sample_rate / speed)))
    if False in answers:
        return False
    return True if True in answers else None


def describe_verdict(verdict: Verdict | None) -> dict[str, Any]:
    """Report the probabilities of the detector; None means that the bundle has none."""
    if verdict is None:
        return {"checked": False, "why": "this bundle has no detector of synthetic speech"}
    return {
        "checked": True,
        "kind": verdict.kind,
        "sure": not verdict.doubts,
        "doubts": list(verdict.doubts),
        "probability": {kind: round(value, 4) for kind, value in verdict.whole.items()},
        "seconds": [
            {kind: round(float(value), 4) for kind, value in zip(KINDS, second, strict=True)}
            for second in verdict.seconds
        ],
        "cannot_know": LIMITATIONS,
    }


def describe_provenance(path: str | Path) -> dict[str, Any]:
    """Report the signed record next to a file and the C2PA manifest inside it.

    `verified` is True if there is a valid signature and nothing contradicts the file, False if
    anything contradicts it, None if nothing is signed. Whether the signer can be trusted is not
    decided here.
    """
    credentials = content_credentials.read(path)
    embedded = bool(credentials.get("found"))
    sidecar_report: dict[str, Any] = {"found": False}
    altered, signed = embedded and not credentials["valid"], embedded
    try:
        sidecar = provenance.read_sidecar(path)
    except RecordingError as error:
        altered = True
        sidecar_report = {"found": True, "fits": False, "why": str(error)}
    else:
        if sidecar is not None:
            altered = altered or sidecar.altered
            signed = signed or sidecar.key is not None
            sidecar_report = {
                "found": True,
                "fits": sidecar.fits,
                "signed": sidecar.signed,
                "key": sidecar.key,
                "record": sidecar.record,
            }
    verified = False if altered else (signed or None)
    return {"verified": verified, "sidecar": sidecar_report, "c2pa": credentials}


def load_watermark_key() -> bytes | None:
    """Return the key with which this machine's user embeds payloads; None if there is none yet.

    Raises what `keys.load_user_key` raises.
    """
    key = keys.load_user_key()
    return None if key is None else key.derive_watermark_key()


def read_owner_key(path: str | Path) -> bytes:
    """Read a watermark key from a file.

    Raises:
        UsageError: The file cannot be read, or is not a key.
    """
    try:
        with Path(path).open("rb") as file:
            key = file.read(MAX_KEY_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"the key {path} cannot be read: {reason}") from error
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise UsageError(f"{path} is not a key: a key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes")
    return key


def _describe_payload(payload: Payload | None) -> dict[str, Any] | None:
    if payload is None:
        return None
    return {
        "version": payload.version,
        "key": f"{payload.key:03x}",
        "receipt": f"{payload.receipt:04x}",
        "bits": f"{payload.bits:08x}",
    }
