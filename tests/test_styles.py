"""Styles: from words and numbers to what changes."""

from __future__ import annotations

import contextlib
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.errors import UsageError
from valle.options import SpeakOptions
from valle.styles import (
    EMOTIONS,
    LIMITS,
    NAMES,
    Emotion,
    Style,
    StyleShift,
    parse_style,
    read_instructions,
)


def test_every_emotion_has_a_profile_and_every_name_a_number() -> None:
    assert set(EMOTIONS) == set(get_args(Emotion))
    assert not set(EMOTIONS) & set(NAMES)
    for fields in [*NAMES.values(), *(vars(s) for s in EMOTIONS.values())]:
        for name, value in fields.items():
            low, high = LIMITS.get(name, (0.0, 1.0))
            assert low <= value <= high


@pytest.mark.parametrize("emotion", EMOTIONS)
@settings(max_examples=20)
@given(first=st.floats(0, 1), second=st.floats(0, 1))
def test_strength_is_monotonic_from_nothing_to_the_profile(
    emotion: str, first: float, second: float
) -> None:
    less, more = (
        Style.model_validate({"emotion": emotion, "strength": s}).resolve() or StyleShift()
        for s in sorted((first, second))
    )
    for name, none in vars(StyleShift()).items():
        values = [getattr(less, name), getattr(more, name)]
        assert abs(values[0] - none) <= abs(values[1] - none) + 1e-12
    assert Style.model_validate({"emotion": emotion, "strength": 0}).resolve() is None
    assert Style.model_validate({"emotion": emotion}).resolve() == EMOTIONS[emotion]


def test_own_numbers_replace_those_of_the_emotion() -> None:
    shift = Style(emotion="sad", pitch=2.0, strength=0.5).resolve()
    assert shift is not None
    assert shift.pitch == 1.0
    assert shift.energy == EMOTIONS["sad"].energy / 2


def test_a_style_is_the_same_as_text_fields_and_object() -> None:
    style = Style(emotion="sad", strength=0.5, rate=0.9)
    for spelled in (style, "Sad 0.5, rate=0.9x", style.model_dump(), "sad, strength=.5, rate=.9"):
        assert SpeakOptions.from_keywords(style=spelled).style == style
    assert parse_style("low, soft, tilt=-1dB").describe() == "pitch=-2, energy=-6, tilt=-1"


@pytest.mark.parametrize(
    ("style", "message"),
    [
        ("sad, angry", "sets emotion twice"),
        ("low, pitch=1", "sets pitch twice"),
        ("angery", "did you mean 'angry'"),
        ("mood=3", "has no 'mood'; it has pitch, range"),
        ("pitch=nan", "pitch=nan is not a number"),
        ("sad very", "strength=very is not a number"),
        ("", "there is no style ''"),
        ({"pitch": 7}, "--pitch must be less than or equal to 6"),
        ({"pitch": float("inf")}, "--pitch must be"),
        ({"emotion": "bored"}, "--emotion must be 'happy', 'sad'"),
        ({"volume": 1}, "--volume extra inputs are not permitted"),
        (7, "--style must be"),
    ],
)
def test_what_is_no_style_is_refused(style: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SpeakOptions.from_keywords(style=style)


@settings(max_examples=40)
@given(st.text(max_size=40))
def test_any_text_is_a_style_or_a_usage_error(text: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(parse_style(text), Style)


@pytest.mark.parametrize(
    ("text", "style", "understood"),
    [
        ("Sad and slow.", Style(emotion="sad", strength=1.0, rate=0.83), ["sad", "slow"]),
        ("Speak in a slightly angry tone", Style(emotion="angry", strength=0.5), ["angry"]),
        ("Don't sound sad; be cheerful!", Style(emotion="happy", strength=1.0), ["cheerful"]),
        ("Whisper, then shout happily", Style(emotion="whisper", strength=1.0), ["whisper"]),
        ("Accent/Affect: like a pirate", None, []),
        ("", None, []),
    ],
)
def test_plain_instructions_are_read(text: str, style: Style | None, understood: list[str]) -> None:
    assert read_instructions(text) == (style, understood)
