"""A bundle: the folder that holds a trained model, as `config.json` and ONNX graphs.

Everything that runs a model reads it through `Bundle`. Loading reads the configuration only. Each
graph is read, checked against its SHA-256 and turned into an ONNX Runtime session when it is first
used, so that a command which needs one graph loads one.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from valle.bundle.adapter import Adapter
from valle.bundle.config import CONFIG_NAME, RESTORE, BundleConfig, GraphConfig, read_config
from valle.bundle.graph_check import check_graph
from valle.bundle.graph_fields import GraphError
from valle.bundle.graph_weights import add_to_weights
from valle.bundle.hashed_file import open_hashed
from valle.bundle.hub import HUB_PREFIX, fetch
from valle.bundle.session import choose_thread_count, make_session
from valle.errors import BundleError, UsageError

if TYPE_CHECKING:
    import onnxruntime

DEFAULT_FOLDER = Path(__file__).parents[1] / "bundles" / "default"


class Bundle:
    """A model on disk: its configuration is loaded at once, its graphs at their first use.

    Safe to share between threads: sessions are created under a lock, and ONNX Runtime's `run` may
    be called from several threads.

    Attributes:
        folder: The folder that holds `config.json` and the graphs.
        config: The checked contents of `config.json`.
        threads: The most threads that each graph computes with; None for one per processor.
    """

    def __init__(self, folder: Path, config: BundleConfig, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise UsageError(f"threads is {threads}; give 1 or more, or leave it out")
        self.folder = folder
        self.config = config
        self.threads = threads
        self._adapted: Mapping[str, bytes] = {}  # graphs that an adapter has changed
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, source: str | Path | None = None, threads: int | None = None) -> Bundle:
        """Open a bundle.

        Args:
            source: A folder, or `hf://owner/name[@revision]`; None for the default bundle.
            threads: The most threads that each graph computes with; None for one per processor
                that the process may use.

        Raises:
            BundleError: The folder, one of its files or its format cannot be read.
            UsageError: `threads` is below 1.
        """
        if isinstance(source, str) and source.startswith(HUB_PREFIX):
            folder = fetch(source, CONFIG_NAME)
        elif source is None:
            folder = DEFAULT_FOLDER
            if not (folder / CONFIG_NAME).is_file():
                raise BundleError(
                    f"this installation of valle has no default model ({folder} is missing): "
                    "reinstall it, or name a bundle: a folder or hf://owner/name"
                )
        else:
            folder = Path(source).expanduser()
        return cls(folder, read_config(folder), threads)

    def with_adapter(self, adapter: Adapter) -> Bundle:
        """Return this bundle with the weights that an adapter changes.

        Its files stay as they are. The adapted graphs have hashes of their own, so that nothing
        that was computed with others is used with them.

        Raises:
            BundleError: The adapter is for another bundle, or a graph cannot be read.
        """
        adapted = dict(self._adapted)
        configs = dict(self.config.graphs)
        for name, sha256 in adapter.info.base.items():
            if self.graph_hash(name) != sha256:
                raise BundleError(
                    f"the adapter {adapter.info.name!r} was trained for another bundle than "
                    f"{self.config.name!r} in {self.folder}: give that one with --bundle, or "
                    "train the adapter again for this one"
                )
            adapted[name] = add_to_weights(self.read_graph(name), adapter.changes(name))
            digest = hashlib.sha256(adapted[name]).hexdigest()
            configs[name] = configs[name].model_copy(update={"sha256": digest})
        consents = (*self.config.consents, *adapter.info.consents)
        config = self.config.model_copy(update={"graphs": configs, "consents": consents})
        bundle = Bundle(self.folder, config, self.threads)
        bundle._adapted = adapted
        return bundle

    def session(self, name: str) -> onnxruntime.InferenceSession:
        """Return the session of graph `name`, which is verified and created at the first call.

        Raises:
            BundleError: The bundle has no such graph, its file is missing or altered, or the
                installed ONNX Runtime cannot run it.
        """
        with self._lock:
            if name not in self._sessions:
                threads = choose_thread_count(name, self.config.ar, self.threads)
                with self._open_verified(name) as model:
                    try:
                        self._sessions[name] = make_session(model, threads, name)
                    except Exception as error:  # ONNX Runtime's exceptions share no base class
                        raise BundleError(
                            f"{self._path(name)} cannot be run by the installed onnxruntime: "
                            f"{error}; upgrade onnxruntime"
                        ) from error
            return self._sessions[name]

    def graph(self, name: str) -> GraphConfig:
        """Return what `config.json` says of graph `name`.

        Raises:
            BundleError: The bundle has no such graph.
        """
        graph = self.config.graphs.get(name)
        if graph is None:
            available = ", ".join(sorted(self.config.graphs)) or "none"
            raise BundleError(
                f"the bundle {self.config.name!r} in {self.folder} has no graph {name!r} "
                f"(it has: {available}); use a complete bundle"
            )
        return graph

    def graph_hash(self, name: str) -> str:
        """Return the SHA-256 (hex) that graph `name` must have: the cache key of its results."""
        return self.graph(name).sha256

    def verify(self) -> None:
        """Check the file of every graph.

        Raises:
            BundleError: Some are missing or altered; the message lists all of them.
        """
        problems = []
        for name in self.config.graphs:
            try:
                with self._open_verified(name):
                    pass
            except BundleError as error:
                problems.append(str(error))
        if problems:
            raise BundleError("; ".join(problems))

    def _path(self, name: str) -> Path:
        return self.folder / self.graph(name).file

    def read_graph(self, name: str) -> bytes:
        """Return the bytes of graph `name`.

        Raises:
            BundleError: The bundle has no such graph, or its file is missing or altered.
        """
        with self._open_verified(name) as model:
            return model if isinstance(model, bytes) else Path(model).read_bytes()

    @contextlib.contextmanager
    def _open_verified(self, name: str) -> Iterator[bytes | str]:
        """Yield the bytes of graph `name`, or a path that is valid inside the block."""
        if name in self._adapted:
            yield self._adapted[name]
            return
        path = self._path(name)
        try:
            with open_hashed(path) as (actual_hash, model):
                expected_hash = self.graph_hash(name)
                if actual_hash != expected_hash:
                    raise BundleError(
                        f"{path} is not the file that {CONFIG_NAME} describes (SHA-256 "
                        f"{actual_hash[:12]}..., expected {expected_hash[:12]}...); {RESTORE}"
                    )
                if self.folder != DEFAULT_FOLDER:  # installed with this program
                    check_graph(model)
                yield model
        except GraphError as error:
            raise BundleError(f"{path} cannot be used: {error}; {RESTORE}") from error
        except OSError as error:
            raise BundleError(
                f"{path} cannot be read ({error.strerror or error}); {RESTORE}"
            ) from error
