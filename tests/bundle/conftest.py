"""Tests of bundles open their graphs as users do, without the sessions that other tests share."""

from __future__ import annotations

import pytest

from valle.bundle import bundle, graph_check, session


@pytest.fixture(autouse=True)
def own_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "make_session", session.make_session)
    monkeypatch.setattr(bundle, "check_graph", graph_check.check_graph)
