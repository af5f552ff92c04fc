"""Directions in a text, in brackets: [voice:NAME], [pause:1.5s], [rate:1.1], [style:NAME].

A tag holds from where it stands to the next one of its kind, to the closing tag ([/voice], [/rate],
[/style]), or to the end. `[[IPA]]` is left to normalization. A tag that is not known is an error:
it would otherwise be read aloud. What merely stands in brackets ("[sic]", "[12]", a link) is text.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import replace
from re import Match

from valle.errors import UsageError
from valle.styles import parse_style
from valle.text.delivery import (
    Delivery,
    DirectedText,
    Passage,
    ends_sentence,
    locate_error,
    parse_pause,
    parse_rate,
)

DEFAULT_PAUSE = 1.0  # seconds: [pause] and [break] without a time
_TAGS = ("voice", "pause", "rate", "style", "break")
_CLOSED = ("voice", "rate", "style")

_BRACKETS = re.compile(
    r"\[\[[^\[\]]{1,1000}\]\]"  # IPA, which is passed over
    r"|(?<!\\)\[(?P<closing>/?)(?P<name>[A-Za-z][A-Za-z0-9_-]{0,30})"
    r"(?:(?P<colon>[ \t]{0,3}:)(?P<value>[^\[\]\n]{0,200}))?(?P<end>\])"
    r"|(?<!\\)\[/?(?P<open>voice|pause|rate|style|break):[^\[\]\n]{0,40}"
)
_LONGEST_TAG = 240  # characters, with its brackets
# What other programs have in brackets, and would here be read aloud.
_OTHERS_TAGS = frozenset(
    "speed pitch volume emotion emphasis speaker lang language silence sleep wait prosody spell "
    "say sound sfx music effect breath accent tone mood effects audio".split()
)
NONVERBAL_WORDS = frozenset(
    "laugh laughs laughing laughter chuckle chuckles chuckling giggle giggles giggling sigh sighs "
    "sighing gasp gasps gasping cough coughs coughing whisper whispers whispering whispered shout "
    "shouts shouting yell yells yelling cry cries crying sob sobs sobbing sniff sniffs groan "
    "groans yawn yawns scream screams screaming breath breathe breathes inhale inhales exhale "
    "exhales happy sad angry excited sarcastic curious nervous mischievously applause clapping "
    "silence uv_break lbreak uh_break".split()
)
_SPEAKER = re.compile(r"S\d{1,2}")
# Identifiers with a colon that stand in brackets in ordinary text.
_IDENTIFIERS = frozenset("http https ftp mailto doi urn isbn pmid tel file arxiv rfc cve".split())
_HINT = r"known are [voice:NAME], [pause:1.5s], [rate:1.1] and [style:NAME]; to have it read, write"


def parse_tags(text: str, line: int = 1) -> DirectedText:
    r"""Return the passages of a text with tags in brackets.

    Args:
        text: Any Unicode string. A backslash before a bracket (`\[voice:x]`) makes it text.
        line: Number of its first line, for messages.

    Raises:
        TextError: A tag is unknown or its value is wrong; the message names the line.
    """
    reader = TagReader(line)
    passages = [*reader.feed(text), *reader.close()] or [Passage(text, 0, line=line)]
    return DirectedText(text, passages)


class TagReader:
    """Cuts a text that comes in parts into passages at its tags."""

    def __init__(self, line: int = 1) -> None:
        """Begin a text, whose first line has a number, for messages."""
        self._pending = ""
        self._start = 0  # of `_pending` in the whole text
        self._at = 0  # where the passage that goes on begins in `_pending`, and its line
        self._line_at = line
        self._scanned = 0  # characters of `_pending` in which all tags were read
        self._delivery = Delivery()
        self._outer: dict[str, list[Delivery]] = {name: [] for name in _CLOSED}
        self._passages: list[Passage] = []
        self._apply: dict[str, Callable[[str], None]] = {
            "voice": self._set_voice,
            "rate": self._set_rate,
            "style": self._set_style,
            "pause": self._add_pause,
            "break": self._add_pause,
        }

    def feed(self, text: str) -> list[Passage]:
        """Add text, and return the passages that end with a tag in it.

        Raises:
            TextError: A tag is unknown or its value is wrong.
        """
        self._pending += text
        self._scan(is_last=False)
        self.drop(self._start + self._at)
        passages, self._passages = self._passages, []
        return passages

    def close(self) -> list[Passage]:
        """Return the passages that are left at the end of the text.

        Raises:
            TextError: A bracket is not closed.
        """
        self._scan(is_last=True)
        self._cut(len(self._pending), len(self._pending))
        passages, self._passages = self._passages, []
        if passages:
            passages[-1] = replace(passages[-1], continues=False)
        return passages

    @property
    def open_passage(self) -> Passage:
        """The passage that goes on, as far as no tag that is still coming can change it."""
        at = self._pending.rfind("[", max(0, len(self._pending) - _LONGEST_TAG))
        is_open = at >= 0 and "]" not in self._pending[at:]
        if is_open and self._pending[at - 1 : at] == "[":
            at -= 1
        text = self._pending[:at] if is_open else self._pending
        return Passage(text, self._start, self._delivery, line=self._line_at)

    def drop(self, end: int) -> None:
        """Drop the text before a position of the whole text, since it has been read."""
        size = max(0, end - self._start)
        self._line_at += self._pending.count("\n", self._at, size)
        self._pending, self._start, self._at = self._pending[size:], self._start + size, 0
        self._scanned = max(0, self._scanned - size)

    def _scan(self, is_last: bool) -> None:
        """Read the brackets that are complete."""
        while match := _BRACKETS.search(self._pending, self._scanned):
            if match["open"]:
                if match.end() == len(self._pending) and not is_last:
                    self._scanned = match.start()
                    return
                self._refuse_open(match)
            elif match["end"] and self._is_tag(match):
                self._read(match)
                continue
            self._scanned = match.end()
        self._scanned = max(self._scanned, len(self._pending) - _LONGEST_TAG)

    def _read(self, match: Match[str]) -> None:
        """Read a tag, which ends a passage."""
        line = self._line(match.start())
        name, value = match["name"].lower(), (match["value"] or "").strip()
        self._cut(match.start(), match.end())
        if match["closing"]:
            if not self._outer[name]:
                raise locate_error(line, f"{match[0]} closes nothing; write [{name}:...] before")
            outer = self._outer[name].pop()
            self._delivery = replace(self._delivery, **{name: getattr(outer, name)})
            return
        try:
            self._apply[name](value)
        except UsageError as error:
            raise locate_error(line, f"{match[0]}: {error}") from None

    def _refuse_open(self, match: Match[str]) -> None:
        raise locate_error(self._line(match.start()), f"{match[0].strip()!r} has no closing ]")

    def _is_tag(self, match: Match[str]) -> bool:
        """Return whether brackets hold a tag.

        Raises:
            TextError: They hold one that is not known.
        """
        name, value = match["name"].lower(), match["value"]
        if match["closing"]:
            if name in _CLOSED:
                return True
            if match["colon"] is None and name not in (*_TAGS, *_OTHERS_TAGS):
                return False  # BBCode and file paths
            raise self._unknown(match, name)
        if name in _TAGS and (value is not None or name in ("pause", "break")):
            return True
        follows_link = self._pending[match.end() : match.end() + 1] == "("
        if follows_link or name in _IDENTIFIERS:
            return False
        if value is None:
            if name in NONVERBAL_WORDS or _SPEAKER.fullmatch(match["name"]):
                raise self._unknown(match, name)
            return False
        is_tag = value.strip() and not value.startswith((" ", "\t", "//"))
        is_close = match["name"].islower() and bool(
            difflib.get_close_matches(name, _TAGS, n=1, cutoff=0.8)
        )
        if (is_tag and match["name"].islower()) or is_close or name in _OTHERS_TAGS:
            raise self._unknown(match, name)
        return False

    def _unknown(self, match: Match[str], name: str) -> Exception:
        close = difflib.get_close_matches(name, _TAGS, n=1, cutoff=0.8)
        message = f"there is no tag {match[0]}; "
        if _SPEAKER.fullmatch(match["name"]):
            message += "speakers belong in a script, see valle script; to have it read, write"
        elif close:
            message += f"did you mean [{close[0]}:...]? To have it read, write"
        else:
            message += _HINT
        return locate_error(self._line(match.start()), f"{message} \\{match[0]}")

    def _line(self, at: int) -> int:
        return self._line_at + self._pending.count("\n", self._at, at)

    def _cut(self, end: int, after: int) -> None:
        """End a passage before a tag, and go on after it."""
        text = self._pending[self._at : end]
        if text.strip():
            start, continues = self._start + self._at, not ends_sentence(text)
            line = self._line(self._at + len(text) - len(text.lstrip()))
            self._passages.append(
                Passage(text, start, self._delivery, continues=continues, line=line)
            )
        self._line_at += self._pending.count("\n", self._at, after)
        self._at = self._scanned = after

    def _set_voice(self, value: str) -> None:
        if not value:
            raise UsageError("it names no voice; write [voice:NAME]")
        self._set("voice", value)

    def _set_rate(self, value: str) -> None:
        self._set("rate", parse_rate(value))

    def _set_style(self, value: str) -> None:
        parse_style(value)
        self._set("style", value)

    def _set(self, name: str, value: object) -> None:
        self._outer[name].append(self._delivery)
        self._delivery = replace(self._delivery, **{name: value})  # type: ignore[arg-type]

    def _add_pause(self, value: str) -> None:
        pause = parse_pause(value) if value else DEFAULT_PAUSE
        if not self._passages:
            self._passages.append(Passage("", 0, self._delivery))
        last = self._passages[-1]
        self._passages[-1] = replace(last, pause=(last.pause or 0.0) + pause)
