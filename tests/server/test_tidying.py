"""However a job ends, what nobody needs of it is deleted, and what somebody needs is not."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from valle.errors import OutputError
from valle.files import data_folder
from valle.registry import jobs as jobs_module
from valle.registry import keys
from valle.registry.database import DatabaseUnavailableError
from valle.registry.jobs import JobTable
from valle.registry.keys import LOCAL_CALLER
from valle.registry.tables import JobRow
from valle.server.services import Services
from valle.server.tidying import ORPHAN_SECONDS, sweep, tidy_jobs

KIND = "of another version"  # which no worker of these tests claims
BOOK: dict[str, Any] = {
    "book": ("a.txt", b"Hello."),
    "request": (None, '{"voice": "Babble", "format": "flac"}'),
}


@pytest.fixture
def services(client: TestClient) -> Services:
    return client.app.state.services  # type: ignore[attr-defined]


def submit(services: Services, number: int = 0) -> JobRow:
    """Submit a job with an upload."""
    key = f"uploads/upload_{number}"
    services.registry.objects.put(key, b"book")
    files = {"book": {"key": key, "ending": ".txt", "sha256": "0" * 64}}
    return services.registry.jobs.submit(LOCAL_CALLER, KIND, {"voice": "Babble", "files": files})


def claim(services: Services) -> JobRow:
    """Claim the job, and leave what a worker has made when it ends in the middle."""
    row = services.registry.jobs.claim("w", [KIND])
    assert row is not None
    folder = data_folder() / "server" / "work" / row.id / "project"
    folder.mkdir(parents=True, exist_ok=True)
    services.registry.objects.put(f"results/{row.id}.m4b", b"sound")
    return row


def list_files() -> list[str]:
    """What is there of all jobs, without the ids."""
    server = data_folder() / "server"
    found = [path for name in ("work", "objects/uploads") for path in server.glob(f"{name}/*")]
    return sorted(path.name.partition("_")[0] for path in found)


def list_results() -> list[str]:
    return [path.suffix for path in (data_folder() / "server" / "objects").glob("results/*")]


def die_too_often(services: Services) -> None:
    submit(services)
    for _ in range(jobs_module.MAX_ATTEMPTS):
        claim(services)
    assert services.registry.jobs.claim("w", [KIND]) is None


def die_after_it_was_cancelled(services: Services) -> None:
    submit(services)
    services.registry.jobs.cancel(claim(services))
    assert services.registry.jobs.claim("w", [KIND]) is None


def be_cancelled_after_it_was_given_back(services: Services) -> None:
    submit(services)
    row = claim(services)
    services.registry.jobs.give_back(row)
    services.registry.jobs.cancel(row)


def fail_and_be_killed(services: Services) -> None:
    submit(services)
    services.registry.jobs.fail(claim(services), {"message": "no"})


def stop_and_be_killed(services: Services) -> None:
    submit(services)
    services.registry.jobs.stop(claim(services))


@pytest.mark.parametrize(
    "end",
    [
        die_too_often,
        die_after_it_was_cancelled,
        be_cancelled_after_it_was_given_back,
        fail_and_be_killed,
        stop_and_be_killed,
    ],
)
def test_nothing_is_left_of_a_job_without_a_result(
    services: Services, monkeypatch: pytest.MonkeyPatch, end: Callable[[Services], None]
) -> None:
    monkeypatch.setattr(jobs_module, "LEASE", -1.0)  # ends at once, as if its worker were gone
    end(services)
    tidy_jobs(services)
    assert (list_files(), list_results()) == ([], [])
    assert services.registry.jobs.list_untidied() == []


def test_a_result_is_kept_when_its_worker_is_killed_right_after(services: Services) -> None:
    submit(services)
    row = claim(services)
    services.registry.jobs.finish(row, {"object": f"results/{row.id}.m4b"})
    tidy_jobs(services)
    assert (list_files(), list_results()) == ([], [".m4b"])


@pytest.mark.parametrize("is_claimed", [False, True])
def test_a_job_that_may_still_run_keeps_all_it_has(services: Services, is_claimed: bool) -> None:
    submit(services)
    if is_claimed:
        claim(services)
    os.utime(data_folder() / "server" / "objects" / "uploads" / "upload_0", (0, 0))
    tidy_jobs(services)
    sweep(services)
    assert list_files() == (["job", "upload"] if is_claimed else ["upload"])
    assert list_results() == ([".m4b"] if is_claimed else [])


def test_a_queued_job_that_is_cancelled_is_tidied_at_once(
    client: TestClient, services: Services
) -> None:
    row = submit(services)
    assert client.delete(f"/v1/jobs/{row.id}").json()["state"] == "cancelled"
    assert list_files() == []


def fail_to_delete(*_: object) -> None:
    raise OutputError("the object store cannot be deleted now")


def fail_to_answer(*_: object) -> None:
    raise DatabaseUnavailableError("the database cannot be used now; try again")


@pytest.mark.parametrize("gone", ["store", "database"])
def test_what_was_gone_when_a_job_ended_is_asked_again(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    row = submit(services)
    with monkeypatch.context() as patch:
        if gone == "store":
            patch.setattr(services.registry.objects, "delete", fail_to_delete)
        else:
            patch.setattr(JobTable, "find", fail_to_answer)
        assert client.delete(f"/v1/jobs/{row.id}").json()["state"] == "cancelled"
        assert list_files() == ["upload"]
    tidy_jobs(services)
    assert list_files() == []


def test_a_job_that_ended_on_another_machine_leaves_no_folder_here(services: Services) -> None:
    submit(services)
    services.registry.jobs.mark_tidied(row := claim(services))
    services.registry.jobs.fail(row, {"message": "no"})
    unknown = data_folder() / "server" / "work" / "job_0123"
    unknown.mkdir(parents=True)
    sweep(services)
    assert list_files() == ["upload"]


def age(path: Path) -> None:
    then = time.time() - ORPHAN_SECONDS - 60
    os.utime(path, (then, then))


def test_what_a_killed_server_had_stored_for_no_job_is_swept_up_later(services: Services) -> None:
    objects = services.registry.objects
    for name in ("old", "young"):
        objects.put(f"uploads/upload_{name}", b"book")
    uploads = data_folder() / "server" / "objects" / "uploads"
    for name in ("old", "young"):
        (uploads / f"upload_{name}.01234567.part").write_bytes(b"bo")
    age(uploads / "upload_old")
    age(uploads / "upload_old.01234567.part")
    sweep(services)
    assert sorted(path.name for path in uploads.iterdir()) == [
        "upload_young",
        "upload_young.01234567.part",
    ]


def test_a_full_disk_leaves_no_part_of_a_file(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError(28, "No space left on device")
            return super().read(size)

    with pytest.raises(OutputError, match="No space left"):
        services.registry.objects.put_file("uploads/upload_1", Full(bytes(1 << 20)))
    assert list_files() == []


def test_a_job_whose_key_was_revoked_leaves_nothing(
    client: TestClient, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = services.registry.database
    secret, _ = keys.create_key(database, "a", ("speak", "jobs"))
    services.options.__dict__["allow_attested"] = True
    with monkeypatch.context() as patch:
        patch.setattr(JobTable, "claim", lambda *_: None)
        headers = {"Authorization": f"Bearer {secret}"}
        answer = client.post("/v1/jobs/book", files=BOOK, headers=headers)
        assert answer.status_code == 202, answer.text
        keys.revoke_key(database, "a")
    job_id = answer.json()["id"]
    for _ in range(600):
        found = services.registry.jobs.find(job_id)
        if found is not None and found.tidied:
            break
        time.sleep(0.05)
    assert found is not None
    assert (found.state, found.error["code"] if found.error else "") == (
        "failed",
        "invalid_api_key",
    )
    assert list_files() == []
