"""Items are started ahead of their turn, and keep their order."""

from __future__ import annotations

from valle.synthesis.prefetcher import Prefetcher


def test_items_are_started_ahead_and_keep_their_order() -> None:
    started: list[int] = []

    def start(item: int) -> int:
        started.append(item)
        return -item

    prefetcher = Prefetcher(range(5), start, 2)
    assert next(prefetcher) == (0, 0)
    assert started == [0]
    prefetcher.prefetch()
    prefetcher.prefetch()
    assert started == [0, 1, 2]
    assert next(prefetcher) == (1, -1)
    prefetcher.prefetch()
    assert started == [0, 1, 2, 3]
    assert list(prefetcher) == [(2, -2), (3, -3), (4, -4)]
    prefetcher.prefetch()
    assert started == [0, 1, 2, 3, 4]


def test_depth_0_starts_nothing_ahead() -> None:
    prefetcher = Prefetcher(range(2), lambda item: item, 0)
    prefetcher.prefetch()
    assert list(prefetcher) == [(0, 0), (1, 1)]
