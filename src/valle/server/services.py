"""`Services`: everything that requests share, opened at the start and closed at the end."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from valle.errors import Error
from valle.registry.keys import count_keys
from valle.registry.registry import Registry
from valle.server.engine import Engine
from valle.server.limits import SpeechBudget
from valle.server.loader import ModelLoader, limit_arenas
from valle.server.logs import log, log_failure
from valle.server.metrics import Metrics
from valle.server.settings import ServeOptions

_JOIN_SECONDS = 5.0  # that a thread gets to end
_SYNCHRONIZE_SECONDS = 1.0  # between looks at this machine's ledger and voice folder


@dataclass(eq=False)
class Services:
    """What requests share. Safe to share between threads."""

    options: ServeOptions
    registry: Registry
    loader: ModelLoader
    engine: Engine
    budget: SpeechBudget
    metrics: Metrics
    draining: bool = False
    """Whether the server is shutting down, and takes no new work."""
    ready: threading.Event = field(default_factory=threading.Event)
    """Set once the model has been loaded for the first time."""
    _threads: list[threading.Thread] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def open(cls, options: ServeOptions) -> Services:
        """Open the registry, read the model's configuration, and start the engine.

        Raises:
            Error: What `Registry` and `ModelLoader` raise.
        """
        limit_arenas()
        registry = Registry(options.database, options.objects)
        services = cls(
            options,
            registry,
            ModelLoader(options.bundle, options.threads),
            Engine(options.threads),
            SpeechBudget(options.seconds_per_minute),
            Metrics(),
        )
        for problem in registry.machine.synchronize():
            log("voice not taken over", reason=problem)
        services.engine.start()
        for work in (services._load, services._look_around):
            thread = threading.Thread(target=work, daemon=True)
            services._threads.append(thread)
            thread.start()
        return services

    def close(self) -> None:
        """Cancel what still runs, and close everything."""
        self.draining = True
        self._stopped.set()
        self.engine.stop()
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        self.registry.close()

    @property
    def needs_key(self) -> bool:
        """Whether a request without an API key is refused.

        On a server that only this computer reaches, none is needed until one is created.
        """
        if self.options.without_keys:
            return False
        return not self.options.is_private or count_keys(self.registry.database) > 0

    def unload_when_idle(self) -> None:
        """Unload the model if nothing has used it for as long as the options say."""
        limit = self.options.idle_unload
        if limit is None or not self.loader.is_loaded:
            return
        busy = self.engine.count() or self.engine.count(background=True)
        if not busy and time.monotonic() - self.engine.last_used > limit:
            self.loader.unload()
            log("model unloaded", idle_seconds=limit)

    def _load(self) -> None:
        try:
            self.loader.get()
            self.ready.set()
        except Error as error:  # each request will say so too
            log("model not loaded", reason=str(error))

    def _look_around(self) -> None:
        """Keep the registry and this machine's folder in step, until the server stops."""
        while not self._stopped.wait(_SYNCHRONIZE_SECONDS):
            try:
                for problem in self.registry.machine.synchronize():
                    log("voice not taken over", reason=problem)
                self.unload_when_idle()
            except Exception as error:  # the database may be gone, and come back
                with contextlib.suppress(Exception):
                    log_failure("registry not in step", error)


def get_services(connection: HTTPConnection) -> Services:
    """Return the services of the application that a request came to (a dependency)."""
    services: Services = connection.app.state.services
    return services
