"""A server around the debug bundle: its application in this process, or on a port of its own."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import valle
from valle.voices import registry as voice_folder

pytest.importorskip("fastapi", reason="needs the extra [serve]")
pytest.importorskip("sqlalchemy", reason="needs the extra [serve]")

import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from valle.server.app import create_app
from valle.server.settings import ServeOptions

Connect = Callable[..., TestClient]


@pytest.fixture
def stored_voice(home: Path, voice: valle.Voice) -> str:
    """The name of a voice in the user's folder."""
    voice_folder.add(voice)
    return voice.name


@pytest.fixture
def connect(home: Path, debug_bundle: Path) -> Iterator[Connect]:
    """Start the application in this process; keywords are options of the server."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> TestClient:
            chosen = ServeOptions.from_keywords(bundle=str(debug_bundle), threads=1, **options)
            client = stack.enter_context(TestClient(create_app(chosen)))
            client.app.state.services.ready.wait(30)
            return client

        yield start


@pytest.fixture
def client(connect: Connect, stored_voice: str) -> TestClient:
    """The application with one voice, as the user of this computer meets it."""
    return connect()


@pytest.fixture
def wait_for_jobs() -> Callable[[TestClient], list[dict[str, Any]]]:
    """Wait until all jobs have ended and are tidied, and return them as the server shows them."""

    def wait(client: TestClient) -> list[dict[str, Any]]:
        jobs = client.app.state.services.registry.jobs  # type: ignore[attr-defined]
        while jobs.list_unfinished_requests() or jobs.list_untidied():
            time.sleep(0.05)
        listed: list[dict[str, Any]] = client.get("/v1/jobs").json()["data"]
        return listed

    return wait


class LiveServer:
    """An application that is served on a port of this computer."""

    def __init__(self, app: FastAPI, port: int = 0, **settings: Any) -> None:
        """Take a port, or 0 for any free one; keywords are settings of uvicorn's."""
        self.app = app
        self._scheme = "https" if "ssl_certfile" in settings else "http"
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
            self.port = free.getsockname()[1]
        # What is still streamed to a browser must not outlive its test: this server's threads would
        # go on with the data folder of the next one.
        settings |= {"timeout_graceful_shutdown": 5, "access_log": False}
        config = uvicorn.Config(app, port=self.port, log_config=None, **settings)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> LiveServer:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        self.app.state.services.ready.wait(30)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture
def serve(home: Path, debug_bundle: Path) -> Iterator[Callable[..., LiveServer]]:
    """Serve the application on a port; keywords are options of the server."""
    with contextlib.ExitStack() as stack:

        def start(**options: Any) -> LiveServer:
            given = {"bundle": str(debug_bundle), "threads": 1, "port": 0} | options
            chosen = ServeOptions.from_keywords(**given)
            return stack.enter_context(LiveServer(create_app(chosen), chosen.port))

        yield start


@pytest.fixture
def serve_securely(home: Path, debug_bundle: Path) -> Iterator[Callable[[Path, Path], LiveServer]]:
    """Serve the application by TLS; takes the files of a certificate and its key."""
    with contextlib.ExitStack() as stack:

        def start(certificate: Path, key: Path) -> LiveServer:
            chosen = ServeOptions.from_keywords(bundle=str(debug_bundle), threads=1)
            files: dict[str, Any] = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
            return stack.enter_context(LiveServer(create_app(chosen), **files))

        yield start
