"""What this server can do for this caller: the page shows what is there, and nothing else."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from valle.dubbing.options import DubOptions
from valle.editing.options import EditOptions
from valle.options import SpeakOptions
from valle.registry.keys import Caller
from valle.server.access import get_caller, may_use_attested
from valle.server.encoders import MEDIA_TYPES
from valle.server.jobs import MAX_UNFINISHED
from valle.server.services import Services, get_services
from valle.server.work import KINDS
from valle.trust.attestation import ATTESTATION
from valle.version import __version__

router = APIRouter(tags=["studio"])


@router.get("/v1/studio")
def describe_studio(
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(get_caller)],
) -> dict[str, Any]:
    """Return all options, the kinds of jobs, the limits, and what the caller may do."""
    options = services.options
    return {
        "object": "studio",
        "version": __version__,
        "model": services.loader.config.name,
        "ready": services.ready.is_set(),
        "rate": services.loader.config.sample_rate,
        "scopes": sorted(caller.scopes),
        "is_local": caller.is_local,
        "attestation": ATTESTATION if may_use_attested(services, caller) else None,
        "options": SpeakOptions.model_json_schema(),
        "edit_options": EditOptions.model_json_schema(),
        "dub_options": DubOptions.model_json_schema(),
        "jobs": [name for name, kind in KINDS.items() if kind.is_available],
        "recognizes": options.whisper is not None,
        "formats": [name for name in MEDIA_TYPES if name != "ulaw"],
        "max_jobs": MAX_UNFINISHED,
        "max_characters": options.max_characters,
        "max_upload": options.max_upload << 20,
        "max_job_upload": options.max_job_upload << 20,
    }
