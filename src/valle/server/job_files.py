"""Files of long work: what is uploaded with a job, its folder while it runs, and its results."""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import anyio
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from valle.errors import Error, UsageError
from valle.files import data_folder
from valle.options import FILE_OPTIONS
from valle.registry.keys import Caller
from valle.registry.tables import JobRow, make_id
from valle.runtime.cancellation import CancelledError
from valle.server.engine import Chunk, Ticket
from valle.server.errors import ApiError
from valle.server.services import Services
from valle.server.speaking import SpeechOrder, find_voices
from valle.trust.provenance import sidecar_path
from valle.voices.voice import Voice

if TYPE_CHECKING:
    from valle.server.work import JobContext

Result = TypeVar("Result")
Report = Callable[[float, str], None]
"""Says how far some work is, from 0 to 1, and what is done; raises once it is cancelled."""

_BLOCK = 1 << 20
_JOB_ID = re.compile(r"job_[0-9a-f]{1,64}")
_END_SECONDS = 10.0  # that cancelled work gets to end before its folder is removed


class Input(NamedTuple):
    """A file that is uploaded with a kind of job."""

    endings: tuple[str, ...]
    """Of its name, which tell what it is; nothing else of the name is used."""
    required: bool = True


class StoredFile(BaseModel):
    """An uploaded file in the object store."""

    key: str
    ending: str
    sha256: str


class JobFiles(BaseModel):
    """The request of a job with files."""

    model_config = ConfigDict(extra="forbid")

    files: dict[str, StoredFile] = Field(default_factory=dict)
    """Filled in by the server."""


class FileJobBody(JobFiles):
    """The request of a job that speaks, and has files."""

    voice: str = Field(
        min_length=1, max_length=128, description="a voice's name or id, or an alias of one"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="the options of the command, by their names in Python"
    )


class Made(NamedTuple):
    """What a job has made."""

    file: Path
    """With its signed record beside it."""
    media_type: str
    seconds: float
    report: dict[str, Any]
    subtitles: Path | None = None


async def store_uploads(
    services: Services, inputs: dict[str, Input], given: dict[str, UploadFile]
) -> dict[str, StoredFile]:
    """Keep uploaded files for a job, under keys of our own.

    Raises:
        UsageError: One is missing, unknown, empty, or of a kind that is not read.
        ApiError: 413, one is too large.
        OutputError: They cannot be kept.
    """
    for name in given:
        if name not in inputs:
            raise UsageError(f"there is no file {name[:40]!r} here; use {', '.join(inputs)}")
    stored: dict[str, StoredFile] = {}
    try:
        for name, wanted in inputs.items():
            if name in given:
                stored[name] = await run_in_threadpool(_store, services, name, wanted, given[name])
            elif wanted.required:
                raise UsageError(f"the file {name!r} is missing")
    except BaseException:
        await discard_uploads(services, stored)
        raise
    return stored


def _store(services: Services, name: str, wanted: Input, upload: UploadFile) -> StoredFile:
    ending = PurePath(upload.filename or "").suffix.lower()
    if ending not in wanted.endings:
        raise UsageError(f"{name} is to be a file of {', '.join(wanted.endings)}")
    limit, digest, size = services.options.max_job_upload << 20, hashlib.sha256(), 0
    upload.file.seek(0)
    while block := upload.file.read(_BLOCK):
        digest.update(block)
        size += len(block)
    if size > limit:
        raise ApiError(413, f"{name} is larger than {limit >> 20} MiB", "too_large")
    if not size:
        raise UsageError(f"{name} is empty (0 bytes)")
    upload.file.seek(0)
    key = f"uploads/{make_id('upload')}"
    services.registry.objects.put_file(key, upload.file)
    return StoredFile(key=key, ending=ending, sha256=digest.hexdigest())


def delete_uploads(services: Services, request: dict[str, Any]) -> None:
    """Delete the files that came with a job, which nobody needs any more.

    Raises:
        OutputError: The store is gone for a moment.
    """
    for file in (request.get("files") or {}).values():
        services.registry.objects.delete(StoredFile.model_validate(file).key)


async def discard_uploads(services: Services, files: dict[str, StoredFile]) -> None:
    """Delete files that became no job. What cannot be deleted now is swept up later."""
    for file in files.values():
        with contextlib.suppress(Error):
            await run_in_threadpool(services.registry.objects.delete, file.key)


def job_folder(row: JobRow) -> Path:
    """Return the folder in which a job works. Another attempt on this machine goes on there."""
    if not _JOB_ID.fullmatch(row.id):
        raise ValueError(f"{row.id!r} is not the id of a job")
    return _folder() / row.id


def _folder() -> Path:
    return data_folder() / "server" / "work"


def list_job_folders() -> list[Path]:
    """Return the folders of all jobs that were done on this machine and not tidied since."""
    return [path for path in _folder().glob("job_*") if _JOB_ID.fullmatch(path.name)]


async def fetch_uploads(context: JobContext, body: JobFiles) -> dict[str, Path]:
    """Return the uploaded files, in the folder of the job."""
    folder = job_folder(context.row)
    await run_in_threadpool(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    paths = {name: folder / f"{name}{file.ending}" for name, file in body.files.items()}
    objects = context.services.registry.objects
    for name, file in body.files.items():
        await run_in_threadpool(objects.get_file, file.key, paths[name])
    return paths


async def find_voice(services: Services, caller: Caller, name: str) -> Voice:
    """Return a voice that a caller may use.

    Raises:
        Error: There is none, or it may not be used.
    """
    order = SpeechOrder("", name, background=True)
    return (await run_in_threadpool(find_voices, services, caller, order))[0]


async def run_beside_listeners(context: JobContext, work: Callable[[Report], Result]) -> Result:
    """Do some work on a thread of its own, where its sentences share the steps of all others.

    Cancelling this ends it at its next step, and waits for that.

    Raises:
        Error: What the work raises, without the names of our folders.
    """
    results: list[Result] = []
    engine = context.services.engine
    folder = f"{job_folder(context.row)}/"

    def report(progress: float, message: str) -> None:
        if ticket.cancelled:
            raise CancelledError
        context.progress, context.message = min(0.99, progress), message

    def make() -> Any:
        try:
            results.append(work(report))
        except Error as error:
            raise type(error)(str(error).replace(folder, "")) from error
        yield Chunk(b"", 0.0)

    ticket = Ticket(context.caller.id, make, background=True, paced=False, dedicated=True)
    async with contextlib.aclosing(_watch(engine.run(ticket), ticket)) as chunks:
        async for _ in chunks:
            pass
    return results[0]


async def _watch(chunks: AsyncIterator[Chunk], ticket: Ticket) -> AsyncGenerator[Chunk, None]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        ticket.cancellation.cancel()
        with anyio.move_on_after(_END_SECONDS, shield=True):
            while not ticket.finished:
                await anyio.sleep(0.05)


def keep_result(context: JobContext, made: Made) -> dict[str, Any]:
    """Store what a job has made, and return its result for the registry.

    Raises:
        OutputError: It cannot be stored.
    """
    row, objects = context.row, context.services.registry.objects
    parts = {"object": made.file, "record": sidecar_path(made.file), "subtitles": made.subtitles}
    result: dict[str, Any] = {
        "media_type": made.media_type,
        "bytes": made.file.stat().st_size,
        "seconds": round(made.seconds, 3),
        "report": f"results/{row.id}-report.json",
    }
    for name, path in parts.items():
        if path is not None:
            middle = "" if name == "object" else f"-{name}"
            result[name] = f"results/{row.id}{middle}{path.suffix}"
            with path.open("rb") as file:
                objects.put_file(result[name], file)
    objects.put_json(result["report"], made.report)
    context.services.budget.correct(context.caller, 0.0, made.seconds)
    return result


def refuse_paths(options: dict[str, Any], uploads: dict[str, Input]) -> None:
    """Refuse options that would name a file of the server.

    Raises:
        UsageError: There is one.
    """
    for name in sorted(FILE_OPTIONS):
        if isinstance(options.get(name), str):
            way = "upload it with the job" if name in uploads else "give its words as an object"
            raise UsageError(f"{name} cannot name a file of the server: {way}")
