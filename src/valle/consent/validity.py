"""Whether the receipt of a voice is valid here and now, so that the voice may be used."""

from __future__ import annotations

from valle.errors import ConsentError
from valle.trust import keys, ledger, receipts
from valle.trust.ledger import Head, is_expired
from valle.trust.ledger_line import verify_line
from valle.trust.receipts import Receipt
from valle.voices.voice import Voice, recording_sha256


def check_usable(voice: Voice, allow_attested: bool = True, language: str | None = None) -> None:
    """Check that the receipt of a voice is valid.

    It must be for this recording, unaltered, signed by the user's key or a trusted one, not
    revoked, and not past its last day. This is checked before any audio of a text, and
    again before each of its sentences.

    Args:
        voice: The voice to use.
        allow_attested: Also accept a receipt that rests on the user's own word. A server that
            speaks for others should pass False.
        language: The language to speak; None if the voice is not to speak now.

    Raises:
        ConsentError: The receipt is not valid, or the ledger was altered.
        OutputError: The ledger cannot be written.
    """
    receipt = receipts.check(voice.consent, recording_sha256(voice.audio, voice.sample_rate))
    keys.check_known(receipt.key)
    _check_not_ended(receipt, ledger.read_head())
    if not allow_attested and receipt.kind == "attested":
        raise ConsentError(
            "this voice rests on its user's own word (attest), which is not enough here: enroll "
            "it with its owner's spoken consent (consent)"
        )
    allowed = receipt.scope.languages
    if language is not None and allowed is not None and language not in allowed:
        raise ConsentError(
            f"its owner consented to {', '.join(allowed) or 'no language'}, not to {language}"
        )


def check_attestable(recording_sha256: str) -> None:
    """Check that the user's own word may still be given for a recording.

    Raises:
        ConsentError: The owner's consent to this recording was revoked or has expired; and what
            `ledger.read_head` raises.
    """
    head = ledger.read_head()
    reason = "was revoked" if recording_sha256 in head.revoked.values() else None
    if recording_sha256 in head.ended.values():
        reason = reason or "has ended"
    key_id = ledger.get_signing_key().id
    for raw_line in ledger.read_raw_lines():
        # A search in bytes first: of a long ledger, few signatures have to be verified.
        line = verify_line(raw_line, key_id) if recording_sha256.encode() in raw_line else None
        if line and line["what"] == "enroll" and is_expired(line["expires"], head.latest):
            reason = reason or f"ended with {line['expires']}"
    if reason:
        raise ConsentError(
            f"the consent to this recording {reason}, and your word does not replace it; "
            "its owner can consent again: `valle consent new`"
        )


def _check_not_ended(receipt: Receipt, head: Head) -> None:
    if receipt.id in head.revoked:
        raise ConsentError(
            f"the consent to this voice (receipt {receipt.id[:16]}...) was revoked; "
            "its owner can consent again: `valle consent new`"
        )
    moment = head.latest
    if receipt.key != ledger.get_signing_key().id:  # the ledger does not have others' receipts
        moment = max(moment, head.latest_ever)
    if receipt.id in head.ended or is_expired(receipt.scope.expires, moment):
        ledger.record_time(head.latest)  # otherwise setting the clock back would renew it
        raise ConsentError(
            f"the consent to this voice ended with {receipt.scope.expires}; "
            "its owner can consent again: `valle consent new`"
        )
