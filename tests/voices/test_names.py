"""Names of voices: words of any script, never a path."""

from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valle.errors import UsageError
from valle.voices.names import MAX_BYTES, check_name


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "Anna",
        "Anna B. 2-x_y",
        "9",
        "x" * 64,
        "Zoë",
        "José Núñez",
        "Владимир",
        "王小明",
        "محمد",
        "प्रिया",
        "Console",
        "com10",
    ],
)
def test_words_of_any_script_are_names(name: str) -> None:
    assert check_name(name) == unicodedata.normalize("NFC", name)


def test_equal_names_become_equal_strings() -> None:
    assert check_name("Zoe\u0308") == check_name("Zo\u00eb") == "Zo\u00eb"


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        ".",
        "..",
        "../a",
        "a/b",
        "a\\b",
        "/etc/passwd",
        "C:a",
        "a\0",
        "a\n",
        "a\u200b",  # zero width space
        "a\u202eb",  # right-to-left override
        "a\ud800",  # a lone surrogate
        "\u0308a",  # a combining mark without a letter
        "\U0001f600",
        "x" * 65,
        "\U00020000" * 60,  # more bytes than a file name has room for
        "con",
        "NUL",
        "lpt1.old",
        None,
        3,
    ],
)
def test_other_strings_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a voice"):
        check_name(name)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_name_stays_in_its_folder(name: str) -> None:
    try:
        name = check_name(name)
    except UsageError:
        return
    assert os.path.basename(name) == name
    assert os.path.normpath(f"f/{name}.x") == f"f/{name}.x"
    assert len(name.encode()) <= MAX_BYTES
    assert check_name(name) == name
