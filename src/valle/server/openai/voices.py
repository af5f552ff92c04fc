"""`/v1/audio/voices`: voices made of a recording and a consent, listed and deleted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, UploadFile
from starlette.concurrency import run_in_threadpool

from valle.errors import OutputError
from valle.registry.keys import Caller
from valle.registry.tables import LOCAL, VoiceRow
from valle.server.access import get_lister, require
from valle.server.enrolling import NewVoice, enroll_voice
from valle.server.errors import ApiError
from valle.server.services import Services, get_services
from valle.server.uploads import read_upload
from valle.voices import registry as voice_folder

router = APIRouter(tags=["OpenAI"])


@dataclass(frozen=True)
class VoiceForm:
    """The fields of a new voice."""

    name: Annotated[str, Form(max_length=256)]
    audio_sample: Annotated[UploadFile, File()]
    consent: Annotated[str, Form(max_length=128)] = ""
    ref_text: Annotated[str | None, Form(max_length=10_000)] = None


@router.post("/v1/audio/voices")
async def create_voice(
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("voices"))],
    form: Annotated[VoiceForm, Depends()],
) -> dict[str, Any]:
    """Make a voice of a recording, which a recorded statement of its speaker permits."""
    recording = await read_upload(form.audio_sample, services.options.max_upload)
    new = NewVoice(form.name, recording, form.consent, form.ref_text)
    return describe(await run_in_threadpool(enroll_voice, services, caller, new))


@router.get("/audio/voices")
@router.get("/v1/audio/voices")
def list_voices(
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(get_lister)],
) -> dict[str, Any]:
    """List the voices that the caller may use; `voices` is what Open WebUI and others read."""
    rows = services.registry.voices.list(caller)
    return {
        "object": "list",
        "data": [describe(row) for row in rows],
        "voices": [{"id": row.name, "name": row.name} for row in rows],
    }


@router.delete("/v1/audio/voices/{voice_id}")
def delete_voice(
    voice_id: str,
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("voices"))],
) -> dict[str, Any]:
    """Delete a voice of the caller's own."""
    row = services.registry.voices.find(caller, voice_id)
    if row.owner != caller.id and "admin" not in caller.scopes:
        raise ApiError(403, "this voice is shared; only an admin may delete it", "not_yours")
    if row.owner == LOCAL and row.origin:
        if row.origin != services.registry.machine.key_id:
            raise OutputError("this voice is kept on another machine; delete it there")
        if row.name in voice_folder.names():
            voice_folder.remove(row.name)
        services.registry.machine.synchronize()
    else:
        services.registry.voices.remove(row)
    return {"object": "audio.voice.deleted", "id": row.id, "deleted": True}


def describe(row: VoiceRow) -> dict[str, Any]:
    """Return a voice as OpenAI's clients read it."""
    return {
        "object": "audio.voice",
        "id": row.id,
        "name": row.name,
        "created_at": int(row.created),
    }
