"""Whether the receipt of a voice is valid here and now, so that the voice may be used."""

from __future__ import annotations

from valle.arrays import Samples
from valle.consent.prints import find_alike
from valle.consent.verifiers import VERIFIERS
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
            speaks for others should pass False. What the owner's spoken consent proves is in the
            receipt's field `proves`.
        language: The language to speak; None if the voice is not to speak now.

    Raises:
        ConsentError: The receipt is not valid, or the ledger was altered.
        OutputError: The ledger cannot be written.
    """
    digest = recording_sha256(voice.audio, voice.sample_rate)
    receipt = check_receipt(voice.consent, digest)
    voice.check_unchanged()
    if not allow_attested:
        _check_spoken(receipt)
    allowed = receipt.scope.languages
    if language is not None and allowed is not None and language not in allowed:
        raise ConsentError(
            f"its owner consented to {', '.join(allowed) or 'no language'}, not to {language}"
        )


class UsableVoice:
    """A voice whose receipt was checked, and is checked again once the ledger has changed.

    A check takes milliseconds, which a sentence has, and not each of its pieces.
    """

    def __init__(self, voice: Voice, language: str | None = None) -> None:
        """Check a voice as `check_usable` does, and raise what it raises."""
        self._voice, self._language = voice, language
        self._state: tuple[object, ...] = ()
        self.check()

    def check(self) -> None:
        """Check it again if that is needed; raises what `check_usable` raises."""
        state = ledger.describe_state()
        if state != self._state:
            check_usable(self._voice, language=self._language)
            self._state = state


def check_receipt(receipt: object, digest: str) -> Receipt:
    """Check that a receipt is valid here and now for the recording with a hash; return it parsed.

    Raises:
        ConsentError: It is for another recording, altered, signed by a key that is not known here,
            revoked or expired; or the ledger was altered.
        OutputError: The ledger cannot be written.
    """
    parsed = receipts.check(receipt, digest)
    keys.check_known(parsed.key)
    _check_not_ended(parsed, ledger.read_head())
    return parsed


def check_attestable(samples: Samples, sample_rate: int) -> None:
    """Check that the user's own word may still be given for a recording [N].

    A revocation covers the recording, however it is coded or cut, and the voice in it.

    Raises:
        ConsentError: The owner's consent to this recording or voice was revoked, or that to the
            recording has expired; and what `ledger.read_head` raises.
    """
    head = ledger.read_head()
    digest = recording_sha256(samples, sample_rate)
    what, reason = "recording", "was revoked" if digest in head.revoked.values() else None
    if digest in head.ended.values():
        reason = reason or "has ended"
    key_id = ledger.get_signing_key().id
    for raw_line in ledger.read_raw_lines():
        # A search in bytes first: of a long ledger, few signatures have to be verified.
        line = verify_line(raw_line, key_id) if digest.encode() in raw_line else None
        if line and line["what"] == "enroll" and is_expired(line["expires"], head.latest):
            reason = reason or f"ended with {line['expires']}"
    if reason is None and head.revoked:
        alike = find_alike(samples, sample_rate, list(head.revoked))
        if alike is not None:
            what, reason = alike, "was revoked"
    if reason:
        raise ConsentError(
            f"the consent to this {what} {reason}, and your word does not replace it; "
            "its owner can consent again: `valle consent new`"
        )


def _check_spoken(receipt: Receipt) -> None:
    """Check that a receipt rests on a statement that all verifiers have checked."""
    if receipt.kind == "attested":
        raise ConsentError(
            "this voice rests on its user's own word (attest), which is not enough here: enroll "
            "it with its owner's spoken consent (consent)"
        )
    is_verified = receipt.verifiers is not None and set(receipt.verifiers) == set(VERIFIERS)
    if not is_verified or not isinstance(receipt.scores.get("spoof"), float):
        raise ConsentError(
            "the owner's statement was not verified by all models that verify it now, which is not "
            "enough here: enroll the voice again with a new statement (`valle consent new`)"
        )


def _check_not_ended(receipt: Receipt, head: Head) -> None:
    # Of a recording that was revoked, no word of a user makes another voice.
    same_recording = receipt.recording_sha256 in head.revoked.values()
    if receipt.id in head.revoked or (receipt.kind == "attested" and same_recording):
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
