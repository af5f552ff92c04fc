"""Who says what: the turns of a script, from any of the usual notations.

| notation | example |
|---|---|
| names | `ADA: Good evening.` (also `**Ada:** ...` and `Ada (softly): ...`) |
| numbers | `[S1] Good evening. [S2] And to you.` |
| persons | `<Person1>Good evening.</Person1>` |
| speakers | `Speaker 1: Good evening.` |
| JSON | `[{"voice": "Ada", "text": "Good evening.", "pause": 1.5, "overlap": 0.3}]` |

A line that names nobody goes on with the turn before it. Lines that begin with `#`, rules (`---`)
and what stands in parentheses alone on a line are not spoken.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from valle.errors import TextError, UsageError
from valle.text.delivery import locate_error, parse_pause
from valle.text.markup_tags import NONVERBAL_WORDS

MAX_OVERLAP = 10.0  # seconds

_NAMED = re.compile(
    r"[ \t]*(?:[-*>][ \t]+)?(?P<mark>\*\*|__)?"
    r"(?P<name>[^\W\d_][\w .'’&-]{0,39}?)[ \t]*(?P<manner>\([^()\n]{1,80}\))?[ \t]*"
    r"(?:(?P<end>\*\*|__)?:(?P<after>\*\*|__)?)(?=[ \t]|$)"
)
_NUMBERED = re.compile(r"\[(S\d{1,2})\]")
_PERSON = re.compile(r"<(/?)(Person ?\d{1,2})>", re.IGNORECASE)
_OVERLAP = re.compile(r"\[overlap[ \t]*:[ \t]*([^\[\]\n]{1,20})\]", re.IGNORECASE)
_UNSPOKEN = re.compile(r"[ \t]*(?:#.*|\([^()\n]*\)|(?:[-*_=][ \t]*){3,})[ \t]*$")
_NONVERBAL = re.compile(rf"\((?:{'|'.join(sorted(NONVERBAL_WORDS))})\)", re.IGNORECASE)
_JSON_FIELDS = {"voice", "speaker", "voice_id", "text", "pause", "rate", "style", "overlap"}
# A sentence that has a colon early on does not begin with a name.
_MOST_NAME_WORDS = 4


@dataclass(frozen=True)
class Turn:
    """What one speaker says in one go."""

    speaker: str
    text: str
    line: int
    """From 1; of JSON, the line in which the turn's object begins is not known: its number."""
    overlap: float = 0.0
    """Seconds that it begins before the turn before it ends."""
    is_item: bool = False
    """Whether `line` counts turns of JSON instead of lines."""

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"turn {self.line}" if self.is_item else f"line {self.line}"


def read_turns(text: str) -> list[Turn]:
    """Return the turns of a script in any notation.

    Raises:
        TextError: It has no turns, text that nobody says, or a turn without text; the message names
            the line.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip()[:1] in ("[", "{") and _looks_like_json(text):
        turns = _read_json(text)
    else:
        turns = _TextReader().read(text)
    if not turns:
        raise TextError(
            "there are no turns in this script; begin lines with who speaks, such as "
            "ADA: Good evening."
        )
    return turns


def _looks_like_json(text: str) -> bool:
    start = text.lstrip()
    return start[0] == "{" or start[1:].lstrip()[:1] in ("{", "]", "")


def _read_json(text: str) -> list[Turn]:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise locate_error(error.lineno, f"this is not JSON: {error.msg}") from None
    except (ValueError, RecursionError):  # a number of thousands of digits
        raise TextError(
            "this is not a script: its JSON is nested too deeply, or has a number that is too long"
        ) from None
    if isinstance(data, dict):  # {"turns": [...]}, or "inputs", as ElevenLabs has it
        data = next((data[key] for key in ("turns", "inputs", "script") if key in data), data)
    if not isinstance(data, list):
        raise TextError('a script in JSON is a list of turns: [{"voice": "Ada", "text": "..."}]')
    return [_read_item(number, item) for number, item in enumerate(data, 1)]


def _read_item(number: int, item: Any) -> Turn:
    if not isinstance(item, dict):
        raise TextError(f'turn {number} is not an object such as {{"voice": "Ada", "text": "..."}}')
    if unknown := sorted(set(item) - _JSON_FIELDS):
        known = ", ".join(sorted(_JSON_FIELDS))
        raise TextError(f"turn {number} has a field {unknown[0]!r}; known are {known}")
    names = [item[key] for key in ("voice", "speaker", "voice_id") if key in item]
    text = item.get("text")
    if len(names) != 1 or not isinstance(names[0], str) or not names[0].strip():
        raise TextError(f'turn {number} needs one "voice" with the name of who speaks')
    if not isinstance(text, str) or not text.strip():
        raise TextError(f'turn {number} has no "text"')
    tags = ""
    for name in ("rate", "style"):
        if name in item:
            tags += f"[{name}:{item[name]}]"
    if "pause" in item:
        tags = f"[pause:{item['pause']}]" + tags
    overlap = _parse_overlap(str(item.get("overlap", "0")), f"turn {number}")
    return Turn(names[0].strip(), tags + text, number, overlap, is_item=True)


def _parse_overlap(value: str, place: str) -> float:
    try:
        seconds = parse_pause(value)
    except UsageError:
        seconds = MAX_OVERLAP + 1
    if seconds > MAX_OVERLAP:
        raise TextError(
            f"{place}: {value!r} is not an overlap; use 0s to {MAX_OVERLAP:g}s, such as 0.3s"
        )
    return seconds


class _TextReader:
    """Reads the notations in which turns are marked in the text."""

    def __init__(self) -> None:
        self._turns: list[Turn] = []

    def read(self, text: str) -> list[Turn]:
        """Return all turns."""
        for number, line in enumerate(text.split("\n"), 1):
            self._read_line(number, line)
            if match := _NONVERBAL.search(line):
                raise locate_error(number, f"{match[0]} cannot be spoken; remove it")
        for turn in self._turns:
            if not turn.text.strip():
                raise locate_error(
                    turn.line, f"{turn.speaker} says nothing; add text, or remove it"
                )
        return [replace(turn, text=turn.text.strip()) for turn in self._turns]

    def _read_line(self, number: int, line: str) -> None:
        if _UNSPOKEN.match(line):
            return
        marks = [(match.start(), match.end(), match[1]) for match in _NUMBERED.finditer(line)] or [
            (match.start(), match.end(), "" if match[1] else match[2])
            for match in _PERSON.finditer(line)
        ]
        if not marks and (name := _match_name(line)):
            marks = [name]
        self._add(number, line[: marks[0][0]] if marks else line)
        for index, (_, end, speaker) in enumerate(marks):
            following = marks[index + 1][0] if index + 1 < len(marks) else len(line)
            if speaker:
                self._turns.append(Turn(" ".join(speaker.split()), "", number))
            self._add(number, line[end:following])

    def _add(self, number: int, text: str) -> None:
        """Add text to the turn that goes on."""
        if not text.strip():
            if self._turns and self._turns[-1].text.strip():
                self._turns[-1] = replace(self._turns[-1], text=self._turns[-1].text + "\n")
            return
        if not self._turns:
            raise locate_error(
                number,
                f"nobody says {_shorten(text)!r}; begin the line with who speaks, such as "
                "ADA: ..., or with # if it is not to be spoken",
            )
        turn = self._turns[-1]
        overlap = turn.overlap
        if not turn.text.strip() and (match := _OVERLAP.match(text.lstrip())):
            overlap = _parse_overlap(match[1], f"line {number}")
            text = text.lstrip()[match.end() :]
        if match := _OVERLAP.search(text):
            raise locate_error(number, f"{match[0]} stands at the beginning of a turn")
        text = text.strip("\n")
        joined = turn.text + ("\n" if turn.text.strip() else "") + text.strip()
        self._turns[-1] = replace(turn, text=joined, overlap=overlap)


def _match_name(line: str) -> tuple[int, int, str] | None:
    """Return the span of a name with its colon at the beginning of a line, and the name."""
    match = _NAMED.match(line)
    if match is None:
        return None
    name = match["name"].strip()
    is_marked = bool(match["mark"])
    if len(name.split()) > _MOST_NAME_WORDS or not (name[0].isupper() or is_marked):
        return None
    return match.start(), match.end(), name


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else text[:39] + "…"
