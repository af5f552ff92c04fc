"""The engine: all running requests on a few threads, the most urgent one first.

A request is an iterator that makes one piece of speech at a time. The threads take the piece that a
listener will need soonest (earliest deadline first): that of speech nobody has heard anything of
yet, then that of whoever has the least left to play. The pieces of all requests share the steps of
the AR model (`valle.runtime.batching`), so a step that one of them asks for advances all.

A request whose listener has enough to play waits, and so does one whose client reads slowly. A
cancelled one is closed before its next piece.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from valle.bundle.session import count_processors
from valle.runtime.cancellation import Cancellation, CancelledError, cancellable

AHEAD_SECONDS = 20.0  # of speech that may wait for a client who listens
SHARE_SECONDS = 0.25  # by which each further new request of the same caller counts as less urgent
BACKGROUND_SECONDS = 3600.0  # by which long work counts as less urgent than a listener
_WAIT = 1.0  # seconds after which an idle thread looks again


class Chunk(NamedTuple):
    """A piece of a response."""

    data: bytes
    """Encoded speech; may be empty."""
    seconds: float
    """Of speech that was made for it."""
    piece: Any = None
    """The `Speech` that it was made of; None for the last bytes."""


class CancelledTicketError(Exception):
    """The request was cancelled, or the engine was stopped."""


@dataclass(eq=False)
class Ticket:
    """A request in the engine."""

    caller: str
    start: Callable[[], Iterator[Chunk]]
    """Begins the work; called on a thread of the engine."""
    background: bool = False
    paced: bool = True
    """Whether a client listens while it comes, so that no more than it needs is made ahead."""
    dedicated: bool = False
    """Whether it has a thread of its own, as it may wait for its text."""
    submitted: float = field(default_factory=time.monotonic)
    penalty: float = 0.0
    iterator: Iterator[Chunk] | None = None
    first_audio: float | None = None
    made: float = 0.0
    """Seconds of speech."""
    taken: float = 0.0
    """Seconds that the client has taken."""
    running: bool = False
    finished: bool = False
    cancellation: Cancellation = field(default_factory=Cancellation)
    deliver: Callable[[Chunk | BaseException | None], None] = lambda _: None

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants it any more."""
        return self.cancellation.cancelled

    @property
    def deadline(self) -> float:
        """When the listener needs the next piece."""
        since = self.submitted + self.penalty if self.first_audio is None else self.first_audio
        return since + self.made + (BACKGROUND_SECONDS if self.background else 0.0)

    @property
    def is_ready(self) -> bool:
        """Whether its next piece may be made now."""
        if self.running or self.finished:
            return False
        if self.cancelled:
            return True
        return not self.paced or self.made - self.taken < AHEAD_SECONDS


class Engine:
    """Runs requests on its threads. Start it before use, and stop it at the end."""

    def __init__(self, threads: int | None = None) -> None:
        self._condition = threading.Condition()
        self._tickets: list[Ticket] = []
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
            for number in range(max(2, threads or count_processors()))
        ]
        self.last_used = time.monotonic()

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Cancel what runs, and end the threads."""
        with self._condition:
            self._stopping = True
            for ticket in self._tickets:
                ticket.cancellation.cancel()
            self._condition.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, deadline - time.monotonic()))

    def count(self, caller: str | None = None, background: bool = False) -> int:
        """Return how many requests are not finished: of a caller, or of all."""
        with self._condition:
            return sum(
                ticket.background == background and caller in (None, ticket.caller)
                for ticket in self._tickets
            )

    def submit(self, ticket: Ticket) -> Ticket:
        """Add a request; what it makes is passed to its `deliver`, and None at its end."""
        with self._condition:
            if self._stopping:
                raise CancelledTicketError("the server is shutting down")
            waiting = sum(
                other.caller == ticket.caller and other.first_audio is None
                for other in self._tickets
            )
            ticket.penalty = SHARE_SECONDS * waiting
            self._tickets.append(ticket)
            self.last_used = time.monotonic()
            self._condition.notify()
        if ticket.dedicated:
            name = f"engine-{ticket.caller}"
            threading.Thread(target=self._work_on, args=(ticket,), name=name, daemon=True).start()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop a request; others are not touched."""
        ticket.cancellation.cancel()
        with self._condition:
            self._condition.notify_all()

    def take(self, ticket: Ticket, seconds: float) -> None:
        """Note that a client has taken some seconds of speech, so that more may be made."""
        with self._condition:
            was_ready = ticket.is_ready
            ticket.taken += seconds
            if not was_ready and ticket.is_ready:
                self._condition.notify_all()

    def run(self, ticket: Ticket) -> AsyncIterator[Chunk]:
        """Submit a request, and yield what it makes; to stop iterating cancels it."""
        return _iterate(self, ticket)

    def _work(self) -> None:
        while True:
            with self._condition:
                ticket = self._choose()
                while ticket is None:
                    if self._stopping:
                        return
                    self._condition.wait(_WAIT)
                    ticket = self._choose()
                ticket.running = True
            self._advance(ticket)

    def _work_on(self, ticket: Ticket) -> None:
        """Make one request to its end."""
        while not ticket.finished:
            with self._condition:
                while not ticket.is_ready:
                    self._condition.wait(_WAIT)
                ticket.running = True
            self._advance(ticket)

    def _choose(self) -> Ticket | None:
        ready = [ticket for ticket in self._tickets if ticket.is_ready and not ticket.dedicated]
        if not ready:
            return None
        # Closing one that was cancelled takes no time and frees its place in the batch.
        return min(ready, key=lambda ticket: (not ticket.cancelled, ticket.deadline))

    def _advance(self, ticket: Ticket) -> None:
        """Make the next piece of a request, or end it."""
        outcome: Chunk | BaseException | None = None
        if ticket.cancelled:
            outcome = CancelledTicketError("the request was cancelled")
        else:
            try:
                with cancellable(ticket.cancellation):
                    if ticket.iterator is None:
                        ticket.iterator = ticket.start()
                    outcome = next(ticket.iterator, None)
            except CancelledError:
                outcome = CancelledTicketError("the request was cancelled")
            except BaseException as error:
                outcome = error
        if not isinstance(outcome, Chunk):
            close = getattr(ticket.iterator, "close", None)
            ticket.iterator = None
            if close is not None:
                with contextlib.suppress(Exception):
                    close()
        with self._condition:
            ticket.running = False
            self.last_used = time.monotonic()
            if isinstance(outcome, Chunk):
                ticket.made += outcome.seconds
                if ticket.first_audio is None:
                    ticket.first_audio = self.last_used
            else:
                ticket.finished = True
                self._tickets.remove(ticket)
            if ticket.cancelled or not ticket.is_ready:
                self._condition.notify()
        ticket.deliver(outcome)


async def _iterate(engine: Engine, ticket: Ticket) -> AsyncIterator[Chunk]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Chunk | BaseException | None] = asyncio.Queue()

    def deliver(outcome: Chunk | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended before the engine
            loop.call_soon_threadsafe(queue.put_nowait, outcome)

    ticket.deliver = deliver
    engine.submit(ticket)
    try:
        while True:
            outcome = await queue.get()
            if outcome is None:
                return
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
            engine.take(ticket, outcome.seconds)
    finally:
        engine.cancel(ticket)
