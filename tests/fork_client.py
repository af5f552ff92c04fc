"""Takes Python's place: `fork_client.py ADDRESS -m MODULE ...` has a `fork_server` run it.

Imports next to nothing, and is run with `-I -S`: it starts in an instant.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any


def ask(address: str, request: dict[str, Any], streams: list[int]) -> socket.SocketIO:
    """Start a program; returns the lines of its process id and, at its end, of its exit code.

    Args:
        address: The socket of the server.
        request: "words", as after `python`; "folder"; "environment".
        streams: Descriptors of its standard input, output and error.
    """
    body = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [len(body).to_bytes(4, "big")], streams)
        connection.sendall(body)
        return connection.makefile("rb", buffering=0)


if __name__ == "__main__":
    asked = {"words": sys.argv[2:], "folder": os.getcwd(), "environment": dict(os.environ)}
    _, code = ask(sys.argv[1], asked, [0, 1, 2])
    sys.exit(int(code) if int(code) >= 0 else 128 - int(code))
