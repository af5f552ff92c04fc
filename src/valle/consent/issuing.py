"""Issuing receipts: from what the user gives, words or a recorded statement, to a new receipt."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from valle.arrays import Samples
from valle.audio.fingerprint import Fingerprint, compute_fingerprint
from valle.audio.recording import load_recording
from valle.bundle.bundle import Bundle
from valle.consent import attempts, validity, verification
from valle.consent import challenge as challenges
from valle.consent.advice import refuse_statement
from valle.consent.challenge import Challenge
from valle.consent.prints import save_print
from valle.consent.verifiers import find_verifiers, hash_verifiers
from valle.errors import ConsentError, UsageError
from valle.trust import ledger, private_files, receipts
from valle.trust.attestation import ATTESTATION
from valle.voices.voice import Voice, recording_sha256

Receipt = dict[str, Any]
Issuer = Callable[[Samples, int], Receipt]
"""Issues the receipt for a recording: [N] mono samples and their sample rate."""


class GivenConsent(NamedTuple):
    """What a user gives for the use of a voice: their word, or a recorded statement.

    Attributes:
        attest: the user's own statement of holding the rights: `ATTESTATION`, and no other words.
        statement: a recording of the owner reading a consent statement.
        challenge: the id of what was read; None for the speaker's newest open challenge.
        speaker: the speaker's name as the statement says it; None for the name of the voice.
    """

    attest: str | None = None
    statement: str | Path | None = None
    challenge: str | None = None
    speaker: str | None = None


def check_given(given: GivenConsent) -> None:
    """Check, before long work, that exactly one of attestation and consent is given.

    Raises:
        UsageError: Both are given, or a challenge or a speaker without a statement.
        ConsentError: Neither is given, or the attestation has other words than `ATTESTATION`.
    """
    attest, statement, challenge, speaker = given
    if statement is not None and attest is not None:
        raise UsageError("give one of --attest and --consent, not both")
    if challenge is not None and statement is None:
        raise UsageError("--challenge goes with --consent, the recording in which it is read")
    if speaker is not None and statement is None:
        raise UsageError("--speaker goes with --consent, the recording in which the name is said")
    if statement is None and (attest is None or not attest.strip()):
        raise ConsentError(
            "a new recording needs its owner's consent: --consent FILE, the owner reading what "
            f'`valle consent new` prints; or your own word, --attest "{ATTESTATION}", for which '
            "--i-hold-the-rights is short"
        )
    if attest is not None and _normalize(attest) != _normalize(ATTESTATION):
        raise ConsentError(
            f'an attestation is the sentence "{ATTESTATION}", not {attest!r}; state it only if '
            "it is true (--i-hold-the-rights is short for it)"
        )


def _normalize(sentence: str) -> str:
    return " ".join(sentence.split()).rstrip(".").casefold()


def build_issuer(bundle: Bundle, given: GivenConsent, voice: str | None = None) -> Issuer:
    """Build the function that issues the receipt for a recording.

    Args:
        bundle: The bundle to speak with. It verifies a statement only if its models are those of
            the default bundle, see `valle.consent.verifiers`.
        given: An attestation or a consent.
        voice: The name of the voice, if it has one.

    Returns:
        The issuer. It raises ConsentError for a consent that is not accepted, and RecordingError
        for a statement that cannot be read.

    Raises:
        UsageError: What is given excludes each other.
        ConsentError: There is no consent, or no open challenge.
    """
    check_given(given)
    path = given.statement
    if path is None:
        return lambda audio, sample_rate: _issue_attestation(voice, audio, sample_rate)
    speaker = voice if given.speaker is None else given.speaker
    open_challenge = challenges.find(given.challenge, speaker)

    def issue(audio: Samples, sample_rate: int) -> Receipt:
        reference = audio, sample_rate
        return issue_consent(bundle, open_challenge, path, reference, challenges.consume)

    return issue


def record_enrollment(voice: Voice) -> None:
    """Enter a new voice in the ledger, if its receipt is valid.

    Raises what `validity.check_usable` raises.
    """
    validity.check_usable(voice)
    receipt = voice.consent
    ledger.append(
        "enroll",
        receipt=receipt["id"],
        kind=receipt["kind"],
        recording_sha256=receipt["recording_sha256"],
        expires=receipt["scope"]["expires"],
        voice=voice.name,
        **({"speaker": receipt["speaker"]} if receipt["kind"] == "consented" else {}),
    )
    save_print(receipt["id"], voice.audio, voice.sample_rate)


def _issue_attestation(voice: str | None, audio: Samples, sample_rate: int) -> Receipt:
    validity.check_attestable(audio, sample_rate)
    digest = recording_sha256(audio, sample_rate)
    return receipts.attest(ATTESTATION, digest, voice)


def issue_consent(
    bundle: Bundle,
    challenge: Challenge,
    path: str | Path,
    reference: tuple[Samples, int],
    close: Callable[[Challenge], None],
) -> Receipt:
    """Verify a recorded statement, and sign the receipt for a recording.

    Args:
        bundle: See `build_issuer`.
        challenge: What was to be read. Whether it is open is the caller's to know.
        path: The recorded statement.
        reference: The recording, [N] mono samples and their sample rate.
        close: Closes the challenge for good, or raises if it was used before; called once the
            statement is accepted.

    Raises:
        ConsentError: The statement is not accepted.
        RecordingError: The statement cannot be read.
    """
    recording = load_recording(path)
    if recording.seconds > verification.MAX_SECONDS:
        raise ConsentError(
            f"{path} lasts {recording.seconds:.0f} s; read the statement and nothing else, "
            f"{verification.MAX_SECONDS:.0f} s at most"
        )
    recorded = recording.samples, recording.sample_rate
    verifiers = find_verifiers(bundle)
    number = attempts.record_try(challenge.id)
    scores = verification.score(
        verifiers, reference, recorded, challenge.statement, _load_fingerprints()
    )
    if scores.find_faults():
        attempts.record_refusal(challenge.id, number, scores.as_dict())
        if number >= attempts.MAX_TRIES:
            close(challenge)
        raise refuse_statement(str(path), scores, number, challenge.expires)
    close(challenge)
    _save_fingerprint(challenge, compute_fingerprint(*recorded))
    return receipts.sign(
        kind="consented",
        recording_sha256=recording_sha256(*reference),
        statement=challenge.text,
        statement_sha256=recording_sha256(*recorded),
        speaker=challenge.speaker,
        challenge=challenge.id,
        scope=challenge.scope.model_dump(),
        scores=scores.as_dict(),
        verifiers=hash_verifiers(verifiers),
        challenges=challenge.number,
        tries=number,
        proves=receipts.CONSENT_PROVES,
    )


def _load_fingerprints() -> list[Fingerprint]:
    """Load the fingerprints of all statements that were accepted."""
    fingerprints = []
    for path in sorted((private_files.folder() / "statements").glob("*.npy")):
        try:
            packed = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ConsentError(
                f"cannot read {path}, the fingerprint of an earlier statement: {error}; "
                "put back a copy of it"
            ) from error
        fingerprints.append(np.unpackbits(packed, axis=1).astype(bool))
    return fingerprints


def _save_fingerprint(challenge: Challenge, bits: Fingerprint) -> None:
    file = io.BytesIO()
    np.save(file, np.packbits(bits, axis=1), allow_pickle=False)
    with private_files.lock_folder() as folder:
        statements = folder / "statements"
        statements.mkdir(mode=private_files.FOLDER_MODE, exist_ok=True)
        private_files.write_private(statements / f"{challenge.id}.npy", file.getvalue())
