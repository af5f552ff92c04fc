"""Whether a voice may be used now."""

from __future__ import annotations

from valle.errors import ConsentError
from valle.trust import keys, ledger, receipts
from valle.trust.audit import genuine
from valle.trust.ledger import End
from valle.trust.receipts import Receipt
from valle.voices.voice import Voice, recording_sha256


def check_usable(voice: Voice, allow_attested: bool = True, language: str | None = None) -> None:
    """Refuse a voice whose receipt does not hold here and now.

    It holds if it is for this very recording, unaltered, signed by the user's key or a trusted
    one, not revoked and not past its last day. Asked before the first sound of every text, and
    between its sentences.

    Args:
        voice: to be used.
        allow_attested: also one that rests on the user's own word. A server that speaks for
            others should take False.
        language: in which it is to speak; None when it is not to speak now.

    Raises ConsentError, also where the ledger was altered or the clock was set back, and
    OutputError where the ledger cannot be written.
    """
    receipt = receipts.check(voice.consent, recording_sha256(voice.audio, voice.sample_rate))
    keys.check_known(receipt.key)
    end = ledger.end()
    _check_holds(receipt, end)
    if not allow_attested and receipt.kind == "attested":
        raise ConsentError(
            "this voice rests on its user's own word (attest), which is not enough here: enroll "
            "it with its owner's spoken agreement (consent)"
        )
    allowed = receipt.scope.languages
    if language is not None and allowed is not None and language not in allowed:
        raise ConsentError(
            f"its owner agreed to {', '.join(allowed) or 'no language'}, not to {language}"
        )


def check_attestable(recording_sha256: str) -> None:
    """Refuse the user's word for a recording whose owner's agreement was revoked or has ended.

    Raises ConsentError, and what `ledger.end` raises.
    """
    end = ledger.end()
    why = "was revoked" if recording_sha256 in end.revoked.values() else None
    key = ledger.signer().id
    for raw in ledger.raw_lines():
        # Looked for as bytes first: a long ledger is read, and few of its lines checked.
        line = genuine(raw, key) if recording_sha256.encode() in raw else None
        if line and line["what"] == "enroll" and expired(line["expires"], end.latest):
            why = why or f"ended with {line['expires']}"
    if why:
        raise ConsentError(
            f"the agreement to this recording {why}, and your word does not bring it back; "
            "its owner can agree anew: `valle consent new`"
        )


def expired(receipt_expires: str | None, moment: str) -> bool:
    """Whether a last day (inclusive, by UTC) lies before a moment (as `ledger.now` gives)."""
    return receipt_expires is not None and moment[:10] > receipt_expires


def _check_holds(receipt: Receipt, end: End) -> None:
    if receipt.id in end.revoked:
        raise ConsentError(
            f"the agreement to this voice (receipt {receipt.id[:16]}...) was revoked; "
            "its owner can agree anew: `valle consent new`"
        )
    if expired(receipt.scope.expires, end.latest):
        ledger.saw(end.latest)  # or a clock set back could bring it back
        raise ConsentError(
            f"the agreement to this voice ended with {receipt.scope.expires}; "
            "its owner can agree anew: `valle consent new`"
        )
