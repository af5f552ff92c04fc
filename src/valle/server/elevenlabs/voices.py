"""`GET /v1/voices`: the voices that the caller may use, as ElevenLabs' clients read them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from valle.registry.keys import Caller
from valle.registry.tables import VoiceRow
from valle.server.access import get_lister, require
from valle.server.services import Services, get_services

router = APIRouter(tags=["ElevenLabs"])


@router.get("/v1/voices")
@router.get("/v2/voices")
def list_voices(
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(get_lister)],
) -> dict[str, Any]:
    """List the voices; all of them are on one page."""
    voices = [describe(row, caller) for row in services.registry.voices.list(caller)]
    return {
        "voices": voices,
        "has_more": False,
        "total_count": len(voices),
        "next_page_token": None,
    }


@router.get("/v1/voices/{voice_id}")
def get_voice(
    voice_id: str,
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("speak"))],
) -> dict[str, Any]:
    """Return one voice, by its id or name."""
    return describe(services.registry.voices.find(caller, voice_id), caller)


def describe(row: VoiceRow, caller: Caller) -> dict[str, Any]:
    """Return a voice as ElevenLabs' clients read it."""
    return {
        "voice_id": row.id,
        "name": row.name,
        "category": "cloned",
        "labels": {},
        "description": None,
        "preview_url": None,
        "available_for_tiers": [],
        "is_owner": row.owner == caller.id,
        "created_at_unix": int(row.created),
    }
