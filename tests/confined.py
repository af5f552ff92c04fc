"""Commands that run confined: each in a process of its own, with a limit of memory and of time.

One child imports everything once and forks for every command, so that a hundred take seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import valle

MEMORY = 1 << 30  # bytes of address space above what the imports take
SECONDS = 60  # far more than any refusal takes, also on a busy machine

# Reads memory, seconds, and [[folder, argv], ...]. Prints a line for each: its exit code, or minus
# the signal that ended it, seconds of processor time, and kilobytes of memory.
_CHILD = """
import importlib, json, os, resource, signal, sys, time
import av, numpy, onnxruntime, soundfile, soxr
from valle.audio import decoding
from valle.cli import main as command_line
for name in ("speak", "voices", "detect"):
    importlib.import_module(f"valle.cli.{name}")
for name in ("synthesis.model", "consent.issuing", "consent.prints", "bundle.bundle"):
    importlib.import_module(f"valle.{name}")
import cryptography.hazmat.primitives.asymmetric.ed25519, cryptography.x509
decoding.PIPE_SECONDS = 0.5
memory, seconds, cases = json.loads(sys.stdin.read())
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + memory


def run(folder, argv):
    os.chdir(os.path.join(folder, "here"))
    os.environ["VALLE_HOME"] = os.path.join(folder, "home")
    for number, name in ((0, os.devnull), (1, "../out"), (2, "../err")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT, 0o600), number)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(10 * seconds)
    os._exit(command_line.main(argv))


for folder, argv in cases:
    child = os.fork()
    if not child:
        run(folder, argv)
    _, status, used = os.wait4(child, 0)
    cpu = used.ru_utime + used.ru_stime
    print(os.waitstatus_to_exitcode(status), cpu, used.ru_maxrss, flush=True)
"""


class Confined(NamedTuple):
    """How a confined command ended: its exit code, or minus the signal that ended it."""

    name: str
    code: int
    out: str
    err: str
    left: list[str]
    """What it left in its working folder and, of voices and temporary files, in its data folder."""
    cpu: float
    """Seconds of processor time."""
    megabytes: float
    """The most memory that it had at once, the imports included."""


def run_confined(
    folder: Path, cases: Sequence[tuple[str, Sequence[object]]], safety: Path
) -> list[Confined]:
    """Run commands, each in an empty folder with a data folder that has only the key and ledger.

    Args:
        folder: An empty folder to work in.
        cases: A name and the words of the command line each.
        safety: The folder of the key and ledger that every command begins with.
    """
    places = [folder / str(number) for number in range(len(cases))]
    for place in places:
        (place / "here").mkdir(parents=True)
        (place / "home").mkdir()
        shutil.copytree(safety, place / "home" / "safety")
    words = [
        [str(place), [str(word) for word in argv]]
        for place, (_, argv) in zip(places, cases, strict=True)
    ]
    finished = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps([MEMORY, SECONDS, words]).encode(),
        env=os.environ | {"PYTHONPATH": str(Path(valle.__file__).parents[1])},
        capture_output=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr.decode()
    ends = [line.split() for line in finished.stdout.splitlines()]
    return [
        Confined(
            name,
            int(code),
            (place / "out").read_text(errors="replace"),
            (place / "err").read_text(errors="replace"),
            _list_left(place),
            float(cpu),
            int(kilobytes) / 1000,
        )
        for place, (name, _), (code, cpu, kilobytes) in zip(places, cases, ends, strict=True)
    ]


def _list_left(place: Path) -> list[str]:
    left = list((place / "here").rglob("*"))
    left += (place / "home" / "voices").glob("*")
    left += (place / "home").rglob(".*.tmp")
    return sorted({str(path.relative_to(place)) for path in left})


def find_faults(result: Confined, allowed: Sequence[int]) -> list[str]:
    """Say what is wrong with how a command ended that had to be refused with one clear line."""
    faults = []
    if result.code not in allowed:
        faults.append(f"exit code {result.code}, not one of {list(allowed)}")
    if "Traceback" in result.err or "internal error" in result.err:
        faults.append("it failed inside of valle")
    if result.code:
        if result.left:
            faults.append(f"it left {result.left}")
        if not result.err.startswith("valle: ") or result.err.count("\n") != 1:
            faults.append("it did not end with one line")
    if any(ord(character) < 32 and character != "\n" for character in result.err):
        faults.append("control characters reached the terminal")
    return [f"{result.name}: {fault}: {result.err[-300:]!r}" for fault in faults]
