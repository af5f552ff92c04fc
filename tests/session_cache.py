"""Sessions of ONNX Runtime that tests share: the same graph is optimized once per process."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from valle.bundle.graph_check import check_graph
from valle.bundle.session import make_session

if TYPE_CHECKING:
    import onnxruntime

MOST_SESSIONS = 40  # of about 3 MB each; several of the default bundle's are larger


class SessionCache:
    """Takes the place of `make_session` and `check_graph` where a bundle opens its graphs.

    Nothing of a session changes when it runs, so that whoever opens the same bytes for as many
    threads may have the same one. The bytes are hashed each time, and what is refused is refused
    each time.
    """

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, int, str], onnxruntime.InferenceSession] = {}
        self._checked: set[str] = set()
        self._lock = threading.Lock()

    def make_session(
        self, model: bytes | str, threads: int, graph: str = ""
    ) -> onnxruntime.InferenceSession:
        """Return the session of a graph, as `valle.bundle.session.make_session` makes it."""
        key = _hash(model), threads, graph
        with self._lock:
            session = self._sessions.pop(key, None) or make_session(model, threads, graph)
            self._sessions[key] = session  # now the latest
            while len(self._sessions) > MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
        return session

    def check_graph(self, model: bytes | str) -> None:
        """Check a graph, as `valle.bundle.graph_check.check_graph` does."""
        digest = _hash(model)
        if digest not in self._checked:
            check_graph(model)
            self._checked.add(digest)


def _hash(model: bytes | str) -> str:
    content = model if isinstance(model, bytes) else Path(model).read_bytes()
    return hashlib.sha256(content).hexdigest()
