"""Cancellation: work whose result nobody wants any more ends within a step of the AR model.

Closing a generator ends its work only when it has come to its next `yield`, a block of speech
later. Inside `cancellable`, its sentences leave the batch at the next step, whoever runs that, and
a thread that waits for their frames gets `CancelledError`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar


class CancelledError(Exception):
    """The work was cancelled."""


class Cancellation:
    """Whether some work was cancelled. Safe to set from any thread."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Cancel the work, for good."""
        self.cancelled = True


_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


@contextlib.contextmanager
def cancellable(cancellation: Cancellation) -> Iterator[None]:
    """Have the sentences that are started in this block end when `cancellation` says so."""
    token = _current.set(cancellation)
    try:
        yield
    finally:
        _current.reset(token)


def current_cancellation() -> Cancellation | None:
    """Return that of the innermost `cancellable` block; None outside of any."""
    return _current.get()
