"""The options: ranges, exclusions, and messages that name the flag."""

from __future__ import annotations

import math
from typing import Any

import pytest

from valle.errors import UsageError
from valle.options import SpeakOptions


def test_defaults_are_the_voices_own() -> None:
    options = SpeakOptions.of()
    assert options.seed == 0 and options.speed == 1.0 and options.duration is None


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"speed": 9}, "--speed must be less than or equal to 4"),
        ({"speed": 0.1}, "--speed must be greater than or equal to 0.25"),
        ({"top_p": 0}, "--top-p must be greater than 0"),
        ({"temperature": -1}, "--temperature"),
        ({"temperature": math.nan}, "--temperature"),
        ({"seed": -1}, "--seed"),
        ({"seed": 1.5}, "--seed"),
        ({"duration": 0}, "--duration"),
        ({"duration": math.inf}, "--duration"),
        ({"speed": 2, "duration": 3}, "--speed and --duration exclude each other"),
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"zzz": 1}, "use seed, temperature"),
    ],
)
def test_refusals_name_the_flag(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SpeakOptions.of(**values)


def test_duration_alone_is_fine() -> None:
    assert SpeakOptions.of(duration=2.5).duration == 2.5
