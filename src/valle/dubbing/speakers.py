"""Who speaks each cue, from a table next to the subtitles."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from valle.errors import TextError
from valle.media.subtitles import Subtitles

_CUES = re.compile(r"\s*(\d+)(?:\s*-\s*(\d+))?\s*")


def assign_speakers(subtitles: Subtitles, table: str | Path) -> Subtitles:
    """Return subtitles whose speakers are those of a table.

    Args:
        subtitles: Cues that are not in the table keep their speaker.
        table: CSV in UTF-8 with the number of a cue, or a range such as 3-7, and a name in each
            row. A first row without a number is a heading.

    Raises:
        TextError: The table cannot be read, or a row is neither.
    """
    try:
        rows = list(csv.reader(Path(table).read_text("utf-8-sig").splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise TextError(f"cannot read the speakers in {table}: {reason}") from error
    names = _read_rows(rows, table)
    numbers = {cue.number for cue in subtitles.cues}
    if names and not names.keys() & numbers:
        raise TextError(f"{table} names no cue that is spoken; they are numbered from 1")
    cues = [replace(cue, speaker=names.get(cue.number, cue.speaker)) for cue in subtitles.cues]
    return replace(subtitles, cues=cues)


def _read_rows(rows: Iterable[list[str]], table: str | Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for line, row in enumerate(rows, 1):
        if not any(map(str.strip, row)):
            continue
        match = _CUES.fullmatch(row[0])
        if match is None and line == 1:
            continue
        name = row[1].strip() if len(row) > 1 else ""
        if match is None or not name:
            raise TextError(
                f"{table}, line {line}: must be the number of a cue or a range, a comma and a "
                f"name (3-7,Ada), not {','.join(row)!r}"
            )
        first, last = int(match[1]), int(match[2] or match[1])
        if not 0 < first <= last < 1_000_000:
            raise TextError(f"{table}, line {line}: {row[0]!r} is not a range of cues")
        names.update(dict.fromkeys(range(first, last + 1), name))
    return names
