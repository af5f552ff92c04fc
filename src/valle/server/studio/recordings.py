"""Recordings before they become voices: what is wrong with one, and how good it is."""

from __future__ import annotations

import threading
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from starlette.concurrency import run_in_threadpool

from valle.audio.recording import EXCERPT_SECONDS, load_recording, resample
from valle.runtime.recognizer import PhonemeRecognizer
from valle.server.access import require
from valle.server.services import Services, get_services
from valle.server.uploads import as_file, call_it, read_upload
from valle.voices.suitability import (
    check_speech,
    find_warnings,
    is_about_excerpt,
    rate_recording,
)

router = APIRouter(tags=["studio"])
_at_once = threading.Semaphore(1)


@router.post("/v1/studio/recordings", dependencies=[Depends(require("voices"))])
async def rate(
    services: Annotated[Services, Depends(get_services)],
    recording: Annotated[UploadFile, File()],
) -> dict[str, Any]:
    """Say how well a recording serves to learn a voice from; nothing of it is kept."""
    data = await read_upload(recording, services.options.max_upload)
    return await run_in_threadpool(_rate, services, data)


def _rate(services: Services, data: bytes) -> dict[str, Any]:
    bundle = services.loader.get().bundle
    with _at_once, as_file(data) as path, call_it(path, "the recording"):
        loaded = load_recording(path, excerpt=EXCERPT_SECONDS)
        rate = bundle.config.sample_rate
        samples = resample(loaded.samples, loaded.sample_rate, rate)
        check_speech(PhonemeRecognizer(bundle).compute_posteriors(samples), samples, rate)
        warnings = [*loaded.warnings, *find_warnings(bundle, samples, rate)]
    faults = [warning for warning in warnings if not is_about_excerpt(warning)]
    score, _ = rate_recording(loaded.samples, loaded.sample_rate, len(faults))
    return {
        "object": "studio.recording",
        "seconds": round(loaded.source_seconds, 2),
        "used": [round(loaded.start, 2), round(loaded.start + loaded.seconds, 2)],
        "score": score,
        "warnings": faults,
    }
