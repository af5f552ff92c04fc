"""Work begun before its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")
Begun = TypeVar("Begun")


class Ahead(Iterator[tuple[Item, Begun]], Generic[Item, Begun]):
    """Items in their order, each with what `begin` gave for it.

    An item is begun when its turn comes, or before: each `go_on` begins those that come next, so
    that up to `count` are waiting.
    """

    def __init__(self, items: Iterable[Item], begin: Callable[[Item], Begun], count: int) -> None:
        self._items = iter(items)
        self._begin = begin
        self._count = count
        self._waiting: deque[tuple[Item, Begun]] = deque()

    def __next__(self) -> tuple[Item, Begun]:
        if not self._waiting:
            item = next(self._items)
            return item, self._begin(item)
        return self._waiting.popleft()

    def go_on(self) -> None:
        """Begin the items that come next."""
        while len(self._waiting) < self._count:
            for item in self._items:
                self._waiting.append((item, self._begin(item)))
                break
            else:
                return
