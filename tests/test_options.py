"""Options of synthesis: ranges, exclusions, and messages that name the flag."""

from __future__ import annotations

import json
import math
from typing import Any, get_type_hints

import pytest

from valle.books.options import BookOptions
from valle.dubbing.options import DubOptions, SyncOptions
from valle.editing.options import EditOptions
from valle.errors import UsageError
from valle.options import (
    OutputKeywords,
    OutputOptions,
    SpeakKeywords,
    SpeakOptions,
    describe_options,
)


def test_default_is_the_voices_own_speed() -> None:
    options = SpeakOptions.from_keywords()
    assert options.seed == 0
    assert options.speed == 1.0
    assert options.duration is None


@pytest.mark.parametrize(
    ("values", "message"),
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
        ({"best_of": 0}, "--best-of must be greater than or equal to 1"),
        ({"retries": -1}, "--retries must be greater than or equal to 0"),
        ({"retries": 33}, "--retries must be less than or equal to 32"),
        ({"speed": 2, "duration": 3}, "--speed and --duration exclude each other"),
        ({"redo": [0]}, "--redo counts sentences from 1"),
        ({"redo": ["x"]}, "--redo must be a valid integer"),
        ({"redo": [1], "temperature": 0}, "--redo needs a --temperature above 0"),
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"zzz": 1}, "use seed, temperature"),
    ],
)
def test_refusals_name_the_flag(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SpeakOptions.from_keywords(**values)


def test_output_options_have_defaults_and_limits() -> None:
    assert OutputOptions.from_keywords() == OutputOptions(loudness=-16.0, rate=None)
    assert OutputOptions.from_keywords(loudness="off", rate="48000").loudness is None
    for values, message in (
        ({"rate": 12345}, "--rate must be one of 16000, 22050, 24000, 44100, 48000, not 12345"),
        ({"loudness": 3}, "--loudness must be less than or equal to -5"),
        ({"loudnes": 3}, "did you mean 'loudness'"),
    ):
        with pytest.raises(UsageError, match=message):
            OutputOptions.from_keywords(**values)


def test_duration_alone_is_fine() -> None:
    assert SpeakOptions.from_keywords(duration=2.5).duration == 2.5


def test_keywords_for_type_checkers_are_the_fields() -> None:
    fields: dict[str, Any] = {
        name: field.annotation for name, field in SpeakOptions.model_fields.items()
    }
    fields["style"] |= dict[str, Any] | str  # which become a style when they are checked
    assert get_type_hints(SpeakKeywords) == fields
    outputs = {name: field.annotation for name, field in OutputOptions.model_fields.items()}
    assert get_type_hints(OutputKeywords) == outputs
    options = SpeakOptions.from_keywords(seed=3, duration=2.0)
    assert SpeakOptions.from_keywords(**options.as_keywords()) == options


def test_a_record_names_no_folders() -> None:
    options = SpeakOptions.from_keywords(lexicon="/home/ada/words.csv", seed=3)
    described = describe_options(options)
    assert (described["lexicon"], described["seed"]) == ("words.csv", 3)
    own = SpeakOptions.from_keywords(lexicon={"Nguyen": "win"})
    assert describe_options(own)["lexicon"] == {"Nguyen": "win"}


@pytest.mark.parametrize(
    "kind", [SpeakOptions, OutputOptions, EditOptions, DubOptions, SyncOptions, BookOptions]
)
def test_no_option_that_names_a_file_brings_its_folder_into_a_record(
    kind: type[SpeakOptions],
) -> None:
    """Whichever takes a path is one of the file options, or text that others are to read."""
    texts = {"title", "author", "narrator", "chapters", "track"}
    path = "/home/ada/private/x.csv"
    for name in kind.model_fields.keys() - texts:
        try:
            options = kind.from_keywords(**{name: path})
        except UsageError:
            continue
        assert "ada" not in json.dumps(describe_options(options)), name
        assert "ada" not in json.dumps(describe_options(options.model_dump(mode="json"))), name
