"""`/v1/audio/detections` and `/v1/audio/verifications`: where a recording comes from."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, UploadFile
from starlette.concurrency import run_in_threadpool

from valle.detection.report import (
    describe_provenance,
    describe_recording,
    load_watermark_key,
)
from valle.registry.keys import Caller
from valle.server.access import require
from valle.server.services import Services, get_services
from valle.server.uploads import as_file, call_it, read_upload

router = APIRouter(tags=["detection"])
_at_once = threading.Semaphore(1)  # a search for the watermark takes a second of a core


@dataclass(frozen=True)
class Evidence:
    """A recording, and the signed record that came with it."""

    recording: Annotated[UploadFile, File()]
    record: Annotated[UploadFile | None, File(description="the file FILE.json beside it")] = None


@router.post("/v1/audio/detections")
async def create_detection(
    services: Annotated[Services, Depends(get_services)],
    caller: Annotated[Caller, Depends(require("detect"))],
    recording: Annotated[UploadFile, File()],
) -> dict[str, Any]:
    """Search for the watermark, run the detector, and read the provenance inside the file."""
    data = await read_upload(recording, services.options.max_upload)
    return await run_in_threadpool(_detect, services, caller, data)


@router.post("/v1/audio/verifications", dependencies=[Depends(require("detect"))])
async def create_verification(
    services: Annotated[Services, Depends(get_services)],
    evidence: Annotated[Evidence, Depends()],
) -> dict[str, Any]:
    """Check the signed record of how a file was made, and the C2PA manifest inside it."""
    data = await read_upload(evidence.recording, services.options.max_upload)
    record = None
    if evidence.record is not None:
        record = await read_upload(evidence.record, 1)
    return await run_in_threadpool(_verify, data, record)


def _detect(services: Services, caller: Caller, data: bytes) -> dict[str, Any]:
    # The owner's key reads which receipt a watermark names, which is nobody else's business.
    key = load_watermark_key() if caller.is_local else None
    with _at_once, as_file(data, find_ending(data)) as path, call_it(path, "the recording"):
        report = describe_recording(path, services.loader.get().bundle, key)
    return {"object": "audio.detection", **report}


def _verify(data: bytes, record: bytes | None) -> dict[str, Any]:
    with as_file(data, find_ending(data)) as path, call_it(path, "the recording"):
        if record is not None:
            path.with_name(f"{path.name}.json").write_bytes(record)
        return {"object": "audio.verification", **describe_provenance(path)}


def find_ending(data: bytes) -> str:
    """Return the usual ending of a file's name by its first bytes, or none."""
    if data[:4] == b"RIFF":
        return ".wav"
    if data[:4] == b"fLaC":
        return ".flac"
    return ".mp3" if data[:3] == b"ID3" or data[:2] in (b"\xff\xfb", b"\xff\xf3") else ""
