"""What `load.py` is made of: a server of its own, and clients that note when sound comes.

`studio.py` starts the same server.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import json
import os
import platform
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import websockets

ROOT = Path(__file__).parents[1]
RATE = 24_000
BYTES_PER_SECOND = 2 * RATE
SOCKET_PATH = "/v1/text-to-speech/Ada/multi-stream-input?output_format=pcm_24000"
SENTENCES = (
    "The train to the coast leaves at nine in the morning.",
    "She looked at the map, and then at the sky.",
    "Nobody had told them how far the village really was.",
    "There is still some bread left on the table.",
    "When the rain stopped, the children ran into the garden again.",
)


class BrokenAnswerError(Exception):
    """The server ended a connection, or sent something that is not an answer."""


@dataclass
class Answer:
    """What came back of one request."""

    status: int
    first: float = 0.0
    """Seconds to the first byte of the body, which is sound if the status is 200."""
    size: int = 0
    """Bytes of the body so far."""
    body: bytes = b""
    """What has just come of it."""


@dataclass
class Server:
    """A server that was started for the benchmark."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def count_failures(self) -> int:
        """Return how many failures of its own the server has logged."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum('"level": "error"' in line or "Traceback" in line for line in lines)


def describe_machine() -> dict[str, Any]:
    """Return the date, the machine and its load: the beginning of a result."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": platform.processor() or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
    }


@contextlib.contextmanager
def start_server(bundle: str | None = None, *options: str) -> Iterator[Server]:
    """Serve a bundle, or the default one, with an empty data folder and one voice."""
    with tempfile.TemporaryDirectory() as folder:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {"VALLE_HOME": f"{folder}/home"}
        valle = [sys.executable, "-m", "valle"]
        chosen = ["--bundle", bundle] if bundle else []
        voice = [str(ROOT / "examples" / "voice.wav"), "--name", "Ada", "--i-hold-the-rights"]
        subprocess.run([*valle, "enroll", *voice, "-q", *chosen], env=environment, check=True)
        log = Path(folder, "log")
        with log.open("wb") as file:
            command = [*valle, "serve", "--port", str(port), *chosen, *options]
            process = subprocess.Popen(command, env=environment, stderr=file)
        try:
            wait_until_healthy(port, process)
            yield Server(port, process, log)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_healthy(port: int, process: subprocess.Popen[bytes]) -> None:
    began = time.monotonic()
    while time.monotonic() - began < 300:
        if process.poll() is not None:
            raise BrokenAnswerError("the server has ended")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as probe:
            probe.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in probe.recv(64):
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not become healthy")


async def send(
    port: int, method: str, path: str, data: bytes = b"", media_type: str = "application/json"
) -> AsyncIterator[Answer]:
    """Send a request; yields the answer so far after every part of the body that comes.

    Raises:
        BrokenAnswerError: The connection ended before the answer did.
    """
    began = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError as error:
        raise BrokenAnswerError("no connection") from error
    try:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: {media_type}\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        answer = Answer(int(lines[0].split()[1]))
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        async for part in read_body(reader, headers):
            answer.first = answer.first or time.monotonic() - began
            answer.size += len(part)
            answer.body = part
            yield answer
    except (OSError, asyncio.IncompleteReadError, ValueError, IndexError) as error:
        raise BrokenAnswerError(type(error).__name__) from error
    finally:
        writer.close()


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> AsyncIterator[bytes]:
    """Yield the parts of a body, which must come to its end."""
    if headers.get("transfer-encoding") == "chunked":
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield (await reader.readexactly(size + 2))[:-2]
        return
    left = int(headers.get("content-length", "0"))
    while left:
        part = await reader.read(min(left, 1 << 16))
        if not part:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(part)
        yield part


def speak(port: int, text: str, **fields: Any) -> AsyncIterator[Answer]:
    """Ask for speech, as samples if `fields` do not say otherwise."""
    body = {"model": "tts-1", "voice": "Ada", "input": text, "response_format": "pcm", **fields}
    return send(port, "POST", "/v1/audio/speech", json.dumps(body).encode())


async def finish(answers: AsyncIterator[Answer]) -> Answer:
    """Return a good answer once it is whole.

    Raises:
        BrokenAnswerError: It is not, or not a good one.
    """
    last = None
    async for answer in answers:
        last = answer
    if last is None or last.status != 200:
        raise BrokenAnswerError(f"status {last.status if last else 'without a body'}")
    return last


async def fetch_json(answers: AsyncIterator[Answer]) -> tuple[int, dict[str, Any]]:
    """Return the status and the object of an answer."""
    status, data = 0, b""
    async for answer in answers:
        status, data = answer.status, data + answer.body
    if status not in (200, 202, 429):
        raise BrokenAnswerError(f"status {status}")
    return status, json.loads(data)


async def leave_after_first_audio(answers: AsyncIterator[Answer]) -> None:
    async with contextlib.aclosing(answers) as parts:  # type: ignore[type-var]
        async for _ in parts:
            return


async def submit_job(port: int, text: str, response_format: str) -> str:
    """Submit a job, and return its state once it has ended, or why it was not taken."""
    request = {"voice": "Ada", "input": text, "response_format": response_format}
    data = json.dumps({"kind": "speech", "request": request}).encode()
    status, job = await fetch_json(send(port, "POST", "/v1/jobs", data))
    if status == 429:
        return "refused"
    path = f"/v1/jobs/{job['id']}"
    while True:
        _, job = await fetch_json(send(port, "GET", path))
        state = job["state"]
        if state == "succeeded":
            await finish(send(port, "GET", f"{path}/result"))
        if state not in ("queued", "running"):
            return str(state)
        await asyncio.sleep(0.5)


class SocketClient:
    """A client of ElevenLabs' `multi-stream-input`, with one connection."""

    def __init__(self, server: Server) -> None:
        self._url = f"ws://{server.url}{SOCKET_PATH}"
        self._count = 0

    async def __aenter__(self) -> SocketClient:
        self._socket = await websockets.connect(self._url, max_size=None)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()

    async def speak(self, text: str) -> tuple[float, int]:
        """Return the seconds to the first audio of a text, and the bytes of all its sound."""
        self._count += 1
        name, began, first, size = str(self._count), time.monotonic(), 0.0, 0
        messages: tuple[dict[str, Any], ...] = (
            {"text": " "},
            {"text": text, "flush": True},
            {"close_context": True},
        )
        for message in messages:
            await self._socket.send(json.dumps(message | {"context_id": name}))
        while True:
            fields = json.loads(await self._socket.recv())
            sound = base64.b64decode(fields.get("audio") or "")
            if sound and not size:
                first = time.monotonic() - began
            size += len(sound)
            if fields.get("isFinal"):
                if not size:
                    raise BrokenAnswerError(str(fields.get("message")))
                return first, size


def make_text(rng: random.Random, sentences: int) -> str:
    return " ".join(rng.choice(SENTENCES) for _ in range(sentences))
