"""`/v1/audio/voice_consents`: recorded statements, and the challenges that they answer.

OpenAI's clients know no challenge: `create` takes the newest open one of the speaker's name, so
they work unchanged after one call of the challenge route.
"""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Query, UploadFile
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from valle.audio.recording import load_recording
from valle.consent import challenge as challenges
from valle.consent.challenge import DEFAULT_PURPOSE
from valle.errors import UsageError
from valle.registry.consents import PENDING, NewConsent
from valle.registry.keys import Caller
from valle.registry.tables import ConsentRow
from valle.server.access import require
from valle.server.services import Services, get_services
from valle.server.uploads import as_file, call_it, read_upload

router = APIRouter(tags=["OpenAI"])

_LANGUAGES = {"en": "en-us", "en-us": "en-us", "en_us": "en-us"}
_USER = "the users of this server"
Caller_ = Annotated[Caller, Depends(require("voices"))]
Services_ = Annotated[Services, Depends(get_services)]


class ChallengeBody(BaseModel):
    """Whose voice it is, and what the consent covers."""

    name: str = Field(max_length=256, description="the speaker's name, as it is read aloud")
    user: str = Field(_USER, max_length=256, description="who may use the voice")
    purpose: str = Field(DEFAULT_PURPOSE, max_length=256, description="what for")
    expires: str | None = Field(
        None, max_length=16, description="last day, as YYYY-MM-DD or in days from today"
    )


class ConsentChanges(BaseModel):
    """What may be changed of a consent."""

    name: str = Field(min_length=1, max_length=255)


@router.post("/v1/audio/voice_consents/challenges")
def create_challenge(body: ChallengeBody, services: Services_, caller: Caller_) -> dict[str, Any]:
    """Return a text that the speaker reads aloud within 15 minutes; this is an extension."""
    challenge = challenges.create(
        body.name, user=body.user, purpose=body.purpose, expires=body.expires
    )
    services.registry.consents.open_challenge(caller, challenge)
    return {
        "object": "audio.voice_consent.challenge",
        "id": challenge.id,
        "name": challenge.speaker,
        "text": challenge.text,
        "expires_at": challenge.expires,
    }


@router.post("/v1/audio/voice_consents")
async def create_consent(
    services: Services_,
    caller: Caller_,
    name: Annotated[str, Form(min_length=1, max_length=255)],
    language: Annotated[str, Form(max_length=32)],
    recording: Annotated[UploadFile, File()],
) -> dict[str, Any]:
    """Store a recording of the challenge's text, read by the speaker of that name."""
    if language.casefold() not in _LANGUAGES:
        raise UsageError(f"consent is verified in English; language takes en-US, not {language!r}")
    data = await read_upload(recording, services.options.max_upload)
    await run_in_threadpool(_check_readable, data)
    new = NewConsent(name, language, data, "bin")
    return _describe(await run_in_threadpool(services.registry.consents.create, caller, new))


def _check_readable(data: bytes) -> None:
    """Refuse now what would be refused with the voice, while the challenge is still open.

    Raises:
        RecordingError: It is not a recording, or nothing is said in it.
    """
    with as_file(data) as path, call_it(path, "the recording"):
        load_recording(path)


@router.get("/v1/audio/voice_consents")
def list_consents(
    services: Services_,
    caller: Caller_,
    after: Annotated[str | None, Query(max_length=128)] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> dict[str, Any]:
    """List the caller's consents, the newest first."""
    rows, has_more = services.registry.consents.list(caller, after, limit)
    return {
        "object": "list",
        "data": [_describe(row) for row in rows],
        "first_id": rows[0].id if rows else None,
        "last_id": rows[-1].id if rows else None,
        "has_more": has_more,
    }


@router.get("/v1/audio/voice_consents/{consent_id}")
def retrieve_consent(consent_id: str, services: Services_, caller: Caller_) -> dict[str, Any]:
    """Return a consent."""
    return _describe(services.registry.consents.get(caller, consent_id))


@router.post("/v1/audio/voice_consents/{consent_id}")
def update_consent(
    consent_id: str, body: ConsentChanges, services: Services_, caller: Caller_
) -> dict[str, Any]:
    """Change the name that a consent is listed under."""
    row = services.registry.consents.get(caller, consent_id)
    return _describe(services.registry.consents.rename(row, body.name))


@router.delete("/v1/audio/voice_consents/{consent_id}")
def delete_consent(consent_id: str, services: Services_, caller: Caller_) -> dict[str, Any]:
    """Delete a consent. The voice that it permitted is silent from then on, everywhere."""
    registry = services.registry
    row = registry.consents.get(caller, consent_id)
    if row.voice_id == PENDING:
        raise UsageError("its voice is being made just now; delete it in a moment")
    if row.receipt_id is not None:
        registry.revoke(row.receipt_id, "")
    registry.consents.remove(row)
    return {"object": "audio.voice_consent.deleted", "id": row.id, "deleted": True}


def _describe(row: ConsentRow) -> dict[str, Any]:
    return {
        "object": "audio.voice_consent",
        "id": row.id,
        "name": row.name,
        "language": row.language,
        "created_at": int(row.created),
    }
