"""A voice made in the page: of a recording, and a statement read aloud or the user's own word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from starlette.concurrency import run_in_threadpool

from valle.consent.advice import StatementRefusedError
from valle.errors import ConsentError, RecordingError, UsageError
from valle.registry.consents import NewConsent
from valle.registry.keys import Caller
from valle.registry.tables import VoiceRow
from valle.server.access import may_use_attested, require
from valle.server.enrolling import NewVoice, enroll_attested, enroll_voice
from valle.server.services import Services, get_services
from valle.server.studio.voices import describe_voice
from valle.server.uploads import read_upload

router = APIRouter(tags=["studio"])


@dataclass(frozen=True)
class VoiceForm:
    """The fields of a new voice: either a statement or an attestation."""

    name: Annotated[str, Form(max_length=256)]
    recording: Annotated[UploadFile, File(description="of the voice")]
    statement: Annotated[
        UploadFile | None, File(description="its owner reading the newest challenge of that name")
    ] = None
    consent: Annotated[
        str, Form(max_length=128, description="of a statement that is recorded once more")
    ] = ""
    attestation: Annotated[
        str, Form(max_length=128, description="the sentence that GET /v1/studio states")
    ] = ""


@router.post("/v1/studio/voices")
async def create_voice(
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("voices"))],
    form: Annotated[VoiceForm, Depends()],
) -> dict[str, Any]:
    """Make a voice; a statement that is not accepted is answered with what to do about it."""
    limit = services.options.max_upload
    recording = await read_upload(form.recording, limit)
    statement = None if form.statement is None else await read_upload(form.statement, limit)
    return await run_in_threadpool(_create, services, caller, form, (recording, statement))


def _create(
    services: Services, caller: Caller, form: VoiceForm, files: tuple[bytes, bytes | None]
) -> dict[str, Any]:
    recording, statement = files
    if statement is None:
        if not may_use_attested(services, caller):
            raise ConsentError(
                "on this server a voice needs its owner's statement, read aloud: your word alone "
                "is not enough"
            )
        new = NewVoice(form.name, recording, "")
        return _answer(services, caller, enroll_attested(services, caller, new, form.attestation))
    if form.attestation:
        raise UsageError("give a statement or an attestation, not both")
    # A name that cannot be had should not cost a statement.
    services.registry.voices.check_free(caller.id, form.name)
    consents = services.registry.consents
    if form.consent:
        consent = consents.get(caller, form.consent)
        consents.replace_recording(consent, statement)
    else:
        new_consent = NewConsent(form.name, "en-us", statement, "bin")
        consent = consents.create(caller, new_consent)
    try:
        row = enroll_voice(services, caller, NewVoice(form.name, recording, consent.id))
    except (ConsentError, RecordingError) as error:
        # The challenge is closed: only with the id of the consent can the text be recorded again.
        return {
            "object": "studio.enrollment",
            "voice": None,
            "consent": consent.id,
            "refusal": _describe_refusal(error),
        }
    return _answer(services, caller, row)


def _describe_refusal(error: ConsentError | RecordingError) -> dict[str, Any]:
    """Return what was wrong, and what to do; what is not about the statement costs no try."""
    if isinstance(error, StatementRefusedError):
        return {
            "faults": error.faults,
            "advice": error.advice,
            "tries_left": error.tries_left,
        }
    return {"faults": [str(error)], "advice": [], "tries_left": None}


def _answer(services: Services, caller: Caller, row: VoiceRow) -> dict[str, Any]:
    voice = describe_voice(services, caller, row, {})
    return {"object": "studio.enrollment", "voice": voice, "consent": None, "refusal": None}
