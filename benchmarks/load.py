"""The server under load: prints JSON.

    python benchmarks/load.py --seconds 600            # the figures of docs/SERVER.md
    python benchmarks/load.py --seconds 20 --only first_audio barge_in

Each part lasts `--seconds`; `listeners` lasts them for each number that it tries, and `throughput`
twice. It starts a server of its own, with an empty data folder and the sample voice. Server and
clients share the machine, so its figures are those of a machine that serves itself. Linux only,
with the extra `serve`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from load_clients import (
    BYTES_PER_SECOND,
    BrokenAnswerError,
    Server,
    SocketClient,
    describe_machine,
    finish,
    leave_after_first_audio,
    make_text,
    speak,
    start_server,
    submit_job,
)

_WARM_UP = 3  # requests that are not counted
_LEAST = 5  # requests that are, however short the measurement
_AHEAD = 2.0  # seconds that a listener takes before it must play them
_SETTLING = 60.0  # seconds after which a server's memory is to grow no more


def describe_times(seconds: list[float]) -> dict[str, float]:
    """Return figures of some times, in ms."""
    ordered = sorted(1000 * one for one in seconds)
    return {
        "count": len(ordered),
        "p50_ms": round(median(ordered), 1),
        "p99_ms": round(ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))], 1),
        "most_ms": round(ordered[-1], 1),
    }


async def measure_first_audio(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """One client, warm: a connection for each request over HTTP, one for all over WebSocket."""

    async def speak_by_http(text: str) -> float:
        return (await finish(speak(server.port, text))).first

    async def repeat(once: Callable[[str], Coroutine[Any, Any, float]]) -> list[float]:
        rng = random.Random(1)
        firsts: list[float] = []
        for _ in range(_WARM_UP):
            await once(make_text(rng, 2))
        until = time.monotonic() + options.seconds / 2
        while time.monotonic() < until or len(firsts) < _LEAST:
            firsts.append(await once(make_text(rng, 2)))
        return firsts

    http = await repeat(speak_by_http)
    async with SocketClient(server) as client:

        async def speak_by_socket(text: str) -> float:
            return (await client.speak(text))[0]

        return {
            "http": describe_times(http),
            "websocket": describe_times(await repeat(speak_by_socket)),
        }


async def measure_barge_in(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """A client leaves in the middle, and asks for something else at once."""
    rng = random.Random(2)
    idle: list[float] = []
    after: list[float] = []
    until = time.monotonic() + options.seconds
    while time.monotonic() < until or len(after) < _LEAST:
        idle.append((await finish(speak(server.port, make_text(rng, 1)))).first)
        await leave_after_first_audio(speak(server.port, make_text(rng, 40)))
        after.append((await finish(speak(server.port, make_text(rng, 1)))).first)
    return {
        "idle": describe_times(idle),
        "after": describe_times(after),
        "median_later_ms": round(1000 * (median(after) - median(idle)), 1),
    }


async def measure_throughput(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Speech per second of the whole machine: one request after the other, and many at once."""
    result: dict[str, Any] = {}
    for name, count in (("one_by_one", 1), ("at_once", options.at_once)):
        began, worked = time.monotonic(), server.processor_seconds()

        async def speak_on(seed: int, until: float = began + options.seconds) -> float:
            rng, seconds = random.Random(seed), 0.0
            while time.monotonic() < until:
                answer = await finish(speak(server.port, make_text(rng, 4), stream=False))
                seconds += answer.size / BYTES_PER_SECOND
            return seconds

        spoken = sum(await asyncio.gather(*map(speak_on, range(count))))
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


async def listen(server: Server, until: float, seed: int) -> tuple[float, float]:
    """Play streams in real time; returns the seconds without sound, and the latest start."""
    rng = random.Random(seed)
    gaps = latest = 0.0
    await asyncio.sleep(rng.random() * 2)
    while time.monotonic() < until:
        began, start, received = time.monotonic(), 0.0, 0.0
        async with contextlib.aclosing(speak(server.port, make_text(rng, 30))) as answers:  # type: ignore[type-var]
            async for answer in answers:
                if answer.status != 200:
                    raise BrokenAnswerError(f"status {answer.status}")
                now = time.monotonic()
                if not start:
                    start, latest = now, max(latest, now - began)
                # What was received before has been played by then: the listener waits.
                late = max(0.0, now - (start + received))
                gaps, start = gaps + late, start + late
                received = answer.size / BYTES_PER_SECOND
                if now > until:
                    break
                await asyncio.sleep(max(0.0, start + received - now - _AHEAD))
        await asyncio.sleep(max(0.0, min(start + received, until) - time.monotonic()))
    return gaps, latest


async def measure_listeners(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """How many listeners who play what they receive in real time hear no gap."""
    tried: list[dict[str, Any]] = []
    most = 0
    for count in options.listeners:
        until = time.monotonic() + options.seconds
        results = await asyncio.gather(*(listen(server, until, seed) for seed in range(count)))
        gaps = [gap for gap, _ in results]
        tried.append(
            {
                "listeners": count,
                "with_gaps": sum(gap > 0 for gap in gaps),
                "seconds_of_gaps": round(sum(gaps), 2),
                "latest_start_ms": round(1000 * max(start for _, start in results)),
            }
        )
        if any(gaps):
            break
        most = count
    return {"most_without_a_gap": most, "seconds_each": options.seconds, "tried": tried}


async def ask(server: Server, rng: random.Random, until: float, is_slow: bool) -> str:
    """Send a request of any kind, and return its status; some clients leave after first audio."""
    fields = {"response_format": rng.choice(["mp3", "opus", "aac", "flac", "wav", "pcm"])}
    if rng.random() < 0.3:
        fields["stream_format"] = "sse"
    status, leaves = "no answer", rng.random() < 0.1
    answers = speak(server.port, make_text(rng, rng.choice([1, 1, 2, 8])), **fields)
    try:
        async with contextlib.aclosing(answers) as parts:  # type: ignore[type-var]
            async for answer in parts:
                status = str(answer.status)
                if leaves or time.monotonic() > until:
                    break
                await asyncio.sleep(0.2 if is_slow else 0)
    except BrokenAnswerError as error:
        return f"broken: {error}"
    return status


async def do_job(server: Server, rng: random.Random) -> str:
    """Have a job done, and return how it ended."""
    try:
        return await submit_job(server.port, make_text(rng, 2), "wav")
    except BrokenAnswerError as error:
        return f"lost: {error}"


async def measure_mixed(server: Server, options: argparse.Namespace) -> dict[str, Any]:
    """Many clients with requests of all kinds; some leave early, some read slowly, some have jobs.

    Requests beyond the server's limit are told to come again (429), and do.
    """
    began = time.monotonic()
    until = began + options.seconds
    statuses: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    memory: list[tuple[float, float]] = []

    async def behave(seed: int) -> None:
        rng = random.Random(seed)
        await asyncio.sleep(rng.random() * min(3.0, options.seconds / 2))
        while time.monotonic() < until:
            if seed % 20 == 1:
                jobs[await do_job(server, rng)] += 1
                await asyncio.sleep(2)
            else:
                status = await ask(server, rng, until, is_slow=seed % 20 == 0)
                statuses[status] += 1
                await asyncio.sleep(0 if status == "200" else 1 + rng.random())

    async def watch() -> None:
        while time.monotonic() < until:
            memory.append((time.monotonic() - began, server.memory()))
            await asyncio.sleep(min(1.0, options.seconds / 20))

    await asyncio.gather(watch(), *map(behave, range(options.clients)))
    after = min(_SETTLING, options.seconds / 2)
    settled = [size for then, size in memory if then >= after]
    good, ended = ("200", "429"), ("succeeded", "refused")
    return {
        "clients": options.clients,
        "seconds": options.seconds,
        "statuses": dict(sorted(statuses.items())),
        "server_errors": sum(count for status, count in statuses.items() if status not in good),
        "failures_logged": server.count_failures(),
        "jobs": dict(sorted(jobs.items())),
        "jobs_lost": sum(count for state, count in jobs.items() if state not in ended),
        "memory_mb": {
            "settled_after_s": after,
            "settled": round(settled[0]),
            "most": round(max(settled)),
            "end": round(settled[-1]),
        },
        "memory_growth": round(settled[-1] / settled[0] - 1, 3),
    }


Measurement = Callable[[Server, argparse.Namespace], Coroutine[Any, Any, dict[str, Any]]]
PARTS: dict[str, Measurement] = {
    "first_audio": measure_first_audio,
    "barge_in": measure_barge_in,
    "throughput": measure_throughput,
    "listeners": measure_listeners,
    "mixed": measure_mixed,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0, help="that each part lasts")
    counts = [1, 2, 4, 8, 12, 16, 20, 24, 32]
    parser.add_argument("--listeners", type=int, nargs="+", default=counts, help="to be tried")
    parser.add_argument("--clients", type=int, default=200, help="of the part mixed")
    parser.add_argument("--at-once", type=int, default=8, help="requests, for the throughput")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--bundle", help="folder of a bundle (default: the built-in one)")
    options = parser.parse_args()
    result = describe_machine()
    with start_server(options.bundle) as server:
        result["memory_at_rest_mb"] = round(server.memory())
        for name in options.only:
            result[name] = asyncio.run(PARTS[name](server, options))
            print(f"{name}: {json.dumps(result[name])}", file=sys.stderr)
    result["load_after"] = round(os.getloadavg()[0], 2)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
