"""Limits: requests at once, and seconds of speech per minute for each key.

Seconds rather than requests: some clients send each sentence of a page at once, others a whole
book, and what they cost is the speech.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict

from valle.registry.keys import Caller
from valle.server.errors import ApiError

CHARACTERS_PER_SECOND = 14.0  # of English, as the default bundle speaks it
SLOWEST = 0.25  # speed
_MAX_WAV_BYTES = (1 << 32) - (1 << 10)  # of samples; its header has 32 bits for its length
_MAX_CALLERS = 10_000  # whose budgets are remembered
_MINUTE = 60.0


def estimate_seconds(characters: int, speed: float = 1.0) -> float:
    """Estimate how long a text will last."""
    return characters / CHARACTERS_PER_SECOND / speed


def longest_samples_bytes(characters: int, rate: int) -> int:
    """Return the most bytes that 16-bit samples of a text may have, at the slowest speed."""
    return min(2 * round(estimate_seconds(characters, SLOWEST) * rate), _MAX_WAV_BYTES)


class SpeechBudget:
    """Seconds of speech for each caller, which come back evenly over a minute (token bucket)."""

    def __init__(self, seconds_per_minute: float | None) -> None:
        self._default = seconds_per_minute
        self._balances: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, caller: Caller, seconds: float) -> None:
        """Take an estimate from a caller's budget.

        A text longer than the whole budget is taken when the budget is full, and then paid off.

        Raises:
            ApiError: 429, with the time after which there is enough.
        """
        limit = caller.seconds_per_minute or self._default
        if limit is None:
            return
        with self._lock:
            balance = self._balance(caller.id, limit)
            needed = min(seconds, limit)
            if balance < needed:
                wait = (needed - balance) / limit * _MINUTE
                raise ApiError(
                    429,
                    f"this key may have {limit:g} seconds of speech per minute; "
                    f"try again in {wait:.0f} s",
                    "rate_limit_exceeded",
                    retry_after=wait,
                )
            self._set(caller.id, balance - seconds)

    def correct(self, caller: Caller, estimated: float, made: float) -> None:
        """Replace an estimate by what was really made."""
        limit = caller.seconds_per_minute or self._default
        if limit is not None:
            with self._lock:
                self._set(caller.id, self._balance(caller.id, limit) + estimated - made)

    def _balance(self, caller_id: str, limit: float) -> float:
        balance, then = self._balances.get(caller_id, (limit, 0.0))
        return min(limit, balance + (time.monotonic() - then) / _MINUTE * limit)

    def _set(self, caller_id: str, balance: float) -> None:
        self._balances[caller_id] = balance, time.monotonic()
        self._balances.move_to_end(caller_id)
        if len(self._balances) > _MAX_CALLERS:
            self._balances.popitem(last=False)
