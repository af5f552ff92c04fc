"""From what the user gives, words or a recorded statement, to the receipt of a new voice."""

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
from valle.consent import permission, verification
from valle.consent.challenge import Challenge
from valle.consent.fingerprint import Fingerprint, fingerprint
from valle.errors import ConsentError, UsageError
from valle.trust import ledger, private_files, receipts
from valle.voices.voice import Voice, recording_sha256

Receipt = dict[str, Any]


def check_given(attest: str | None, statement: object, challenge: str | None = None) -> None:
    """Before long work: whether an agreement is given at all, and in one way only.

    Raises ConsentError or UsageError.
    """
    if statement is not None and attest is not None:
        raise UsageError("give one of --attest and --consent, not both")
    if challenge is not None and statement is None:
        raise UsageError("--challenge goes with --consent, the recording in which it is read")
    if statement is None and (attest is None or not attest.strip()):
        raise ConsentError(
            "a new recording needs its owner's agreement: --consent FILE, the owner reading what "
            "`valle consent new` prints, or your own word for your right to the voice, such as "
            '--attest "I hold the rights to this voice"'
        )


def agreement(
    bundle: Bundle,
    name: str | None,
    attest: str | None,
    statement: str | Path | None,
    challenge: str | None,
) -> Callable[[Samples, int], Receipt]:
    """What makes the receipt for a recording: [N] mono samples and their sample rate.

    Args:
        bundle: its models check a statement.
        name: of the voice, None for one without.
        attest: the user's word, or
        statement: a recording of the owner's agreement, with
        challenge: the id of what is read in it; None for the newest that is open for `name`.

    Raises UsageError, and ConsentError where there is no agreement or no open challenge. The
    result raises ConsentError for an agreement that does not hold, RecordingError for a statement
    that cannot be read.
    """
    check_given(attest, statement, challenge)
    if statement is None:
        return lambda audio, sample_rate: _attested(str(attest), audio, sample_rate)
    read, path = challenges.find(challenge, name), statement
    return lambda audio, sample_rate: _consented(bundle, read, path, audio, sample_rate)


def record(voice: Voice) -> None:
    """Enter a new voice in the ledger, if its receipt holds.

    Raises what `check_usable` raises.
    """
    permission.check_usable(voice)
    receipt = voice.consent
    ledger.append(
        "enroll",
        receipt=receipt["id"],
        kind=receipt["kind"],
        recording_sha256=receipt["recording_sha256"],
        expires=receipt["scope"]["expires"],
        voice=voice.name,
    )


def _attested(words: str, audio: Samples, sample_rate: int) -> Receipt:
    recording = recording_sha256(audio, sample_rate)
    permission.check_attestable(recording)
    return receipts.attest(words, recording)


def _consented(
    bundle: Bundle, challenge: Challenge, path: str | Path, audio: Samples, sample_rate: int
) -> Receipt:
    spoken = load_recording(path)
    if spoken.seconds > verification.LONGEST:
        raise ConsentError(
            f"{path} lasts {spoken.seconds:.0f} s; read the statement and nothing else, "
            f"{verification.LONGEST:.0f} s at most"
        )
    recorded = spoken.samples, spoken.sample_rate
    scores = verification.score(
        bundle, (audio, sample_rate), recorded, challenge.statement, _earlier()
    )
    if faults := scores.faults():
        raise ConsentError(
            f"{path} is not accepted as agreement: {'; '.join(faults)}. Record it again: read the "
            "whole statement once, in a quiet place, in the voice and with the microphone of the "
            "recording"
        )
    challenges.use_up(challenge)
    _keep(challenge, fingerprint(*recorded))
    return receipts.sign(
        kind="consented",
        recording_sha256=recording_sha256(audio, sample_rate),
        statement=challenge.text,
        statement_sha256=recording_sha256(*recorded),
        speaker=challenge.name,
        challenge=challenge.id,
        scope=challenge.scope.model_dump(),
        scores=scores.as_facts(),
    )


def _earlier() -> list[Fingerprint]:
    """The fingerprints of all statements that were accepted."""
    found = []
    for path in sorted((private_files.folder() / "statements").glob("*.npy")):
        try:
            bits = np.load(path, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise ConsentError(
                f"cannot read {path}, the fingerprint of an earlier statement: {error}; "
                "put back a copy of it"
            ) from error
        found.append(np.unpackbits(bits, axis=1).astype(bool))
    return found


def _keep(challenge: Challenge, bits: Fingerprint) -> None:
    file = io.BytesIO()
    np.save(file, np.packbits(bits, axis=1), allow_pickle=False)
    with private_files.locked() as folder:
        place = folder / "statements"
        place.mkdir(mode=private_files.FOLDER_MODE, exist_ok=True)
        private_files.write_private(place / f"{challenge.id}.npy", file.getvalue())
