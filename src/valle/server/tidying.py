"""Deletes what nobody needs of a job once it has ended, however and wherever it ended.

What is left of which job follows from the registry alone, so that no way in which a job can end is
forgotten: its worker may have died, the object store or the database may have been gone, or another
machine may have done it.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Callable
from typing import NoReturn

from starlette.concurrency import run_in_threadpool

from valle.errors import Error
from valle.registry.jobs import FINISHED, SUCCEEDED
from valle.registry.tables import JobRow
from valle.server.job_files import delete_uploads, job_folder, list_job_folders
from valle.server.logs import log
from valle.server.services import Services

ORPHAN_SECONDS = 7200.0  # after which a file that no job knows was left by a killed server
_TIDY_SECONDS = 5.0  # between two looks for jobs that ended elsewhere
_SWEEP_SECONDS = 600.0  # between two looks for files that no job knows


def tidy_job(services: Services, row: JobRow) -> None:
    """Delete what a job has that nobody needs, if it has ended: all but its results.

    Raises:
        Error: The database or the object store is gone. Another worker tries again.
    """
    now = services.registry.jobs.find(row.id)
    if now is None or now.state not in FINISHED:
        return
    delete_uploads(services, now.request)
    if now.state != SUCCEEDED:  # it may have failed, or been killed, between two of its results
        objects = services.registry.objects
        for key in objects.list("results", row.id):
            objects.delete(key)
    shutil.rmtree(job_folder(row), ignore_errors=True)
    services.registry.jobs.mark_tidied(row)


def tidy_jobs(services: Services) -> None:
    """Tidy the jobs whose worker could not do it. Raises what `tidy_job` raises."""
    for row in services.registry.jobs.list_untidied():
        tidy_job(services, row)


def sweep(services: Services) -> None:
    """Delete what no job knows: of a server that was killed, or of another machine.

    Raises:
        Error: The database or the object store is gone.
    """
    jobs, objects = services.registry.jobs, services.registry.objects
    for folder in list_job_folders():
        row = jobs.find(folder.name)
        if row is None or row.state in FINISHED:
            shutil.rmtree(folder, ignore_errors=True)
    before = time.time() - ORPHAN_SECONDS
    # Listed before the jobs are: the files of a job that comes meanwhile are not in this list.
    old = [key for key, written in objects.list("uploads").items() if written < before]
    needed = {
        file["key"]
        for request in jobs.list_unfinished_requests()
        for file in (request.get("files") or {}).values()
    }
    for key in old:
        if key not in needed:
            objects.delete(key)
    objects.delete_parts(before)


async def keep_tidy(services: Services) -> NoReturn:
    """Tidy now and then, until this is cancelled."""
    swept = -_SWEEP_SECONDS
    while True:
        await _try(tidy_jobs, services)
        if time.monotonic() - swept > _SWEEP_SECONDS:
            await _try(sweep, services)
            swept = time.monotonic()
        await asyncio.sleep(_TIDY_SECONDS)


async def _try(work: Callable[[Services], None], services: Services) -> None:
    try:
        await run_in_threadpool(work, services)
    except Error as error:  # the database or the store is gone, and may come back
        log("not tidied", reason=str(error))


async def tidy_after(services: Services, row: JobRow) -> None:
    """Tidy a job that may have ended just now; if that is not possible yet, `keep_tidy` does it."""
    with contextlib.suppress(Error):
        await run_in_threadpool(tidy_job, services, row)
