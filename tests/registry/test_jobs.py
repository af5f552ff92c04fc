"""Jobs: claimed once, leased, taken over when their worker is gone."""

from __future__ import annotations

import threading
import time

import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra [serve]")

from valle.errors import UsageError
from valle.registry import jobs
from valle.registry.jobs import LeaseLostError, UnknownJobError
from valle.registry.keys import Caller
from valle.registry.registry import Registry

ADA = Caller("key_a", "ada", frozenset({"jobs"}))
BOB = Caller("key_b", "bob", frozenset({"jobs"}))


def test_a_job_goes_from_queued_to_its_result(registry: Registry) -> None:
    row = registry.jobs.submit(ADA, "speech", {"text": "Hello"})
    assert registry.jobs.claim("w", ["other"]) is None
    claimed = registry.jobs.claim("w", ["speech"])
    assert claimed is not None
    assert (claimed.id, claimed.state, claimed.attempts) == (row.id, "running", 1)
    assert registry.jobs.claim("v", ["speech"]) is None
    registry.jobs.report(claimed, 0.5, "half")
    assert registry.jobs.get(ADA, row.id).progress == 0.5
    registry.jobs.finish(claimed, {"object": "results/x.mp3"})
    done = registry.jobs.get(ADA, row.id)
    assert (done.state, done.progress, done.result) == (
        "succeeded",
        1.0,
        {"object": "results/x.mp3"},
    )
    with pytest.raises(LeaseLostError):
        registry.jobs.report(claimed, 0.9)


def test_jobs_of_others_are_not_found(registry: Registry) -> None:
    row = registry.jobs.submit(ADA, "speech", {})
    with pytest.raises(UnknownJobError):
        registry.jobs.get(BOB, row.id)
    assert registry.jobs.list(BOB) == []
    assert [job.id for job in registry.jobs.list(ADA)] == [row.id]
    assert (registry.jobs.count_unfinished(ADA), registry.jobs.count_unfinished(BOB)) == (1, 0)


def test_the_same_idempotency_key_is_the_same_job(registry: Registry) -> None:
    first = registry.jobs.submit(ADA, "speech", {"text": "a"}, "once")
    assert registry.jobs.submit(ADA, "speech", {"text": "a"}, "once").id == first.id
    assert registry.jobs.submit(BOB, "speech", {"text": "a"}, "once").id != first.id
    with pytest.raises(UsageError, match="another request"):
        registry.jobs.submit(ADA, "speech", {"text": "b"}, "once")


def test_a_job_whose_worker_died_is_taken_over_and_fails_in_the_end(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = registry.jobs.submit(ADA, "speech", {})
    monkeypatch.setattr(jobs, "LEASE", -1.0)  # ends at once, as if its worker were gone
    for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
        claimed = registry.jobs.claim(f"w{attempt}", ["speech"])
        assert claimed is not None
        assert claimed.attempts == attempt
    assert registry.jobs.claim("last", ["speech"]) is None
    failed = registry.jobs.get(ADA, row.id)
    assert failed.state == "failed"
    assert failed.error is not None
    assert "ended 5 times" in failed.error["message"]


def test_cancelling_stops_a_job_that_waits_and_tells_one_that_runs(registry: Registry) -> None:
    waiting = registry.jobs.submit(ADA, "speech", {})
    registry.jobs.cancel(waiting)
    assert registry.jobs.get(ADA, waiting.id).state == "cancelled"
    running = registry.jobs.submit(ADA, "speech", {})
    claimed = registry.jobs.claim("w", ["speech"])
    assert claimed is not None
    registry.jobs.cancel(running)
    with pytest.raises(LeaseLostError, match="cancelled"):
        registry.jobs.report(claimed, 0.1)
    registry.jobs.stop(claimed)
    assert registry.jobs.get(ADA, running.id).state == "cancelled"


def test_each_job_is_claimed_by_one_of_many_workers(registry: Registry) -> None:
    ids = {registry.jobs.submit(ADA, "speech", {"n": n}).id for n in range(12)}
    claimed: list[str] = []

    def work(name: str) -> None:
        idle_since = time.monotonic()
        while time.monotonic() - idle_since < 0.5:
            row = registry.jobs.claim(name, ["speech"])
            if row is not None:
                claimed.append(row.id)
                idle_since = time.monotonic()

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claimed) == sorted(ids)
