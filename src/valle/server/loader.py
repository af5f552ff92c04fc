"""The model in memory: loaded when it is needed, and unloaded when it has been idle."""

from __future__ import annotations

import ctypes
import gc
import sys
import threading

from valle.bundle.bundle import Bundle
from valle.synthesis.model import Model

_GRAPHS = ("phonemes", "ar", "nar", "codec_decoder", "listener", "codec_encoder", "speaker")


_ARENA_MAX, _ARENAS = -8, 2  # M_ARENA_MAX of mallopt(3), and how many


def limit_arenas() -> None:
    """Have the C library's allocator share memory between threads.

    By default it keeps up to eight arenas a core, each of which holds on to what it once needed.
    Call it before threads are started.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_ARENA_MAX, _ARENAS)


class ModelLoader:
    """Holds the model of a server. Safe to share between threads."""

    def __init__(self, bundle: str | None, threads: int | None) -> None:
        """Read the configuration of a bundle; its graphs are loaded by `get`.

        Raises:
            BundleError: There is no such bundle, or it cannot be used.
        """
        self._source, self._threads = bundle, threads
        self.config = Bundle.load(bundle, threads).config
        self._model: Model | None = None
        self._lock = threading.Lock()

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._model is not None

    def get(self) -> Model:
        """Return the model; the first call after a start or an unload takes a second.

        Raises:
            BundleError: A file of the bundle is missing or altered.
        """
        model = self._model
        if model is not None:
            return model
        with self._lock:
            if self._model is None:
                bundle = Bundle.load(self._source, self._threads)
                for graph in _GRAPHS:
                    if graph in bundle.config.graphs:
                        bundle.session(graph)
                self._model = Model(bundle)
            return self._model

    def unload(self) -> None:
        """Give the model's memory back to the system; `get` loads it again."""
        with self._lock:
            self._model = None
        gc.collect()
        if sys.platform == "linux":
            libc = ctypes.CDLL(None)
            if hasattr(libc, "malloc_trim"):
                libc.malloc_trim(0)
