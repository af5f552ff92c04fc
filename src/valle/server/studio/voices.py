"""Voices in the page: listed with their consent, heard, renamed, revoked, exported.

What a voice is made of, its recording, is for its owner alone, even where others may speak with it.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field

from valle.consent.validity import check_usable
from valle.errors import ConsentError, Error, OutputError
from valle.registry.keys import Caller
from valle.registry.receipts import check_not_revoked
from valle.registry.tables import VoiceRow
from valle.server.access import may_use_attested, require
from valle.server.encoders import to_int16, wav_header
from valle.server.errors import ApiError
from valle.server.services import Services, get_services
from valle.trust import ledger
from valle.voices import registry as voice_folder
from valle.voices.suitability import is_about_excerpt
from valle.voices.voice import Voice

_LATEST_USES = 50  # of a voice, that are listed

router = APIRouter(tags=["studio"])
Services_ = Annotated[Services, Depends(get_services)]
Lister = Annotated[Caller, Depends(require("speak"))]
Owner = Annotated[Caller, Depends(require("voices"))]


class VoiceChanges(BaseModel):
    """What may be changed of a voice."""

    name: str = Field(min_length=1, max_length=256, description="its new name")


@router.get("/v1/studio/voices")
def list_voices(services: Services_, caller: Lister) -> dict[str, Any]:
    """List the voices that the caller may use, each with its consent and how often it was used."""
    # What was enrolled on the command line a moment ago is missed by who looks for it here.
    with contextlib.suppress(Error):  # a registry that is out of step still has its voices
        services.registry.machine.synchronize()
    uses = _count_uses() if _may_read_ledger(caller) else {}
    rows = services.registry.voices.list(caller)
    return {
        "object": "list",
        "data": [describe_voice(services, caller, row, uses) for row in rows],
    }


@router.get("/v1/studio/voices/{voice_id}/uses")
def list_uses(voice_id: str, services: Services_, caller: Owner) -> dict[str, Any]:
    """List when the voice was used, by the ledger of this machine, the latest use first."""
    row = _find_own(services, caller, voice_id)
    if not _may_read_ledger(caller):
        raise ApiError(403, "the ledger is for the server's own user", "insufficient_scope")
    uses = [
        {"time": line["time"], "model": line.get("model"), "seed": line.get("seed")}
        for line in ledger.read_lines()
        if line.get("what") == "speak" and line.get("receipt") == row.receipt_id
    ]
    return {"object": "list", "data": uses[: -_LATEST_USES - 1 : -1], "count": len(uses)}


@router.get("/v1/studio/voices/{voice_id}/recording", response_class=Response)
def fetch_recording(voice_id: str, services: Services_, caller: Owner) -> Response:
    """Return the recording that a voice was made of, as a WAV file."""
    voice = services.registry.voices.load(_find_own(services, caller, voice_id))
    data = to_int16(voice.audio).tobytes()
    content = wav_header(voice.sample_rate, len(data)) + data
    return Response(content, media_type="audio/wav", headers={"Cache-Control": "no-store"})


@router.get("/v1/studio/voices/{voice_id}/file", response_class=Response)
def export_voice(voice_id: str, services: Services_, caller: Owner) -> Response:
    """Return the voice's file, with its receipt, as `valle speak --voice FILE` takes it."""
    row = _find_own(services, caller, voice_id)
    content = services.registry.objects.get(row.object_key)
    disposition = f"attachment; filename*=UTF-8''{quote(row.name)}.safetensors"
    headers = {"Content-Disposition": disposition, "Cache-Control": "no-store"}
    return Response(content, media_type="application/octet-stream", headers=headers)


@router.post("/v1/studio/voices/{voice_id}")
def rename_voice(
    voice_id: str, changes: VoiceChanges, services: Services_, caller: Owner
) -> dict[str, Any]:
    """Rename a voice. What was spoken with it keeps the old name."""
    row = _find_own(services, caller, voice_id)
    voices = services.registry.voices
    name = voices.check_free(row.owner, changes.name)
    if row.origin:
        if row.origin != services.registry.machine.key_id:
            raise OutputError("this voice is kept on another machine; rename it there")
        voice_folder.rename(row.name, name)
        services.registry.machine.synchronize()
        renamed = voices.find(caller, name)
    else:
        renamed = voices.add(row.owner, voices.load(row).with_name(name))
        voices.remove(row)
    return describe_voice(services, caller, renamed, {})


@router.post("/v1/studio/voices/{voice_id}/revocation")
def revoke_voice(voice_id: str, services: Services_, caller: Owner) -> dict[str, Any]:
    """Revoke the consent to a voice, for good: it never speaks again, on no machine."""
    row = _find_own(services, caller, voice_id)
    voice = services.registry.voices.load(row)
    services.registry.revoke(row.receipt_id, voice.consent["recording_sha256"])
    return describe_voice(services, caller, row, {})


def describe_voice(
    services: Services, caller: Caller, row: VoiceRow, uses: dict[str, list[str]]
) -> dict[str, Any]:
    """Return what the page shows of a voice; `uses` has the times by receipt."""
    times = uses.get(row.receipt_id, [])
    described: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "created": int(row.created),
        "is_own": _is_own(caller, row),
        "uses": len(times),
        "last_use": max(times, default=None),
    }
    try:
        voice = services.registry.voices.load(row)
    except Error as error:
        return described | {"kind": None, "usable": False, "why": str(error)}
    consent = voice.consent
    why = _find_obstacle(services, caller, voice)
    return described | {
        "kind": consent["kind"],
        "speaker": consent.get("speaker"),
        "scope": {name: value for name, value in consent["scope"].items() if value},
        "statement": consent["statement"],
        "receipt": row.receipt_id,
        "seconds": round(voice.seconds, 2),
        "warnings": [one for one in voice.warnings if not is_about_excerpt(one)],
        "usable": why is None,
        "why": why,
    }


def _find_obstacle(services: Services, caller: Caller, voice: Voice) -> str | None:
    """Return why a voice may not speak now; None if it may."""
    try:
        attested = may_use_attested(services, caller)
        check_usable(voice, allow_attested=attested, language=services.loader.config.language)
        check_not_revoked(services.registry.database, voice.consent["id"])
    except ConsentError as error:
        return str(error)
    return None


def _count_uses() -> dict[str, list[str]]:
    """Return when each receipt was spoken under."""
    uses: dict[str, list[str]] = defaultdict(list)
    for line in ledger.read_lines():
        if line.get("what") == "speak" and isinstance(line.get("receipt"), str):
            uses[line["receipt"]].append(str(line.get("time")))
    return uses


def _may_read_ledger(caller: Caller) -> bool:
    return caller.is_local or "admin" in caller.scopes


def _is_own(caller: Caller, row: VoiceRow) -> bool:
    return row.owner == caller.id or "admin" in caller.scopes


def _find_own(services: Services, caller: Caller, voice_id: str) -> VoiceRow:
    row = services.registry.voices.find(caller, voice_id)
    if not _is_own(caller, row):
        raise ApiError(403, "this voice is not yours", "not_yours")
    return row
