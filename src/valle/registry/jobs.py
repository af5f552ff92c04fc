"""Jobs: long work that is kept over a restart, done by whichever worker has room.

A worker claims a job with a lease, and renews the lease while it works. When it dies, the lease
ends, and the next worker goes on with the job; after `MAX_ATTEMPTS` it has failed.
"""

from __future__ import annotations

import builtins
import time
from typing import Any

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import IntegrityError

from valle.errors import UsageError
from valle.registry.database import Database
from valle.registry.keys import Caller
from valle.registry.tables import JobRow, make_id

LEASE = 15.0  # seconds
MAX_ATTEMPTS = 5
QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = (
    "queued",
    "running",
    "succeeded",
    "failed",
    "cancelled",
)
FINISHED = (SUCCEEDED, FAILED, CANCELLED)


class UnknownJobError(UsageError):
    """There is no such job, or it belongs to somebody else."""


class LeaseLostError(Exception):
    """Another worker has taken the job, or it was cancelled."""


class JobTable:
    """The jobs of a registry. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(
        self, caller: Caller, kind: str, request: dict[str, Any], idempotency_key: str | None = None
    ) -> JobRow:
        """Add a job; with the same idempotency key again, return the one that was added first.

        Raises:
            UsageError: That one has another request.
        """
        row = JobRow(
            id=make_id("job"),
            owner=caller.id,
            kind=kind,
            request=request,
            state=QUEUED,
            progress=0.0,
            message="",
            idempotency_key=idempotency_key,
        )
        try:
            with self._database.session() as session:
                session.add(row)
            return row
        except IntegrityError:
            with self._database.session() as session:
                first = session.scalar(
                    select(JobRow).where(
                        JobRow.owner == caller.id, JobRow.idempotency_key == idempotency_key
                    )
                )
            same = first is not None and (first.kind, _without_keys(first.request)) == (
                kind,
                _without_keys(request),
            )
            if first is None or not same:
                raise UsageError(
                    "this Idempotency-Key was used for another request; choose a new one"
                ) from None
            return first

    def get(self, caller: Caller, job_id: str) -> JobRow:
        """Return a job.

        Raises:
            UnknownJobError: The caller has none of this id.
        """
        with self._database.session() as session:
            row = session.get(JobRow, job_id)
        if row is None or (row.owner != caller.id and "admin" not in caller.scopes):
            raise UnknownJobError(f"there is no job {job_id[:80]!r}; GET /v1/jobs lists them")
        return row

    def find(self, job_id: str) -> JobRow | None:
        """Return a job, whoever owns it; None if there is none of this id."""
        with self._database.session() as session:
            return session.get(JobRow, job_id)

    def list_untidied(self, limit: int = 100) -> builtins.list[JobRow]:
        """Return jobs that have ended, and of which something may be left to delete."""
        query = select(JobRow).where(JobRow.tidied.is_(False), JobRow.state.in_(FINISHED))
        with self._database.session() as session:
            return builtins.list(session.scalars(query.order_by(JobRow.updated).limit(limit)))

    def mark_tidied(self, row: JobRow) -> None:
        """Record that nothing is left of a job but its results."""
        with self._database.session() as session:
            session.execute(update(JobRow).where(JobRow.id == row.id).values(tidied=True))

    def list_unfinished_requests(self) -> builtins.list[dict[str, Any]]:
        """Return the requests of all jobs that are queued or running."""
        query = select(JobRow.request).where(JobRow.state.in_((QUEUED, RUNNING)))
        with self._database.session() as session:
            return builtins.list(session.scalars(query))

    def list(self, caller: Caller, limit: int = 100) -> builtins.list[JobRow]:
        """Return a caller's latest jobs, the newest first."""
        query = select(JobRow).where(JobRow.owner == caller.id)
        with self._database.session() as session:
            return builtins.list(
                session.scalars(query.order_by(JobRow.created.desc()).limit(limit))
            )

    def count_unfinished(self, caller: Caller) -> int:
        """Return how many jobs of a caller are queued or running."""
        query = select(func.count()).select_from(JobRow)
        query = query.where(JobRow.owner == caller.id, JobRow.state.in_((QUEUED, RUNNING)))
        with self._database.session() as session:
            return session.scalar(query) or 0

    def cancel(self, row: JobRow) -> None:
        """Cancel a job: at once if it waits, within moments if it runs."""
        with self._database.session() as session:
            session.execute(
                update(JobRow)
                .where(JobRow.id == row.id, JobRow.state == QUEUED)
                .values(state=CANCELLED, updated=time.time())
            )
            session.execute(
                update(JobRow)
                .where(JobRow.id == row.id, JobRow.state == RUNNING)
                .values(cancel_requested=True)
            )

    def claim(self, worker: str, kinds: builtins.list[str]) -> JobRow | None:
        """Claim the oldest job that waits, or whose worker is gone; None if there is none."""
        now = time.time()
        is_free = or_(
            JobRow.state == QUEUED, (JobRow.state == RUNNING) & (JobRow.lease_until < now)
        )
        query = select(JobRow).where(is_free, JobRow.kind.in_(kinds)).order_by(JobRow.created)
        with self._database.session() as session:
            # On PostgreSQL other workers skip the row; on SQLite the update below decides.
            row = session.scalar(query.limit(1).with_for_update(skip_locked=True))
            if row is None:
                return None
            gone = row.attempts >= MAX_ATTEMPTS
            values: dict[str, Any] = {"updated": now}
            if row.cancel_requested:
                values |= {"state": CANCELLED}
            elif gone:
                text = f"its worker ended {row.attempts} times while it ran"
                values |= {"state": FAILED, "error": {"message": text, "type": "server_error"}}
            else:
                values |= {
                    "state": RUNNING,
                    "worker": worker,
                    "attempts": row.attempts + 1,
                    "lease_until": now + LEASE,
                }
            result = session.execute(
                update(JobRow)
                .where(JobRow.id == row.id, is_free)
                .values(**values)
                .execution_options(synchronize_session=False)
            )
            taken = bool(result.rowcount)  # type: ignore[attr-defined]
            session.expire_all()
            session.refresh(row)
        return row if taken and row.state == RUNNING and row.worker == worker else None

    def report(self, row: JobRow, progress: float, message: str = "") -> None:
        """Renew the lease of a running job, and say how far it is.

        Raises:
            LeaseLostError: It was cancelled, or another worker has it.
        """
        self._update(
            row,
            progress=min(1.0, progress),
            message=message,
            lease_until=time.time() + LEASE,
        )
        with self._database.session() as session:
            if session.scalar(select(JobRow.cancel_requested).where(JobRow.id == row.id)):
                raise LeaseLostError("cancelled")

    def finish(self, row: JobRow, result: dict[str, Any]) -> None:
        """Record the result of a job. Raises what `report` raises."""
        self._update(row, state=SUCCEEDED, progress=1.0, result=result)

    def fail(self, row: JobRow, error: dict[str, Any]) -> None:
        """Record why a job failed. Raises what `report` raises."""
        self._update(row, state=FAILED, error=error)

    def stop(self, row: JobRow) -> None:
        """Record that a job was cancelled. Raises what `report` raises."""
        self._update(row, state=CANCELLED)

    def give_back(self, row: JobRow) -> None:
        """Put a job back for another worker, as this one is shutting down."""
        self._update(row, state=QUEUED, lease_until=0.0, attempts=max(0, row.attempts - 1))

    def _update(self, row: JobRow, **values: Any) -> None:
        with self._database.session() as session:
            result = session.execute(
                update(JobRow)
                .where(
                    JobRow.id == row.id,
                    JobRow.state == RUNNING,
                    JobRow.worker == row.worker,
                    JobRow.attempts == row.attempts,
                )
                .values(updated=time.time(), **values)
            )
            if not result.rowcount:  # type: ignore[attr-defined]
                raise LeaseLostError("another worker has it")


def _without_keys(request: dict[str, Any]) -> dict[str, Any]:
    """Return a request without the keys of its files, which each upload has of its own."""
    files = {
        name: {field: value for field, value in file.items() if field != "key"}
        for name, file in (request.get("files") or {}).items()
    }
    return request | ({"files": files} if files else {})
