"""How many steps a backtracking engine takes to match a pattern at one position.

An engine of our own over Python's parsed patterns: slow, but it counts. It tries what `re` tries,
in the same order; each character that is compared and each alternative that is begun is a step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from re import _constants as c  # type: ignore[attr-defined]  # isort: skip
from re import _parser  # type: ignore[attr-defined]  # isort: skip

Go_on = Callable[[int], int]
FAILED = -1
_SINGLE = (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN)
_IN_CATEGORY: dict[Any, Callable[[str], bool]] = {
    c.CATEGORY_DIGIT: str.isdecimal,
    c.CATEGORY_SPACE: str.isspace,
    c.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    c.CATEGORY_NOT_DIGIT: lambda char: not char.isdecimal(),
    c.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    c.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


class TooManyStepsError(Exception):
    """A match took more steps than are allowed."""


class StepCounter:
    """Matches one pattern; `steps` counts what the last `match` took, up to `most_steps`."""

    def __init__(self, pattern: re.Pattern[str], most_steps: int) -> None:
        self.most_steps = most_steps
        self.tree = list(_parser.parse(pattern.pattern, pattern.flags))
        self.ignores_case = bool(pattern.flags & re.IGNORECASE)
        self.text = ""
        self.steps = 0
        self.groups: dict[int, tuple[int, int]] = {}

    def match(self, text: str, at: int = 0) -> int:
        """Return where a match at a position ends, or -1.

        Raises:
            TooManyStepsError: More than `most_steps` were taken.
        """
        self.text, self.steps, self.groups = text, 0, {}
        return self._sequence(self.tree, 0, at, lambda end: end)

    def _sequence(self, nodes: list[Any], index: int, at: int, go_on: Go_on) -> int:
        if index == len(nodes):
            return go_on(at)
        kind, argument = nodes[index]
        if kind in _SINGLE:
            fits = self._fits(kind, argument, at)
            return self._sequence(nodes, index + 1, at + 1, go_on) if fits else FAILED
        return self._node(
            kind, argument, at, lambda end: self._sequence(nodes, index + 1, end, go_on)
        )

    def _node(self, kind: Any, argument: Any, at: int, go_on: Go_on) -> int:
        self.steps += 1
        if kind == c.BRANCH:
            for branch in argument[1]:
                self.steps += 1
                if (end := self._sequence(list(branch), 0, at, go_on)) != FAILED:
                    return end
            return FAILED
        if kind == c.SUBPATTERN:
            group, _, _, nodes = argument
            return self._group(group, list(nodes), at, go_on)
        if kind in (c.MAX_REPEAT, c.MIN_REPEAT):
            fewest, most, nodes = argument
            assert kind == c.MAX_REPEAT, "lazy repeats are not counted"
            return self._repeat((fewest, int(most)), list(nodes), at, go_on)
        if kind in (c.ASSERT, c.ASSERT_NOT):
            direction, nodes = argument
            start = at if direction > 0 else at - nodes.getwidth()[0]
            found = start >= 0 and self._sequence(list(nodes), 0, start, lambda end: end) != FAILED
            return go_on(at) if found == (kind == c.ASSERT) else FAILED
        if kind == c.GROUPREF:
            start, end = self.groups.get(argument, (0, 0))
            same = self.text.startswith(self.text[start:end], at)
            return go_on(at + end - start) if same else FAILED
        assert kind == c.AT, kind
        return go_on(at) if self._is_at(argument, at) else FAILED

    def _group(self, group: int | None, nodes: list[Any], at: int, go_on: Go_on) -> int:
        def close(end: int) -> int:
            if group is not None:
                self.groups[group] = (at, end)
            return go_on(end)

        return self._sequence(nodes, 0, at, close)

    def _repeat(self, counts: tuple[int, int], nodes: list[Any], at: int, go_on: Go_on) -> int:
        fewest, most = counts
        if len(nodes) == 1 and nodes[0][0] in _SINGLE:
            end = at
            kind, argument = nodes[0]
            while end - at < most and self._fits(kind, argument, end):
                end += 1
            while end - at >= fewest:
                self.steps += 1
                if (found := go_on(end)) != FAILED:
                    return found
                end -= 1
            return FAILED

        def again(count: int, start: int) -> int:
            if count < most:

                def next_one(end: int) -> int:
                    return FAILED if end == start else again(count + 1, end)

                if (found := self._sequence(nodes, 0, start, next_one)) != FAILED:
                    return found
            return go_on(start) if count >= fewest else FAILED

        return again(0, at)

    def _fits(self, kind: Any, argument: Any, at: int) -> bool:
        self.steps += 1
        if self.steps > self.most_steps:
            raise TooManyStepsError
        if at >= len(self.text):
            return False
        char = self.text[at]
        forms = {char, char.lower(), char.upper()} if self.ignores_case else {char}
        if kind == c.ANY:
            return char != "\n"
        if kind == c.IN:
            return any(_is_in(form, argument) for form in forms)
        return any(ord(form) == argument for form in forms if len(form) == 1) == (kind == c.LITERAL)

    def _is_at(self, place: Any, at: int) -> bool:
        text = self.text
        if place in (c.AT_BEGINNING, c.AT_BEGINNING_STRING):
            return at == 0
        if place in (c.AT_END, c.AT_END_STRING):
            return at == len(text) or (place == c.AT_END and text[at:] == "\n")
        is_word = _IN_CATEGORY[c.CATEGORY_WORD]
        borders = [
            bool(text[i : i + 1]) and is_word(text[i : i + 1]) for i in (at - 1, at) if i >= 0
        ]
        is_border = borders[-1] != (borders[0] if len(borders) == 2 else False)
        return is_border == (place == c.AT_BOUNDARY)


def _is_in(char: str, items: list[Any]) -> bool:
    negated = bool(items) and items[0][0] == c.NEGATE
    found = any(_is_item(char, kind, argument) for kind, argument in items)
    return found != negated


def _is_item(char: str, kind: Any, argument: Any) -> bool:
    if len(char) != 1:
        return False
    if kind == c.LITERAL:
        return ord(char) == argument
    if kind == c.RANGE:
        return bool(argument[0] <= ord(char) <= argument[1])
    return kind == c.CATEGORY and _IN_CATEGORY[argument](char)
