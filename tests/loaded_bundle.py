"""Importing this loads the default bundle, once for all programs that are forked from a process.

A thread does not outlive a fork, so that its graphs compute with one.
"""

from __future__ import annotations

from session_cache import SessionCache
from valle.bundle import bundle, session

session.count_processors = lambda: 1
_cache = SessionCache()
bundle.make_session = _cache.make_session  # type: ignore[attr-defined]
bundle.check_graph = _cache.check_graph  # type: ignore[attr-defined]

_loaded = bundle.Bundle.load()
for _name in _loaded.config.graphs:
    _loaded.session(_name)
