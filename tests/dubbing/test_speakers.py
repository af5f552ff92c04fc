"""Tables of who speaks."""

from __future__ import annotations

from pathlib import Path

import pytest

from valle.dubbing.speakers import assign_speakers
from valle.errors import TextError
from valle.media.subtitles import Cue, Subtitles

CUES = Subtitles([Cue(n, 0, n, n + 1, "text", "JO", "text") for n in range(1, 6)], [])


def names(tmp_path: Path, text: str) -> list[str | None]:
    (tmp_path / "speakers.csv").write_text(text)
    assigned = assign_speakers(CUES, tmp_path / "speakers.csv")
    return [cue.speaker for cue in assigned.cues]


def test_numbers_and_ranges(tmp_path: Path) -> None:
    text = "cue,speaker\n2,Ada\n\n3 - 4, Bob\n"
    assert names(tmp_path, text) == ["JO", "Ada", "Bob", "Bob", "JO"]
    assert names(tmp_path, "\ufeff1,Ada\n") == ["Ada", "JO", "JO", "JO", "JO"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,Ada\nx,Bob\n", "line 2"),
        ("1,\n", "line 1"),
        ("5-3,Ada\n", "not a range"),
        ("77,Ada\n", "no cue"),
    ],
)
def test_bad_rows(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TextError, match=message):
        names(tmp_path, text)


def test_missing_table(tmp_path: Path) -> None:
    with pytest.raises(TextError, match="cannot read"):
        assign_speakers(CUES, tmp_path / "none.csv")
