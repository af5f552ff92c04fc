"""The engine: the most urgent piece first, fair between callers, and cancelled without a trace."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

pytest.importorskip("fastapi", reason="needs the extra [serve]")

from valle.server.engine import AHEAD_SECONDS, Chunk, Engine, Ticket


class Speaker:
    """Makes pieces of a second, one each time it is allowed to."""

    def __init__(self, pieces: int, order: list[str], name: str = "") -> None:
        self.pieces, self.order, self.name = pieces, order, name
        self.closed = threading.Event()

    def __call__(self) -> Iterator[Chunk]:
        try:
            for number in range(self.pieces):
                self.order.append(f"{self.name}{number}")
                yield Chunk(b"x", 1.0)
        finally:
            self.closed.set()


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine whose threads have not been started."""
    engine = Engine(threads=1)
    yield engine
    engine.stop()


async def read_all(engine: Engine, ticket: Ticket) -> int:
    return len([chunk async for chunk in engine.run(ticket)])


def test_whoever_has_least_to_play_is_next(engine: Engine) -> None:
    order: list[str] = []
    for name in "ab":
        engine.submit(Ticket(name, Speaker(3, order, name)))
    for _ in range(6):
        ticket = engine._choose()
        assert ticket is not None
        engine._advance(ticket)
    assert [name[0] for name in order[:2]] == ["a", "b"]
    assert sorted(order) == ["a0", "a1", "a2", "b0", "b1", "b2"]
    assert {order[2][0], order[3][0]} == {"a", "b"}


def test_many_requests_of_one_caller_do_not_hold_up_another(engine: Engine) -> None:
    order: list[str] = []
    for number in range(30):
        engine.submit(Ticket("many", Speaker(1, order, f"many{number}-")))
    engine.submit(Ticket("one", Speaker(1, order, "one")))
    while (ticket := engine._choose()) is not None:
        engine._advance(ticket)
    assert order.index("one0") <= 2


def test_long_work_waits_for_listeners(engine: Engine) -> None:
    order: list[str] = []
    engine.submit(Ticket("a", Speaker(2, order, "job"), background=True))
    engine.submit(Ticket("b", Speaker(2, order, "live")))
    while (ticket := engine._choose()) is not None:
        engine._advance(ticket)
    assert order == ["live0", "live1", "job0", "job1"]


def test_speech_is_made_ahead_of_a_listener_only_so_far(engine: Engine) -> None:
    order: list[str] = []
    ticket = engine.submit(Ticket("a", Speaker(100, order)))
    while engine._choose() is not None:
        engine._advance(ticket)
    assert len(order) == AHEAD_SECONDS
    engine.take(ticket, 3.0)
    while engine._choose() is not None:
        engine._advance(ticket)
    assert len(order) == AHEAD_SECONDS + 3


def test_whoever_leaves_stops_its_work_and_no_other() -> None:
    engine = Engine(threads=2)
    engine.start()
    order: list[str] = []
    leaving, staying = Speaker(10_000, order, "leaving"), Speaker(15, order, "staying")

    async def listen() -> int:
        other = asyncio.create_task(read_all(engine, Ticket("b", staying)))
        chunks = engine.run(Ticket("a", leaving))
        async for _ in chunks:
            break
        await chunks.aclose()  # type: ignore[attr-defined]
        return await other

    assert asyncio.run(listen()) == 15
    assert leaving.closed.wait(5)
    assert sum(name.startswith("leaving") for name in order) <= AHEAD_SECONDS
    assert engine.count() == 0
    engine.stop()


def test_errors_reach_whoever_waits() -> None:
    engine = Engine(threads=2)
    engine.start()

    def fail() -> Iterator[Chunk]:
        yield Chunk(b"", 0.1)
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        asyncio.run(read_all(engine, Ticket("a", fail)))
    engine.stop()
