"""A bundle: the folder that holds a trained model, `config.json` beside its ONNX graphs.

Everything that runs a model reads it through `Bundle`. Loading reads the configuration only; each
graph is read, checked against its SHA-256 and turned into an ONNX Runtime session when it is first
asked for, so that a command which needs one graph pays for one.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from valle.bundle.config import CONFIG_NAME, RESTORE, BundleConfig, GraphConfig, read_config
from valle.bundle.hashed_file import open_hashed
from valle.bundle.hub import HUB_PREFIX, fetch
from valle.bundle.session import make_session, threads_for
from valle.errors import BundleError, UsageError

if TYPE_CHECKING:
    import onnxruntime

DEFAULT_FOLDER = Path(__file__).parents[1] / "bundles" / "default"


class Bundle:
    """A model on disk: its configuration at once, its graphs when they are first used.

    Safe to share between threads: sessions are made under a lock, and ONNX Runtime's `run` may be
    called from several threads.
    """

    def __init__(self, folder: Path, config: BundleConfig, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; give 1 or more, or leave it out")
        self.folder = folder
        self.config = config
        self.threads = threads
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, source: str | Path | None = None, threads: int | None = None) -> Bundle:
        """Open a bundle: the default one (None), a folder, or `hf://owner/name[@revision]`.

        `threads` bounds the threads each graph computes with; None is one for each processor that
        the process may use. Raises BundleError for a folder, file or format that cannot be read.
        """
        if isinstance(source, str) and source.startswith(HUB_PREFIX):
            folder = fetch(source, CONFIG_NAME)
        elif source is None:
            folder = DEFAULT_FOLDER
            if not (folder / CONFIG_NAME).is_file():
                raise BundleError(
                    f"this copy of valle came without its default model ({folder} is missing): "
                    "reinstall it, or name a bundle: a folder or hf://owner/name"
                )
        else:
            folder = Path(source).expanduser()
        return cls(folder, read_config(folder), threads)

    def session(self, name: str) -> onnxruntime.InferenceSession:
        """The session of graph `name`, made at the first call after the file's SHA-256 agreed.

        Raises BundleError if the bundle has no such graph, or its file is missing or altered.
        """
        with self._lock:
            if name not in self._sessions:
                threads = threads_for(name, self.config.ar, self.threads)
                with self._checked(name) as model:
                    try:
                        self._sessions[name] = make_session(model, threads, name)
                    except Exception as error:  # ONNX Runtime's exceptions share no base class
                        raise BundleError(
                            f"{self._path(name)} cannot be run by the installed onnxruntime: "
                            f"{error}; upgrade onnxruntime"
                        ) from error
            return self._sessions[name]

    def graph_hash(self, name: str) -> str:
        """SHA-256 (hex) that graph `name` must have: the key for what was computed with it."""
        return self._graph(name).sha256

    def verify(self) -> None:
        """Check every graph's file now; the BundleError raised lists all that are wrong."""
        problems = []
        for name in self.config.graphs:
            try:
                with self._checked(name):
                    pass
            except BundleError as error:
                problems.append(str(error))
        if problems:
            raise BundleError("; ".join(problems))

    def _graph(self, name: str) -> GraphConfig:
        graph = self.config.graphs.get(name)
        if graph is None:
            has = ", ".join(sorted(self.config.graphs)) or "none"
            raise BundleError(
                f"the bundle {self.config.name!r} in {self.folder} has no graph {name!r} "
                f"(it has: {has}); use a complete bundle"
            )
        return graph

    def _path(self, name: str) -> Path:
        return self.folder / self._graph(name).file

    def read_graph(self, name: str) -> bytes:
        """The bytes of graph `name`; BundleError if its file is missing or altered."""
        with self._checked(name) as model:
            return model if isinstance(model, bytes) else Path(model).read_bytes()

    @contextlib.contextmanager
    def _checked(self, name: str) -> Iterator[bytes | str]:
        """The bytes of graph `name`, or a path to read them from while this is open."""
        path = self._path(name)
        try:
            with open_hashed(path) as (found, model):
                wanted = self.graph_hash(name)
                if found != wanted:
                    raise BundleError(
                        f"{path} is not the file that {CONFIG_NAME} describes "
                        f"(SHA-256 {found[:12]}..., expected {wanted[:12]}...); {RESTORE}"
                    )
                yield model
        except OSError as error:
            raise BundleError(f"{path} cannot be read ({error.strerror}); {RESTORE}") from error
