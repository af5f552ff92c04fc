"""The server under load: prints JSON.

    python benchmarks/load.py --seconds 600          # all figures of docs/SERVER.md
    python benchmarks/load.py --seconds 5 --clients 20 --only first_audio mixed

It starts a server of its own, with an empty data folder and the sample voice. Server and clients
share the machine, so its figures are those of a machine that serves itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
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
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RATE = 24_000
BYTES_PER_SECOND = 2 * RATE
SENTENCES = (
    "The train to the coast leaves at nine in the morning.",
    "She looked at the map, and then at the sky.",
    "Nobody had told them how far the village really was.",
    "There is still some bread left on the table.",
    "When the rain stopped, the children ran into the garden again.",
)


@dataclass
class Answer:
    """What came back of one request."""

    status: int = 0
    first: float = 0.0
    """Seconds to the first byte of the body."""
    size: int = 0
    gap: float = 0.0
    """Seconds for which a listener had nothing to play."""


@dataclass
class Server:
    """A server that was started for the benchmark."""

    port: int
    process: subprocess.Popen[bytes]
    folder: Path
    samples: list[tuple[float, float]] = field(default_factory=list)

    def memory(self) -> float:
        """Resident memory in MB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1000

    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def start_server(*options: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = os.environ | {"VALLE_HOME": f"{folder}/home"}
        valle = [sys.executable, "-m", "valle"]
        voice = [str(ROOT / "examples" / "voice.wav"), "--name", "Ada", "--i-hold-the-rights"]
        subprocess.run([*valle, "enroll", *voice, "-q"], env=environment, check=True)
        with Path(folder, "log").open("wb") as log:
            command = [*valle, "serve", "--port", str(port), *options]
            process = subprocess.Popen(command, env=environment, stderr=log)
        try:
            wait_until_healthy(port)
            yield Server(port, process, Path(folder))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def wait_until_healthy(port: int) -> float:
    began = time.monotonic()
    while time.monotonic() - began < 120:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as probe:
            probe.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            if b" 200 " in probe.recv(64):
                return time.monotonic() - began
        time.sleep(0.05)
    raise TimeoutError("the server did not become healthy")


async def request(port: int, text: str, **fields: Any) -> AsyncIterator[Answer]:
    """Send a request; yields the answer so far after every part of the body that comes."""
    body = {"model": "tts-1", "voice": "Ada", "input": text, "response_format": "pcm", **fields}
    data = json.dumps(body).encode()
    answer, began = Answer(), time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head = (
            "POST /v1/audio/speech HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        writer.write(head.encode() + data)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        answer.status = int(lines[0].split()[1])
        is_chunked = any(line.lower() == "transfer-encoding: chunked" for line in lines)
        async for part in read_chunks(reader) if is_chunked else read_plain(reader):
            answer.first = answer.first or time.monotonic() - began
            answer.size += len(part)
            yield answer
    finally:
        writer.close()


async def read_chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        part = await reader.readexactly(size + 2)
        if size == 0:
            return
        yield part[:-2]


async def read_plain(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while part := await reader.read(1 << 16):
        yield part


async def finish(answers: AsyncIterator[Answer]) -> Answer:
    last = Answer()
    async for answer in answers:
        last = answer
    return last


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def make_text(rng: random.Random, sentences: int) -> str:
    return " ".join(rng.choice(SENTENCES) for _ in range(sentences))


async def measure_first_audio(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """One client, warm."""
    rng = random.Random(1)
    firsts = []
    for number in range(options.requests + 3):
        answer = await finish(request(server.port, make_text(rng, 2)))
        if number >= 3:
            firsts.append(1000 * answer.first)
    return {
        "requests": len(firsts),
        "p50_ms": round(median(firsts), 1),
        "p99_ms": round(percentile(firsts, 0.99), 1),
    }


async def measure_barge_in(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """A client leaves in the middle, and asks for something else at once."""
    rng = random.Random(2)
    idle, after = [], []
    for _ in range(max(10, options.requests // 4)):
        idle.append(1000 * (await finish(request(server.port, make_text(rng, 1)))).first)
        answers = request(server.port, make_text(rng, 40))
        async for _ in answers:
            break
        await answers.aclose()  # type: ignore[attr-defined]
        after.append(1000 * (await finish(request(server.port, make_text(rng, 1)))).first)
    return {
        "idle_ms": round(median(idle), 1),
        "after_ms": round(median(after), 1),
        "later_ms": round(median(after) - median(idle), 1),
    }


async def measure_throughput(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Speech per second of the whole machine: one request after the other, and many at once."""
    result: dict[str, Any] = {}
    for name, count in (("one_by_one", 1), ("at_once", options.at_once)):
        rng, spoken = random.Random(3), 0.0
        began, worked = time.monotonic(), server.processor_seconds()

        async def speak(
            rng: random.Random = rng, until: float = began + options.seconds / 10
        ) -> float:
            seconds = 0.0
            while time.monotonic() < until:
                answer = await finish(request(server.port, make_text(rng, 4), stream=False))
                seconds += answer.size / BYTES_PER_SECOND
            return seconds

        spoken = sum(await asyncio.gather(*(speak() for _ in range(count))))
        elapsed = time.monotonic() - began
        result[name] = {
            "requests_at_once": count,
            "speech_per_second": round(spoken / elapsed, 2),
            "speech_per_processor_second": round(spoken / (server.processor_seconds() - worked), 2),
        }
    for kind in ("speech_per_second", "speech_per_processor_second"):
        gain = result["at_once"][kind] / result["one_by_one"][kind]
        result[f"gain_{kind.removeprefix('speech_')}"] = round(gain, 2)
    return result


async def listen(server: Server, until: float, seed: int) -> tuple[float, float, float]:
    """Play streams in real time; returns seconds played, seconds without sound, worst start."""
    rng = random.Random(seed)
    played = gaps = worst = 0.0
    await asyncio.sleep(rng.random() * 2)
    while time.monotonic() < until:
        began, start = time.monotonic(), None
        received = 0.0
        async for answer in request(server.port, make_text(rng, 30)):
            now = time.monotonic()
            if start is None:
                start, worst = now, max(worst, now - began)
            late = now - (start + received)
            if late > 0:  # what was received before has been played already
                gaps += late if received else 0.0
                start += late
            received = answer.size / BYTES_PER_SECOND
            if now > until:
                break
            ahead = start + received - now
            if ahead > 2.0:
                await asyncio.sleep(ahead - 2.0)
        played += received
        if start is not None:
            await asyncio.sleep(max(0.0, min(start + received, until) - time.monotonic()))
    return played, gaps, worst


async def measure_listeners(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Listeners who play what they receive in real time."""
    until = time.monotonic() + options.seconds
    results = await asyncio.gather(
        *(listen(server, until, seed) for seed in range(options.listeners))
    )
    return {
        "listeners": options.listeners,
        "seconds": options.seconds,
        "with_gaps": sum(gap > 0 for _, gap, _ in results),
        "seconds_of_gaps": round(sum(gap for _, gap, _ in results), 2),
        "latest_start_ms": round(1000 * max(worst for *_, worst in results)),
    }


async def measure_mixed(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Many clients with requests of all kinds; some leave early, some read slowly."""
    until = time.monotonic() + options.seconds
    statuses: Counter[int] = Counter()
    memory: list[float] = []

    async def behave(seed: int) -> None:
        rng = random.Random(seed)
        await asyncio.sleep(rng.random() * 3)
        while time.monotonic() < until:
            fields = {"response_format": rng.choice(["mp3", "opus", "aac", "flac", "wav", "pcm"])}
            if rng.random() < 0.3:
                fields["stream_format"] = "sse"
            answers = request(server.port, make_text(rng, rng.choice([1, 1, 2, 8])), **fields)
            leaves, last = rng.random() < 0.1, Answer()
            async for answer in answers:
                last = answer
                if leaves or time.monotonic() > until:
                    break
                if seed % 20 == 0:
                    await asyncio.sleep(0.2)
            await answers.aclose()  # type: ignore[attr-defined]
            statuses[last.status] += 1
            if last.status != 200:
                await asyncio.sleep(1 + rng.random())

    async def watch() -> None:
        while time.monotonic() < until:
            memory.append(server.memory())
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(behave(seed) for seed in range(options.clients)))
    settled = memory[min(60, len(memory) // 4) :]
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "statuses": dict(sorted(statuses.items())),
        "server_errors": sum(count for status, count in statuses.items() if status >= 500),
        "memory_mb": {
            "settled": round(settled[0]),
            "most": round(max(settled)),
            "end": round(settled[-1]),
        },
        "memory_growth": round(settled[-1] / settled[0] - 1, 3),
    }


Measurement = Callable[[Server, argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]
MEASUREMENTS: dict[str, Measurement] = {
    "first_audio": measure_first_audio,
    "barge_in": measure_barge_in,
    "throughput": measure_throughput,
    "listeners": measure_listeners,
    "mixed": measure_mixed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the long measurements")
    parser.add_argument("--requests", type=int, default=100, help="of the short ones")
    parser.add_argument("--listeners", type=int, default=16)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=8, help="requests, for the throughput")
    parser.add_argument("--only", nargs="+", choices=MEASUREMENTS, default=list(MEASUREMENTS))
    options = parser.parse_args()
    result: dict[str, Any] = {
        "machine": platform.processor() or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
    }
    with start_server() as server:
        result["memory_at_rest_mb"] = round(server.memory())
        for name in options.only:
            result[name] = asyncio.run(MEASUREMENTS[name](server, options))
            print(f"{name}: {json.dumps(result[name])}", file=sys.stderr)
    result["load_after"] = round(os.getloadavg()[0], 2)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
