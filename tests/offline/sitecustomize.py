"""With this folder on PYTHONPATH a Python program has no network: it fails at once if it tries."""

import socket


def _refuse(*args: object, **kwargs: object) -> None:
    raise OSError("this program was to run without a network, and tried to use it")


socket.socket.connect = _refuse  # type: ignore[method-assign]
socket.socket.connect_ex = _refuse  # type: ignore[method-assign,assignment]
socket.socket.sendto = _refuse  # type: ignore[method-assign,assignment]
socket.getaddrinfo = _refuse  # type: ignore[assignment]
