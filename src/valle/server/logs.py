"""Structured logs: one JSON object a line on standard error, without texts and recordings."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Any, TextIO

LOGGER = logging.getLogger("valle.server")


class _JSONFormatter(logging.Formatter):
    """Formats a record as JSON, in which no value can begin a new line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            # Where it happened, not what it says: a message may hold a part of the text.
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            entry["error"] = type(record.exc_info[1]).__name__
            if trace is not None:
                entry["at"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        return json.dumps(entry, ensure_ascii=True)


class _StandardErrorHandler(logging.StreamHandler[TextIO]):
    """Writes to what standard error is then, as the stream of its beginning may be closed."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def configure_logs() -> None:
    """Send the server's log, and that of uvicorn, to standard error as JSON lines."""
    handler = _StandardErrorHandler(sys.stderr)
    handler.setFormatter(_JSONFormatter())
    for name in ("valle.server", "uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name != "uvicorn.error" else []
        logger.setLevel(logging.INFO)
        logger.propagate = name == "uvicorn.error"
    logging.getLogger("uvicorn.access").disabled = True


def log(event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with fields."""
    LOGGER.log(level, event, extra={"fields": fields})


def log_failure(event: str, error: BaseException, **fields: Any) -> None:
    """Log an error that is not a fault of the client: its kind and place, not its message."""
    LOGGER.error(event, exc_info=error, extra={"fields": fields})
