"""Long work: claims jobs of the registry, and does them beside what listeners need.

A kind of job is a `JobKind`: what its request looks like, what is checked before it is accepted,
and the work itself. To add one, put it into `KINDS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool

from valle.errors import Error
from valle.registry.jobs import LEASE, LeaseLostError
from valle.registry.keys import Caller, find_owner
from valle.registry.tables import JobRow, make_id
from valle.server import align_job, book_job, dub_job, edit_job
from valle.server.engine import CancelledTicketError
from valle.server.errors import ApiError, describe, to_api_error
from valle.server.job_files import Input
from valle.server.logs import log, log_failure
from valle.server.openai.speech import SpeechBody
from valle.server.services import Services
from valle.server.speech_job import check_speech_job, run_speech_job
from valle.server.tidying import keep_tidy, tidy_after

AT_ONCE = 2  # jobs of one process
_LOOK_SECONDS = 0.5  # between two looks for a job that waits


@dataclass(eq=False)
class JobContext:
    """A job that is being done."""

    services: Services
    caller: Caller
    row: JobRow
    progress: float = 0.0
    """From 0 to 1; to be set by the work."""
    message: str = ""


@dataclass(frozen=True)
class JobKind:
    """A kind of job."""

    body: type[BaseModel]
    """What its request looks like."""
    check: Callable[[Services, Caller, Any], Awaitable[None]]
    """Raises for a request that would fail anyway."""
    run: Callable[[JobContext, Any], Awaitable[dict[str, Any]]]
    """Does the work, and returns the result: `object` is the key of its file, if it has one."""
    inputs: dict[str, Input] = field(default_factory=dict)
    """The files that are uploaded with it."""
    packages: tuple[str, ...] = ()
    """Modules of the extra `media` that it cannot do without."""

    @property
    def is_available(self) -> bool:
        """Whether its packages are installed."""
        return all(importlib.util.find_spec(name) for name in self.packages)


KINDS: dict[str, JobKind] = {
    "speech": JobKind(SpeechBody, check_speech_job, run_speech_job),
    "book": JobKind(
        book_job.BookJob, book_job.check_book_job, book_job.run_book_job, book_job.INPUTS
    ),
    "dub": JobKind(
        dub_job.DubJob,
        dub_job.check_dub_job,
        dub_job.run_dub_job,
        dub_job.INPUTS,
        dub_job.PACKAGES,
    ),
    "align": JobKind(
        align_job.AlignJob, align_job.check_align_job, align_job.run_align_job, align_job.INPUTS
    ),
    "edit": JobKind(
        edit_job.EditJob, edit_job.check_edit_job, edit_job.run_edit_job, edit_job.INPUTS
    ),
}


@dataclass(eq=False)
class JobWorker:
    """Does jobs until it is stopped."""

    services: Services
    name: str = field(default_factory=lambda: make_id("worker"))
    _running: set[asyncio.Task[None]] = field(default_factory=set)

    async def run(self) -> None:
        """Claim and do jobs; when this is cancelled, give back those that are not done."""
        tidying = asyncio.create_task(keep_tidy(self.services))
        try:
            while True:
                row = None
                if len(self._running) < AT_ONCE and not self.services.draining:
                    row = await self._claim()
                if row is None:
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                task = asyncio.create_task(self._do(row))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            for task in (tidying, *self._running):
                task.cancel()
            await asyncio.gather(tidying, *self._running, return_exceptions=True)

    async def _claim(self) -> JobRow | None:
        try:
            return await run_in_threadpool(self.services.registry.jobs.claim, self.name, [*KINDS])
        except Error as error:  # the database is gone, and may come back
            log("no job claimed", reason=str(error))
            return None

    async def _do(self, row: JobRow) -> None:
        """Do one job, and record how it ended."""
        jobs = self.services.registry.jobs
        log("job started", job=row.id, kind=row.kind, attempt=row.attempts)
        began = time.monotonic()
        state = "failed"
        try:
            result = await self._work_and_report(row)
            await run_in_threadpool(jobs.finish, row, result)
            state = "succeeded"
        except asyncio.CancelledError:
            state = "given back"
            with contextlib.suppress(LeaseLostError, Error):
                jobs.give_back(row)
            raise
        except LeaseLostError as error:
            state = str(error)
            with contextlib.suppress(LeaseLostError, Error):
                await run_in_threadpool(jobs.stop, row)
        except (Error, ApiError) as error:
            refusal = to_api_error(error) if isinstance(error, Error) else error
            with contextlib.suppress(LeaseLostError, Error):
                await run_in_threadpool(jobs.fail, row, describe(refusal))
        except Exception as error:
            log_failure("job failed", error, job=row.id)
            failure = describe(
                ApiError(500, f"internal error; the server's log has it as {row.id}")
            )
            with contextlib.suppress(LeaseLostError, Error):
                await run_in_threadpool(jobs.fail, row, failure)
        finally:
            await tidy_after(self.services, row)
            log("job ended", job=row.id, state=state, seconds=round(time.monotonic() - began, 1))

    async def _work_and_report(self, row: JobRow) -> dict[str, Any]:
        """Do the work of a job while its lease is renewed."""
        caller = await run_in_threadpool(self._find_owner, row)
        kind = KINDS[row.kind]
        context = JobContext(self.services, caller, row)
        work = asyncio.ensure_future(kind.run(context, kind.body.model_validate(row.request)))
        try:
            reported = 0.0
            while not work.done():
                await asyncio.wait({work}, timeout=_LOOK_SECONDS)
                late = time.monotonic() - reported
                if not work.done() and (late > 1.0 or late > LEASE / 3):
                    await self._report(context)
                    reported = time.monotonic()
            return work.result()
        except CancelledTicketError as error:
            raise asyncio.CancelledError from error
        finally:
            if not work.done():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await work

    async def _report(self, context: JobContext) -> None:
        jobs = self.services.registry.jobs
        try:
            await run_in_threadpool(jobs.report, context.row, context.progress, context.message)
        except Error as error:  # nobody else can claim the job while the database is gone
            log("job not reported", job=context.row.id, reason=str(error))

    def _find_owner(self, row: JobRow) -> Caller:
        caller = find_owner(self.services.registry.database, row.owner)
        if caller is None:
            raise ApiError(
                401, "the API key that submitted this job was revoked", "invalid_api_key"
            )
        return caller
