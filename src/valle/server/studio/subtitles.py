"""Subtitles for the page: who says what when, and what of a file is not spoken."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from starlette.concurrency import run_in_threadpool

from valle.media.subtitles import read_subtitles
from valle.server.access import require
from valle.server.services import Services, get_services
from valle.server.uploads import as_file, call_it, read_upload

router = APIRouter(tags=["studio"])


@router.post("/v1/studio/subtitles", dependencies=[Depends(require("jobs"))])
async def read_cues(
    services: Annotated[Services, Depends(get_services)],
    file: Annotated[UploadFile, File(description="SubRip, WebVTT, ASS or SSA")],
) -> dict[str, Any]:
    """Return the cues of subtitles, and what was repaired in them or is not spoken."""
    data = await read_upload(file, services.options.max_upload)
    return await run_in_threadpool(_read, data)


def _read(data: bytes) -> dict[str, Any]:
    with as_file(data) as path, call_it(path, "the file"):
        subtitles = read_subtitles(path)
    return {
        "object": "studio.subtitles",
        "cues": [
            {
                "cue": cue.label,
                "number": cue.number,
                "start": round(cue.start, 3),
                "end": round(cue.end, 3),
                "text": cue.text,
                "speaker": cue.speaker,
            }
            for cue in subtitles.cues
        ],
        "notes": [str(note) for note in subtitles.notes],
    }
