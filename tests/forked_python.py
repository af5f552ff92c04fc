"""Python programs that start at once, since a `fork_server` has imported what they need.

A program that speaks imports for a second or two before it does anything, which adds up over the
many that the documentation shows. What a start costs is tested in `cli/test_process.py`.
"""

from __future__ import annotations

import contextlib
import os
import select
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from socket import SocketIO

from fork_client import ask

HERE = Path(__file__).parent


@dataclass
class Program:
    """A program that a server has started, with the interface of `subprocess.Popen`."""

    pid: int
    _answer: SocketIO = field(repr=False)
    returncode: int | None = None

    def poll(self) -> int | None:
        """Return its exit code, or minus the signal that ended it; None while it runs."""
        if self.returncode is None and select.select([self._answer], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self) -> int:
        """Wait until it has ended, and return what `poll` does."""
        if self.returncode is None:
            self.returncode = int(self._answer.readline())
            self._answer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)


@dataclass(frozen=True)
class ForkedPython:
    """A server that is running."""

    address: str

    @property
    def command(self) -> list[str]:
        """What takes the place of `python` in a command line, before `-m` or `-c`."""
        return [sys.executable, "-I", "-S", str(HERE / "fork_client.py"), self.address]

    def start(
        self, *words: str, environment: Mapping[str, str] = os.environ, output: int = 1
    ) -> Program:
        """Start `python WORDS` with nothing to read, writing to a descriptor."""
        request = {"words": words, "folder": os.getcwd(), "environment": dict(environment)}
        with open(os.devnull, "rb") as nothing:
            answer = ask(self.address, request, [nothing.fileno(), output, output])
        return Program(int(answer.readline()), answer)

    def write_program(self, path: Path, *words: str) -> None:
        """Write a script that runs `python WORDS` with its own arguments."""
        path.write_text(f'#!/bin/sh\nexec {shlex.join([*self.command, *words])} "$@"\n')
        path.chmod(0o755)


@contextlib.contextmanager
def serve_forks(
    modules: Sequence[str], environment: Mapping[str, str] = os.environ
) -> Iterator[ForkedPython]:
    """Start a server that has imported `modules`."""
    if not hasattr(os, "fork"):
        raise NotImplementedError
    folder = tempfile.mkdtemp()  # the names of sockets are short
    address = os.path.join(folder, "socket")
    server = subprocess.Popen(
        [sys.executable, str(HERE / "fork_server.py"), address, *modules],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=dict(environment),
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == b"ready\n"
        yield ForkedPython(address)
    finally:
        server.stdin.close()
        server.wait(60)
        server.stdout.close()
        shutil.rmtree(folder)
