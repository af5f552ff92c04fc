"""A script as a text with directions: each turn in the voice of its speaker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from valle.errors import TextError, UsageError
from valle.scripts.turns import Turn, read_turns
from valle.synthesis.model import find_voice
from valle.text.delivery import DirectedText, Passage
from valle.text.markup_tags import parse_tags
from valle.voices import registry
from valle.voices.voice import Voice


@dataclass(frozen=True)
class Script:
    """A dialogue.

    Attributes:
        turns: Who says what, in order.
        text: All turns with their directions; the voices in it are the speakers.
        spans: Where each turn begins and ends in `text.text`, in characters.
    """

    turns: list[Turn]
    text: DirectedText
    spans: list[tuple[int, int]]

    @property
    def speakers(self) -> list[str]:
        """Names of the speakers, in the order of their first turns."""
        return list(dict.fromkeys(turn.speaker for turn in self.turns))


def parse_script(source: str) -> Script:
    """Parse a script in any of the notations of `valle.scripts.turns`.

    Raises:
        TextError: It has no turns, or something in it is wrong; the message names the line.
    """
    turns = read_turns(source)
    passages: list[Passage] = []
    spans: list[tuple[int, int]] = []
    text = ""
    for turn in turns:
        start = len(text)
        text += turn.text
        spans.append((start, len(text)))
        passages += [
            replace(
                passage,
                start=passage.start + start,
                delivery=replace(passage.delivery, voice=passage.delivery.voice or turn.speaker),
            )
            for passage in _parse_turn(turn)
        ]
        text += "\n"
    return Script(turns, DirectedText(text, passages), spans)


def _parse_turn(turn: Turn) -> list[Passage]:
    if not turn.is_item:
        return parse_tags(turn.text, turn.line).passages
    try:
        return parse_tags(turn.text).passages
    except TextError as error:
        raise TextError(f"{turn.place}, {error}") from None


def find_cast(
    script: Script, cast: Mapping[str, Voice | str | Path] | None = None
) -> dict[str, Voice]:
    """Return the voice of every speaker.

    Args:
        script: Its speakers, and the names in its `[voice:NAME]`, are looked up.
        cast: Voices by speaker; speakers that are not in it are names of saved voices.

    Raises:
        UsageError: A speaker has no voice, or `cast` names one who does not speak; the message
            names the line.
        RecordingError: A voice file cannot be used.
        ConsentError: A voice file was altered.
    """
    given = {name.casefold(): voice for name, voice in (cast or {}).items()}
    speaking = {name.casefold() for name in (*script.speakers, *script.text.voices)}
    for name in cast or {}:
        if name.casefold() not in speaking:
            raise UsageError(
                f"nobody in this script is called {name!r}; it has {', '.join(script.speakers)}"
            )
    places = {turn.speaker: turn.place for turn in reversed(script.turns)}
    voices: dict[str, Voice] = {}
    for name in dict.fromkeys((*script.speakers, *script.text.voices)):
        try:
            voice = given.get(name.casefold())
            voices[name] = registry.load(name) if voice is None else find_voice(voice)
        except UsageError as error:
            place = f"{places[name]}: " if name in places else ""
            hint = f"to give {name} another voice: --cast {_quote(name)}=VOICE"
            raise UsageError(f"{place}{error}; {hint}") from None
    return voices


def _quote(name: str) -> str:
    return f'"{name}"' if " " in name else name
