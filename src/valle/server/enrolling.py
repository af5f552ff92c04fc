"""Voices made over HTTP: a recording, and a consent that permits it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from pathlib import Path

from valle.arrays import Samples
from valle.consent.challenge import Challenge
from valle.consent.issuing import Receipt, issue_consent, record_enrollment
from valle.errors import ConsentError
from valle.registry.keys import Caller
from valle.registry.tables import LOCAL, ConsentRow, VoiceRow
from valle.server.services import Services
from valle.server.uploads import as_file, call_it
from valle.synthesis.model import Model
from valle.voices import registry as voice_folder
from valle.voices.enrollment import enroll
from valle.voices.voice import Voice

_at_once = threading.Semaphore(2)  # enrolling takes a second of all cores


@dataclass(frozen=True)
class NewVoice:
    """What a voice is made of."""

    name: str
    recording: bytes
    consent_id: str
    ref_text: str | None = None


def enroll_voice(services: Services, caller: Caller, new: NewVoice) -> VoiceRow:
    """Make a voice of a recording, if the statement of its consent is that speaker's.

    Raises:
        UsageError: The name is not allowed or is taken, or there is no such consent.
        ConsentError: The consent was used, or does not hold for this recording.
        RecordingError: The recording cannot be used.
    """
    registry = services.registry
    name = registry.voices.check_free(caller.id, new.name)
    if caller.id == LOCAL:
        voice_folder.check_free(name)
    if not new.consent_id:
        raise ConsentError(
            "a new voice needs its owner's consent: the id of POST /v1/audio/voice_consents, with "
            "a recording of the text that POST /v1/audio/voice_consents/challenges gives"
        )
    consent = registry.consents.get(caller, new.consent_id)
    registry.consents.reserve(consent)
    enrollment = _Enrollment(services, caller, replace(new, name=name), consent)
    try:
        with _at_once:
            row = enrollment.run()
    except BaseException:
        if not enrollment.is_spent:
            registry.consents.release(consent)
        raise
    registry.consents.use(consent, row.id, row.receipt_id)
    return row


def enroll_attested(
    services: Services, caller: Caller, new: NewVoice, attestation: str
) -> VoiceRow:
    """Make a voice of a recording on the caller's own word.

    Whether that is enough for this caller is the route's to know.

    Raises:
        UsageError: The name is not allowed or is taken.
        ConsentError: The attestation has other words than its sentence, or the consent to this
            recording or voice was revoked.
        RecordingError: The recording cannot be used.
    """
    name = services.registry.voices.check_free(caller.id, new.name)
    if caller.id == LOCAL:
        voice_folder.check_free(name)
    model = services.loader.get()
    with (
        _at_once,
        as_file(new.recording) as recording,
        call_it(recording, "the recording"),
    ):
        voice = model.enroll(recording, name=name, ref_text=new.ref_text, attest=attestation)
    return _store(services, caller, voice)


def _store(services: Services, caller: Caller, voice: Voice) -> VoiceRow:
    """Store a new voice; that of this computer's user where the command line has it too."""
    registry = services.registry
    if caller.id != LOCAL:
        return registry.voices.add(caller.id, voice)
    voice_folder.add(voice)
    registry.machine.synchronize()
    return registry.voices.find(caller, voice.name)


class _Enrollment:
    """One voice that is being made under a consent that was reserved for it."""

    def __init__(
        self, services: Services, caller: Caller, new: NewVoice, consent: ConsentRow
    ) -> None:
        self._services, self._caller, self._new = services, caller, new
        self._statement = services.registry.consents.read_recording(consent)
        self._challenge = Challenge.model_validate(consent.challenge)
        self.is_spent = False  # whether the statement was accepted, or was refused too often

    def run(self) -> VoiceRow:
        """Verify the consent, and make and store the voice."""
        with as_file(self._new.recording) as recording, call_it(recording, "the recording"):
            voice = self._make(self._services.loader.get(), recording)
        return _store(self._services, self._caller, voice)

    def _make(self, model: Model, recording: Path) -> Voice:
        def issue(audio: Samples, sample_rate: int) -> Receipt:
            with as_file(self._statement) as path, call_it(path, "the recorded statement"):
                reference = audio, sample_rate
                return issue_consent(model.bundle, self._challenge, path, reference, self._close)

        voice = enroll(model.bundle, recording, self._new.name, self._new.ref_text, issue)
        record_enrollment(voice)
        model.embedding(voice)  # stores what the models compute of it in the voice
        return voice

    def _close(self, _challenge: Challenge) -> None:
        # In the registry it was closed when the statement came.
        self.is_spent = True
