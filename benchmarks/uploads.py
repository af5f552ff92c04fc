"""Damaged uploads to every route of the server that takes files: prints JSON.

    python benchmarks/uploads.py --count 10000

Fails if the server answers one with anything but an error of the client's in its own form, loses a
job, leaves an upload behind, or grows. It starts a server of its own, with a tiny model unless
`--bundle` names another. Linux only, with the extras `serve`, `media` and `train`.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests")]  # whose files they are

from load_clients import BrokenAnswerError, Server, fetch_json, send, start_server
from malformed_uploads import Upload, UploadMaker, find_fault
from valle.training.export.bundle import debug_bundle

AT_ONCE = 4
_MOST_GROWTH = 0.25  # of memory, in the second half
_WAIT_SECONDS = 300.0  # that the last jobs get to end


@dataclass
class Outcome:
    """What came of the uploads."""

    statuses: Counter[str] = field(default_factory=Counter)
    jobs: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


async def upload(server: Server, one: Upload, outcome: Outcome) -> None:
    """Send one, again and again while there are too many jobs."""
    while True:
        status, body = 0, b""
        try:
            async for answer in send(server.port, "POST", one.path, one.body, one.media_type):
                status, body = answer.status, body + answer.body
        except BrokenAnswerError as error:
            outcome.faults.append(f"{one.path}: broken: {error}")
            return
        if status != 429:
            break
        await asyncio.sleep(0.5)
    outcome.statuses[f"{one.path} {status}"] += 1
    fault = find_fault(status, body, {})
    if fault is not None:
        outcome.faults.append(f"{one.path}: {fault}")
    if status == 202:
        outcome.jobs.append(json.loads(body)["id"])


async def send_all(server: Server, maker: UploadMaker, options: argparse.Namespace) -> Outcome:
    """Send them, for as long as there is time, and wait for the jobs that they became."""
    outcome = Outcome()
    uploads = maker.make_all(options.count)
    until = time.monotonic() + options.seconds

    async def work() -> None:
        for one in uploads:
            await upload(server, one, outcome)
            if sum(outcome.statuses.values()) % 20 == 0:
                outcome.memory.append(server.memory())
            if time.monotonic() > until:
                return

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    outcome.memory.append(server.memory())
    waiting = time.monotonic() + _WAIT_SECONDS
    for job in outcome.jobs:
        _, described = await fetch_json(send(server.port, "GET", f"/v1/jobs/{job}"))
        while described["state"] in ("queued", "running") and time.monotonic() < waiting:
            await asyncio.sleep(0.2)
            _, described = await fetch_json(send(server.port, "GET", f"/v1/jobs/{job}"))
        outcome.statuses[f"job {described['kind']} {described['state']}"] += 1
        error = described["error"]
        if (
            described["state"] != "succeeded"
            and (error or {}).get("type") != "invalid_request_error"
        ):
            outcome.faults.append(f"job {described['kind']}: {described['state']}: {error}")
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=86_400.0, help="after which it ends")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bundle", help="folder of a bundle (default: a tiny one)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = options.bundle or str(Path(folder) / "bundle")
        if not options.bundle:
            debug_bundle(Path(bundle), seed=0)
        material = Path(folder) / "material"
        material.mkdir()
        maker = UploadMaker(material, ROOT / "examples" / "voice.wav", options.seed, "Ada")
        with start_server(bundle) as server:
            outcome = asyncio.run(send_all(server, maker, options))
            time.sleep(1)  # in which what ended last is tidied
            left = [*(server.log.parent / "home" / "server" / "objects").glob("uploads/*")]
            failures = server.count_failures()
    result = summarize(outcome, len(left), failures)
    print(json.dumps(result, indent=1))
    return 1 if outcome.faults or left or failures or result["memory_growth"] > _MOST_GROWTH else 0


def summarize(outcome: Outcome, left: int, failures: int) -> dict[str, Any]:
    memory = outcome.memory
    settled = memory[len(memory) // 2]
    uploads = {key: count for key, count in outcome.statuses.items() if not key.startswith("job ")}
    return {
        "date": datetime.date.today().isoformat(),
        "uploads": sum(uploads.values()),
        "statuses": dict(sorted(outcome.statuses.items())),
        "faults": len(outcome.faults),
        "first_faults": outcome.faults[:20],
        "failures_logged": failures,
        "uploads_left_behind": left,
        "memory_mb": {"settled": settled, "most": max(memory), "end": memory[-1]},
        "memory_growth": round(memory[-1] / settled - 1, 3),
    }


if __name__ == "__main__":
    sys.exit(main())
