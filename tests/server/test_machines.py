"""Servers of one registry, and servers that are killed: nothing is lost, nothing is served twice.

Each machine is a process with a data folder and a signing key of its own; they share PostgreSQL and
an object store.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

import httpx
from sqlalchemy import update

import valle
from forked_python import ForkedPython, Program, serve_forks
from registry.conftest import make_database
from registry.conftest import postgres as postgres
from valle.registry.jobs import FINISHED, RUNNING
from valle.registry.keys import LOCAL_CALLER
from valle.registry.registry import Registry
from valle.registry.tables import JobRow
from valle.voices import registry as voice_folder

SPEECH = {"model": "tts-1", "input": "Hello there.", "voice": "Babble", "response_format": "pcm"}


@dataclass
class Process:
    """`valle serve` on a port of this computer."""

    handle: Program
    socket: Path
    client: httpx.Client

    def kill(self) -> None:
        """End it without any chance to clean up."""
        self.handle.send_signal(signal.SIGKILL)
        self.handle.wait()


Launch = Callable[..., Process]


@pytest.fixture(scope="module")
def python() -> Iterator[ForkedPython]:
    with serve_forks(["valle.cli.serve", "uvicorn", "psycopg"]) as forked:
        yield forked


@pytest.fixture
def launch(python: ForkedPython, debug_bundle: Path, tmp_path: Path) -> Iterator[Launch]:
    """Start `valle serve` with a data folder; options are those of the command line."""
    with contextlib.ExitStack() as stack:

        def start(home: Path, *options: str) -> Process:
            log = stack.enter_context((tmp_path / f"{len(list(tmp_path.iterdir()))}.log").open("w"))
            socket_path = tmp_path / f"{random.randrange(10**9)}.sock"
            command = ["-m", "valle", "serve", "--port", "0", "--threads", "1", "--uds"]
            command += [str(socket_path), "--bundle", str(debug_bundle), *options]
            environment = os.environ | {"VALLE_HOME": str(home)}
            handle = python.start(*command, environment=environment, output=log.fileno())
            stack.callback(handle.wait)
            stack.callback(handle.send_signal, signal.SIGTERM)
            client = stack.enter_context(connect_to(socket_path))
            wait_until_healthy(handle, client)
            return Process(handle, socket_path, client)

        yield start


def connect_to(socket: Path) -> httpx.Client:
    transport = httpx.HTTPTransport(uds=str(socket))
    return httpx.Client(transport=transport, base_url="http://localhost", timeout=60)


def wait_until_healthy(handle: Program, client: httpx.Client) -> None:
    for _ in range(1200):
        assert handle.poll() is None, "the server ended"
        with contextlib.suppress(httpx.HTTPError):
            if client.get("/health").status_code == 200:
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not become healthy")


def wait_for_job(client: httpx.Client, job_id: str) -> dict[str, Any]:
    for _ in range(1200):
        job = client.get(f"/v1/jobs/{job_id}").json()
        if job["state"] in FINISHED:
            return job
        time.sleep(0.05)
    raise TimeoutError(job)


def test_two_machines_share_voices_jobs_and_revocations(
    launch: Launch, postgres: str, tmp_path: Path, home: Path, voice: valle.Voice
) -> None:
    shared = ["--database", make_database(postgres, "machines"), "--objects", str(tmp_path / "o")]
    voice_folder.add(voice)
    first = launch(home, *shared)
    second = launch(tmp_path / "other-home", *shared)
    spoken = [server.client.post("/v1/audio/speech", json=SPEECH) for server in (first, second)]
    assert [answer.status_code for answer in spoken] == [200, 200], spoken[1].text
    assert len(spoken[0].content) == len(spoken[1].content) > 1000
    job = first.client.post("/v1/jobs", json={"kind": "speech", "request": SPEECH}).json()
    assert wait_for_job(second.client, job["id"])["state"] == "succeeded"
    results = [s.client.get(f"/v1/jobs/{job['id']}/result").content for s in (first, second)]
    assert results[0] == results[1] != b""
    revoke = [sys.executable, "-m", "valle", "consent", "revoke", "Babble"]
    subprocess.run(revoke, env=os.environ | {"VALLE_HOME": str(home)}, check=True)
    refused = first.client.post("/v1/audio/speech", json=SPEECH)
    assert (refused.status_code, "revoked" in refused.text) == (403, True)
    for _ in range(100):  # the second machine learns of it by the database
        # Not streamed: speech that it has begun by then would break off.
        refused = second.client.post("/v1/audio/speech", json=SPEECH | {"stream": False})
        if refused.status_code == 403:
            break
        time.sleep(0.1)
    assert (refused.status_code, "revoked" in refused.text) == (403, True)


def test_two_workers_of_one_server_share_everything(
    launch: Launch, home: Path, voice: valle.Voice
) -> None:
    voice_folder.add(voice)
    server = launch(home, "--workers", "2")
    answers = [server.client.post("/v1/audio/speech", json=SPEECH) for _ in range(6)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    ids = {
        server.client.post("/v1/jobs", json={"kind": "speech", "request": SPEECH}).json()["id"]
        for _ in range(4)
    }
    assert {wait_for_job(server.client, job)["state"] for job in ids} == {"succeeded"}


@pytest.mark.slow
def test_a_killed_server_leaves_nothing_half_done(
    launch: Launch, home: Path, voice: valle.Voice
) -> None:
    voice_folder.add(voice)
    rng, jobs = random.Random(0), []
    for _ in range(5):
        server = launch(home)
        request = SPEECH | {"input": "This sentence goes on for a while. " * 8}
        for _ in range(2):
            body = {"kind": "speech", "request": request}
            jobs.append(server.client.post("/v1/jobs", json=body).json()["id"])
        threads = [threading.Thread(target=speak_until_killed, args=(server,)) for _ in range(10)]
        for thread in threads:
            thread.start()
        time.sleep(rng.random())
        server.kill()
        for thread in threads:
            thread.join()
    end_leases()  # the killed workers', for which the next would wait
    server = launch(home)
    for job in jobs:
        done = wait_for_job(server.client, job)
        assert done["state"] == "succeeded" or done["error"]["message"], done
        if done["state"] == "succeeded":
            result = server.client.get(f"/v1/jobs/{job}/result")
            assert len(result.content) == done["result"]["bytes"]
    server.kill()
    registry = Registry()  # opens, and its ledger and files are as they were signed
    assert [row.name for row in registry.voices.list(LOCAL_CALLER)] == ["Babble"]
    assert registry.machine.synchronize() == []
    registry.close()


def end_leases() -> None:
    """Let as much time pass as a running job needs to be taken from a worker that is gone."""
    registry = Registry()
    with registry.database.session() as session:
        session.execute(update(JobRow).where(JobRow.state == RUNNING).values(lease_until=0.0))
    registry.close()


def speak_until_killed(server: Process) -> None:
    body = SPEECH | {"input": "Hello there. " * 20}
    with connect_to(server.socket) as client, contextlib.suppress(httpx.HTTPError):
        client.post("/v1/audio/speech", json=body)
