"""The classes that the listener tells apart."""

from __future__ import annotations

from valle.text import BORDERS, SYMBOLS, UNKNOWN

BLANK = "<blank>"
PAUSE = "<pause>"
LISTENER_SYMBOLS: tuple[str, ...] = (
    BLANK,
    PAUSE,
    *(symbol for symbol in SYMBOLS if symbol != UNKNOWN and symbol not in BORDERS),
)
