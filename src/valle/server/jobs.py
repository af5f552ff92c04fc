"""`/v1/jobs`: long work is submitted, followed, cancelled, and its result fetched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import JSONResponse, StreamingResponse

from valle.errors import Error, UsageError
from valle.registry.jobs import FINISHED, SUCCEEDED
from valle.registry.keys import Caller
from valle.registry.tables import JobRow
from valle.server.access import require
from valle.server.edge import JOBS_PATH
from valle.server.errors import ApiError
from valle.server.job_files import discard_uploads, store_uploads
from valle.server.responses import format_event
from valle.server.services import Services, get_services
from valle.server.tidying import tidy_after
from valle.server.work import KINDS, JobKind

MAX_UNFINISHED = 20  # jobs of one caller
_EVENT_SECONDS = 0.25  # between two looks at a job that is followed
_PARTS = {"json": "application/json", "srt": "application/x-subrip"}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["request"],
                    "properties": {
                        "request": {"type": "string", "description": "JSON: voice, options, ..."}
                    },
                    "additionalProperties": {"type": "string", "format": "binary"},
                }
            }
        },
    }
}
_KEEP_ALIVE = 15.0  # seconds of silence after which a comment keeps the connection open

router = APIRouter(tags=["jobs"])
Caller_ = Annotated[Caller, Depends(require("jobs"))]
Services_ = Annotated[Services, Depends(get_services)]


class JobBody(BaseModel):
    """A job."""

    kind: str = Field("speech", max_length=32, description="what is to be done")
    request: dict[str, Any] = Field(description="for speech: the body of POST /v1/audio/speech")


@router.post("/v1/jobs", status_code=202)
async def submit_job(
    body: JobBody,
    response: Response,
    services: Services_,
    caller: Caller_,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> dict[str, Any]:
    """Submit a job. It is kept over a restart of the server."""
    kind = _find_kind(body.kind)
    if kind.inputs:
        raise UsageError(
            f"a job of this kind comes with files: send a form to POST {JOBS_PATH}{body.kind}"
        )
    request = await _check(services, caller, kind, body.request)
    row = await _submit(services, caller, body.kind, request, idempotency_key)
    response.headers["Location"] = f"{JOBS_PATH}{row.id}"
    return _describe(row)


@router.post("/v1/jobs/{kind}", status_code=202, openapi_extra=_FORM)
async def submit_job_with_files(
    kind: str,
    http_request: Request,
    services: Services_,
    caller: Caller_,
    idempotency_key: Annotated[str | None, Header(max_length=128)] = None,
) -> Response:
    """Submit a job with the files that it is about, as a form."""
    chosen = _find_kind(kind)
    if not chosen.inputs:
        raise UsageError("a job of this kind has no files: send JSON to POST /v1/jobs")
    services.budget.spend(caller, 0.0)  # refused while earlier jobs are not paid off
    if not http_request.headers.get("content-type", "").startswith("multipart/form-data"):
        # Another kind of form would be read into memory, however long it is.
        raise ApiError(415, "send the files as a form: multipart/form-data", "not_a_form")
    # Read here rather than by FastAPI, which would take the files before it knows who calls.
    async with http_request.form(max_files=8, max_fields=8) as form:
        given = _read_request(form.get("request"))
        uploads = {name: part for name, part in form.items() if isinstance(part, UploadFile)}
        await _check(services, caller, chosen, given)
        stored = await store_uploads(services, chosen.inputs, uploads)
    files = {name: file.model_dump() for name, file in stored.items()}
    try:
        request = chosen.body.model_validate({**given, "files": files})
        row = await _submit(services, caller, kind, request, idempotency_key)
    except BaseException:
        await discard_uploads(services, stored)
        raise
    if row.request["files"] != files:  # the same job, which was there already
        await discard_uploads(services, stored)
    return JSONResponse(_describe(row), 202, {"Location": f"{JOBS_PATH}{row.id}"})


@router.get("/v1/jobs")
def list_jobs(services: Services_, caller: Caller_) -> dict[str, Any]:
    """List the caller's latest jobs, the newest first."""
    rows = services.registry.jobs.list(caller)
    return {"object": "list", "data": [_describe(row) for row in rows]}


@router.get("/v1/jobs/{job_id}")
def retrieve_job(job_id: str, services: Services_, caller: Caller_) -> dict[str, Any]:
    """Return a job: its state, how far it is, and why it failed if it did."""
    return _describe(services.registry.jobs.get(caller, job_id))


@router.delete("/v1/jobs/{job_id}")
async def cancel_job(job_id: str, services: Services_, caller: Caller_) -> dict[str, Any]:
    """Cancel a job; one that has ended stays as it is."""
    jobs = services.registry.jobs
    row = await run_in_threadpool(jobs.get, caller, job_id)
    await run_in_threadpool(jobs.cancel, row)
    await tidy_after(services, row)
    return _describe(await run_in_threadpool(jobs.get, caller, job_id))


@router.get("/v1/jobs/{job_id}/events", response_class=StreamingResponse)
async def follow_job(job_id: str, services: Services_, caller: Caller_) -> Response:
    """Follow a job by server-sent events, until it has ended."""
    row = await run_in_threadpool(services.registry.jobs.get, caller, job_id)
    events = _make_events(services, caller, row)
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


@router.get("/v1/jobs/{job_id}/result", response_class=StreamingResponse)
def fetch_result(job_id: str, services: Services_, caller: Caller_) -> Response:
    """Return the file that a job has made."""
    return _send(services, services.registry.jobs.get(caller, job_id), "object")


@router.get("/v1/jobs/{job_id}/{part}", response_class=StreamingResponse)
def fetch_part(
    job_id: str,
    part: Literal["words", "report", "record", "subtitles"],
    services: Services_,
    caller: Caller_,
) -> Response:
    """Return what else a job has made.

    The words of speech with their times, or a report of a book, dub or edit, the signed record of
    how its file was made, and the subtitles of a dub.
    """
    return _send(services, services.registry.jobs.get(caller, job_id), part)


def _find_kind(name: str) -> JobKind:
    if name not in KINDS:
        raise ApiError(400, f"there is no kind {name[:32]!r}; use {', '.join(KINDS)}")
    kind = KINDS[name]
    if not kind.is_available:
        raise ApiError(
            400, f"{name} needs the extra media on this server: pip install 'valle[media]'"
        )
    return kind


def _read_request(given: object) -> dict[str, Any]:
    """Return the field `request` of a form, which is JSON."""
    try:
        value = json.loads(given) if isinstance(given, str) else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or "files" in value:
        raise ApiError(400, "the field request is to be a JSON object", "invalid_json", "request")
    return value


async def _check(
    services: Services, caller: Caller, kind: JobKind, given: dict[str, Any]
) -> BaseModel:
    """Return a request that was found good."""
    if services.draining:
        raise ApiError(503, "the server is shutting down", "unavailable", retry_after=5)
    try:
        request = kind.body.model_validate(given)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    await kind.check(services, caller, request)
    if await run_in_threadpool(services.registry.jobs.count_unfinished, caller) >= MAX_UNFINISHED:
        raise ApiError(
            429, f"{MAX_UNFINISHED} of your jobs are not done yet", "too_many_jobs", retry_after=10
        )
    return request


async def _submit(
    services: Services, caller: Caller, kind: str, request: BaseModel, idempotency_key: str | None
) -> JobRow:
    dumped = request.model_dump(mode="json")
    return await run_in_threadpool(
        services.registry.jobs.submit, caller, kind, dumped, idempotency_key
    )


def _send(services: Services, row: JobRow, name: str) -> Response:
    if row.state != SUCCEEDED or not row.result or name not in row.result:
        raise ApiError(409, f"this job is {row.state}, and has no result", "no_result")
    key = row.result[name]
    ending = key.rpartition(".")[2]
    media_type = row.result["media_type"] if name == "object" else _PARTS[ending]
    size = services.registry.objects.size(key)
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{row.id}.{ending}"',
    }
    return StreamingResponse(
        services.registry.objects.stream(key), media_type=media_type, headers=headers
    )


async def _make_events(services: Services, caller: Caller, row: JobRow) -> AsyncIterator[bytes]:
    sent, silent = None, 0.0
    while True:
        state = _describe(row)
        if state != sent:
            yield format_event(state, "job")
            sent, silent = state, 0.0
        elif silent >= _KEEP_ALIVE:
            yield b": still here\n\n"
            silent = 0.0
        if row.state in FINISHED or services.draining:
            return
        await asyncio.sleep(_EVENT_SECONDS)
        silent += _EVENT_SECONDS
        try:
            row = await run_in_threadpool(services.registry.jobs.get, caller, row.id)
        except Error:  # the database is gone for a moment
            continue


def _describe(row: JobRow) -> dict[str, Any]:
    result = None
    if row.state == SUCCEEDED and row.result is not None:
        shown = {name: row.result[name] for name in ("media_type", "bytes", "seconds")}
        result = {"url": f"/v1/jobs/{row.id}/result", **shown}
    return {
        "object": "job",
        "id": row.id,
        "kind": row.kind,
        "state": row.state,
        "progress": round(row.progress, 3),
        "message": row.message,
        "error": row.error,
        "result": result,
        "created_at": int(row.created),
    }
