"""Starts Python programs at once: imports what they need a single time, and forks for each.

    python fork_server.py ADDRESS MODULE ...

listens on the socket ADDRESS once the modules are imported, and ends when its standard input does.
A program is a process of its own, with arguments, an environment, a folder and standard streams of
its own; only what was imported is shared. `forked_python` has both kinds of client.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import types
from typing import Any


def main(address: str, *modules: str) -> None:
    """Serve until standard input ends. Returns in each program, too, once it has run."""
    for name in modules:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps those that wait
        print("ready", flush=True)
        while listening.fileno() in select.select([listening.fileno(), 0], [], [])[0]:
            connection, _ = listening.accept()
            with connection:
                if not os.fork():
                    listening.close()
                    _start(connection)
                    return


def _start(connection: socket.socket) -> None:
    """Run a program in a child; tell its process id at once, and its exit code at its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    request, streams = _receive(connection)
    child = os.fork()
    if not child:
        connection.close()
        _run(request, streams)
        return
    connection.sendall(b"%d\n" % child)
    for stream in (0, 1, 2, *streams):  # whoever reads them sees their end when the child ends
        os.close(stream)
    _, status = os.waitpid(child, 0)
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    os._exit(0)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    left, parts = int.from_bytes(head, "big"), []
    while left:
        parts.append(connection.recv(left))
        left -= len(parts[-1])
    return json.loads(b"".join(parts)), streams


def _run(request: dict[str, Any], streams: list[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    kind, what, *arguments = request["words"]  # as after `python`
    sys.argv = [kind, *arguments]
    if kind == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(what, "<string>", "exec"), main.__dict__)


if __name__ == "__main__":
    main(*sys.argv[1:])
