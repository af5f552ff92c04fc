"""Jobs over HTTP: submitted, followed, cancelled, fetched; and kept when the server is gone."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from fastapi.testclient import TestClient

from valle.registry import jobs
from valle.registry.jobs import FINISHED
from valle.registry.keys import LOCAL_CALLER

TEXT = "Hello there. This is the second sentence."


def submit(client: TestClient, text: str = TEXT, **headers: str):
    request = {"model": "tts-1", "input": text, "voice": "Babble", "response_format": "wav"}
    return client.post("/v1/jobs", json={"kind": "speech", "request": request}, headers=headers)


def wait(client: TestClient, job_id: str, until: tuple[str, ...] = FINISHED) -> dict[str, Any]:
    for _ in range(600):
        job = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in until:
            return job
        time.sleep(0.05)
    raise TimeoutError(job)


def test_a_job_makes_what_a_request_would(client: TestClient) -> None:
    answer = submit(client)
    job = answer.json()
    assert (answer.status_code, answer.headers["location"]) == (202, f"/v1/jobs/{job['id']}")
    done = wait(client, job["id"])
    assert (done["state"], done["progress"], done["error"]) == ("succeeded", 1.0, None)
    result = client.get(done["result"]["url"])
    body = {"model": "tts-1", "input": TEXT, "voice": "Babble", "response_format": "wav"}
    assert result.content == client.post("/v1/audio/speech", json=body | {"stream": False}).content
    assert result.headers["content-type"] == "audio/wav"
    assert int(result.headers["content-length"]) == done["result"]["bytes"]
    words = client.get(f"/v1/jobs/{job['id']}/words").json()
    assert [word["word"] for word in words] == TEXT.replace(".", "").split()
    assert client.get("/v1/jobs").json()["data"] == [done]


def test_events_lead_to_the_result(client: TestClient) -> None:
    job = submit(client).json()
    text = client.get(f"/v1/jobs/{job['id']}/events").text
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    assert events[-1]["state"] == "succeeded"
    progress = [event["progress"] for event in events]
    assert progress == sorted(progress)
    assert text.count("event: job\n") == len(events)


def test_a_job_is_cancelled(client: TestClient) -> None:
    job = submit(client, "This sentence goes on and on. " * 500).json()
    wait(client, job["id"], ("running",))
    assert client.get(f"/v1/jobs/{job['id']}/result").status_code == 409
    client.delete(f"/v1/jobs/{job['id']}")
    assert wait(client, job["id"])["state"] == "cancelled"


def test_the_same_idempotency_key_is_the_same_job(client: TestClient) -> None:
    first = submit(client, **{"Idempotency-Key": "once"}).json()
    assert submit(client, **{"Idempotency-Key": "once"}).json()["id"] == first["id"]
    answer = submit(client, "Other words.", **{"Idempotency-Key": "once"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"input": TEXT, "voice": "Nobody"}, 404, "no voice"),
        ({"input": " ", "voice": "Babble"}, 400, "empty"),
        ({"voice": "Babble"}, 400, "input"),
        ({"input": TEXT, "voice": "Babble", "speed": 99}, 400, "speed"),
        ({"input": TEXT, "voice": "Babble", "ref_audio": "UklGRg=="}, 400, "ref_audio"),
    ],
)
def test_what_would_fail_is_refused_at_once(
    client: TestClient, request_: dict[str, Any], status: int, reason: str
) -> None:
    answer = client.post("/v1/jobs", json={"kind": "speech", "request": request_})
    assert (answer.status_code, reason in answer.json()["error"]["message"]) == (status, True)


def test_jobs_that_are_not_done_are_limited(client: TestClient) -> None:
    registry = client.app.state.services.registry  # type: ignore[attr-defined]
    for _ in range(20):
        registry.jobs.submit(LOCAL_CALLER, "of another server", {})
    answer = submit(client)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "10")


def test_a_job_goes_on_after_its_server_is_gone(
    connect: Callable[..., TestClient], stored_voice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a killed server leaves behind is a running job whose lease ends."""
    client = connect()
    registry = client.app.state.services.registry  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "LEASE", 0.2)
        request = {"input": TEXT, "voice": stored_voice, "response_format": "wav"}
        row = registry.jobs.submit(LOCAL_CALLER, "speech", request)
        # Either this or the server's own worker is first; both are taken over or done.
        registry.jobs.claim("killed", ["speech"])
    assert wait(client, row.id)["state"] == "succeeded"


def test_a_server_that_stops_gives_its_jobs_to_the_next(
    connect: Callable[..., TestClient], stored_voice: str, home
) -> None:
    with connect() as first:
        job = submit(first, "This sentence goes on and on. " * 200).json()
        wait(first, job["id"], ("running",))
    second = connect()
    assert wait(second, job["id"], ("running", *FINISHED))["error"] is None
    second.delete(f"/v1/jobs/{job['id']}")
    assert wait(second, job["id"])["state"] == "cancelled"
