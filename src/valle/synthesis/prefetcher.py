"""Work on items started before their turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Started = TypeVar("Started")


class Prefetcher(Iterator[tuple[Item, Started]], Generic[Item, Started]):
    """Iterates over items in their order, each with the result of `start` for it.

    An item is started when its turn comes or, by `prefetch`, before.
    """

    def __init__(
        self,
        items: Iterable[Item],
        start: Callable[[Item], Started],
        depth: int,
        is_busy: Callable[[], bool] = lambda: False,
    ) -> None:
        """Create a prefetcher that keeps at most `depth` items started ahead of their turn.

        While `is_busy`, it starts none: others have more urgent work.
        """
        self._is_busy = is_busy
        self._items = iter(items)
        self._start = start
        self._depth = depth
        self._started: deque[tuple[Item, Started]] = deque()

    def __next__(self) -> tuple[Item, Started]:
        if not self._started:
            item = next(self._items)
            return item, self._start(item)
        return self._started.popleft()

    def prefetch(self) -> None:
        """Start the next items, until `depth` of them wait or there are no more."""
        while len(self._started) < self._depth and not self._is_busy():
            for item in self._items:
                self._started.append((item, self._start(item)))
                break
            else:
                return
