"""No text takes more than linear time: work is counted in steps of the interpreter, not seconds."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from valle.text.markup import strip_markup
from valle.text.normalization import normalize

# Repeated up to any length; each is the beginning of something that a rule looks for.
UNITS = (
    *("1", "1.", "1,", "1-", "1 ", "12:", "1/", "$1", "$1-", "1 000 ", "1 - ", "1^", "1e", "x^"),
    *('"', "'", "(", "[", "[[", "]", "{", "<", "<b ", '<a b="', "<!--", "&", "&#", "[1", "[a]("),
    *(".", ",", "..a", "a.", "II. ", "*", "**a", "_a", "`", "|\n", "- ", "\n", "# ", "> ", "a-\n"),
    *("a²", "²", "a'", "e.g.", "A.", "Oak St ", "US ", "I read ", "Jan ", "www.", "a@", "5'11"),
)
SHORT, LONG = 2_000, 8_000


def count_steps(text: str) -> int:
    """Calls of Python functions while a text is normalized."""
    steps = 0

    def trace(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal steps
        steps += event in ("call", "c_call")

    previous = sys.getprofile()
    sys.setprofile(trace)
    try:
        normalize(text)
    finally:
        sys.setprofile(previous)
    return steps


@pytest.mark.parametrize("unit", UNITS)
def test_steps_grow_no_faster_than_the_text(unit: str) -> None:
    short, long = (count_steps(unit * (size // len(unit))) for size in (SHORT, LONG))
    assert long <= 1.2 * LONG / SHORT * short + 200


@pytest.mark.parametrize("unit", UNITS)
def test_long_text_is_stripped_and_read(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    marked = strip_markup(text)
    assert len(marked.starts) == len(marked.ends) == len(marked.text)
    normalize(text)
