"""Issuing receipts: from what the user gives, words or a recorded statement, to a new receipt."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from valle.arrays import Samples
from valle.audio.recording import load_recording
from valle.bundle.bundle import Bundle
from valle.consent import challenge as challenges
from valle.consent import validity, verification
from valle.consent.challenge import Challenge
from valle.consent.fingerprint import Fingerprint, compute_fingerprint
from valle.errors import ConsentError, UsageError
from valle.trust import ledger, private_files, receipts
from valle.trust.attestation import ATTESTATION
from valle.voices.voice import Voice, recording_sha256

Receipt = dict[str, Any]
Issuer = Callable[[Samples, int], Receipt]
"""Issues the receipt for a recording: [N] mono samples and their sample rate."""


def check_given(
    attest: str | None,
    statement: object,
    challenge: str | None = None,
    speaker: str | None = None,
) -> None:
    """Check, before long work, that exactly one of attestation and consent is given.

    Raises:
        UsageError: Both are given, or a challenge or a speaker without a statement.
        ConsentError: Neither is given, or the attestation has other words than `ATTESTATION`.
    """
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


def build_issuer(  # noqa: PLR0913 - the public options of enrollment
    bundle: Bundle,
    speaker: str | None,
    attest: str | None,
    statement: str | Path | None,
    challenge: str | None,
    voice: str | None = None,
) -> Issuer:
    """Build the function that issues the receipt for a recording.

    Args:
        bundle: Its models verify a recorded statement.
        speaker: The speaker's name as the statement says it; None if no name is known.
        attest: `ATTESTATION`, the user's own statement of holding the rights, or
        statement: A recording of the owner's consent, with
        challenge: The id of the text that is read in it; None for the newest open challenge of
            `speaker`.
        voice: The name of the voice, if it has one.

    Returns:
        The issuer. It raises ConsentError for a consent that is not accepted, and RecordingError
        for a statement that cannot be read.

    Raises:
        UsageError: The arguments exclude each other.
        ConsentError: There is no consent, or no open challenge.
    """
    check_given(attest, statement, challenge)
    if statement is None:
        return lambda audio, sample_rate: _issue_attestation(voice, audio, sample_rate)
    open_challenge, path = challenges.find(challenge, speaker), statement
    return lambda audio, sample_rate: _issue_consent(
        bundle, open_challenge, path, (audio, sample_rate)
    )


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
    )


def _issue_attestation(voice: str | None, audio: Samples, sample_rate: int) -> Receipt:
    digest = recording_sha256(audio, sample_rate)
    validity.check_attestable(digest)
    return receipts.attest(ATTESTATION, digest, voice)


def _issue_consent(
    bundle: Bundle, challenge: Challenge, path: str | Path, reference: tuple[Samples, int]
) -> Receipt:
    """Verify the recorded statement at `path`, and sign the receipt for `reference`."""
    recording = load_recording(path)
    if recording.seconds > verification.MAX_SECONDS:
        raise ConsentError(
            f"{path} lasts {recording.seconds:.0f} s; read the statement and nothing else, "
            f"{verification.MAX_SECONDS:.0f} s at most"
        )
    recorded = recording.samples, recording.sample_rate
    scores = verification.score(
        bundle, reference, recorded, challenge.statement, _load_fingerprints()
    )
    if faults := scores.find_faults():
        raise ConsentError(
            f"{path} is not accepted as consent: {'; '.join(faults)}. Record it again: read the "
            "whole statement once, in a quiet place, in the voice and with the microphone of the "
            "recording"
        )
    challenges.consume(challenge)
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
