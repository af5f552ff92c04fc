"""No text takes more than linear time: work is counted in steps, not seconds.

Steps are calls of the interpreter, and inside regular expressions those of `regex_steps`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from re import _parser  # type: ignore[attr-defined]
from types import FrameType
from typing import Any

import pytest

import valle.text
from regex_steps import StepCounter, TooManyStepsError
from valle.text import number_rules
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


# Beyond UNITS: what single patterns look for.
PIECES = (
    *(
        "9",
        "1,111",
        "111 ",
        "1:1",
        "a",
        "A",
        "Aa",
        "a b ",
        "_",
        "-",
        "--",
        "==",
        "a@a.",
        "http://a",
    ),
    *('<a a="1" ', "[[a", "[1][", "ivx.", "* * ", "- - ", "|-", "| ", "> > ", "...", ".”", "H2"),
    *(
        "Na",
        "\t",
        " ",
        "\t\n",
        "\n ",
        "\u202f",
        "é",
        "漢",
        "1h",
        "a/",
        "1x",
        "0",
        "00",
        "aeiou",
        "s",
    ),
)
FEW, MOST_STEPS = 100, 4_000  # characters, and steps that any position may take


def find_patterns() -> dict[str, re.Pattern[str]]:
    """The compiled patterns of `valle.text` by the places where they are kept."""
    found: dict[str, re.Pattern[str]] = {}

    def collect(value: object, name: str) -> None:
        if isinstance(value, re.Pattern):
            found.setdefault(f"{value.flags} {value.pattern}", value)
        elif isinstance(value, (tuple, list)):
            for item in value:
                collect(item, name)

    for info in pkgutil.iter_modules(valle.text.__path__):
        module = importlib.import_module(f"valle.text.{info.name}")
        for name, value in vars(module).items():
            collect(value, name)
    return found


def count_match(pattern: re.Pattern[str], text: str) -> int:
    """Steps of a match at the beginning of a text; as many as are allowed if it takes more."""
    counter = StepCounter(pattern, 10 * MOST_STEPS)
    previous = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)  # it recurses for every character
    try:
        end = counter.match(text)
    except TooManyStepsError:
        return 10 * MOST_STEPS
    finally:
        sys.setrecursionlimit(previous)
    match = pattern.match(text)
    assert end == (match.end() if match else -1), "the counter does not match as `re` does"
    return counter.steps


@pytest.mark.parametrize("tail", ["", "!"])
def test_patterns_take_few_steps_or_as_many_as_characters(tail: str) -> None:
    slow = [
        (pattern.pattern, unit, long)
        for pattern in find_patterns().values()
        for unit in (*UNITS, *PIECES)
        for long in [count_match(pattern, unit * (2 * FEW // len(unit)) + tail)]
        if long > MOST_STEPS and long > 2.5 * count_match(pattern, unit * (FEW // len(unit)) + tail)
    ]
    assert slow == []


@pytest.mark.parametrize(
    ("pattern", "unit"), [(r"\s*\n\s*x", "\n"), (r"(?:a|aa)+b", "a"), (r"(?:\d+,?)+$", "1")]
)
def test_slow_patterns_are_found(pattern: str, unit: str) -> None:
    short, long = (count_match(re.compile(pattern), unit * size + "!") for size in (20, 160))
    assert long > 20 * short or long >= 10 * MOST_STEPS


def test_rules_that_are_tried_everywhere_look_at_a_bounded_length() -> None:
    widths = [_parser.parse(pattern.pattern).getwidth()[1] for pattern, _ in number_rules.RULES]
    assert max(widths) < 2_000


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
