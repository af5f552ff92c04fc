"""SSML (W3C, version 1.1, 2010): the part of it that can be spoken, read into passages.

Known are speak, p, s, break, prosody, voice, say-as, sub, phoneme (IPA), mark, and lang for
English. Everything else is an error with its line: it would otherwise be lost without a word.
A document type is refused, and with it all entities of a file's own.
"""

from __future__ import annotations

import difflib
import re
import xml.parsers.expat
from collections.abc import Callable
from dataclasses import dataclass, replace

from valle.errors import UsageError
from valle.text.delivery import (
    Delivery,
    DirectedText,
    Mark,
    Passage,
    ends_sentence,
    locate_error,
    parse_pause,
)
from valle.text.phonemes import find_unknown_ipa
from valle.text.ssml_values import STRENGTHS, change_style, scale_rate, verbalize

_ATTRIBUTES = {
    "speak": {"version", "xml:lang", "onlangfailure"},
    "p": {"xml:lang", "onlangfailure"},
    "s": {"xml:lang", "onlangfailure"},
    "lang": {"xml:lang", "onlangfailure"},
    "break": {"time", "strength"},
    "prosody": {"rate", "pitch", "range", "volume"},
    "voice": {"name", "xml:lang"},
    "say-as": {"interpret-as", "format", "detail"},
    "sub": {"alias"},
    "phoneme": {"alphabet", "ph"},
    "mark": {"name"},
}
_REQUIRED = {"voice": "name", "say-as": "interpret-as", "sub": "alias", "phoneme": "ph"} | {
    "mark": "name",
    "lang": "xml:lang",
}
_REPLACED = ("say-as", "sub", "phoneme")  # their text is not spoken as it stands
_EMPTY = ("break", "mark")
_SPACES = re.compile(r"\s+")
# Ends of sentences and clauses after an element belong to what is in it.
_CLOSING = re.compile(r"[.,;:!?…)\]}\"'”’»]+")
_MAX_NAME = 256  # characters of a mark's name


@dataclass(frozen=True)
class _Element:
    """An element that is open, and how the text around it is spoken."""

    tag: str
    line: int
    attributes: dict[str, str]
    delivery: Delivery
    style: dict[str, float]


def parse_ssml(text: str) -> DirectedText:
    """Return the passages of a document in SSML; spans count in the text without its elements.

    Args:
        text: The document, from `<speak>` to `</speak>`.

    Raises:
        TextError: It is not XML, has an unknown element or attribute, or a value that cannot be
            spoken; the message names the line.
    """
    if not text.lstrip().startswith("<"):
        raise locate_error(1, "this is not SSML; it begins with <speak> and ends with </speak>")
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    reader = _Reader(lambda: parser.CurrentLineNumber)
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.add
    try:
        parser.Parse(text, True)
    except xml.parsers.expat.ExpatError as error:
        message = xml.parsers.expat.ErrorString(error.code)
        hint = "write &amp; for &, &lt; for <, other signs as they are, and close every element"
        raise locate_error(error.lineno, f"this is not XML ({message}); {hint}") from None
    except UnicodeEncodeError:
        raise locate_error(
            1, "the text has lone surrogates, which are parts of characters"
        ) from None
    return reader.finish()


class _Reader:
    """Renders a document as it is parsed, in one pass."""

    def __init__(self, find_line: Callable[[], int]) -> None:
        self._find_line = find_line
        self._done: list[str] = []  # the text of the passages so far, and what is between them
        self._open: list[str] = []  # the text of the passage that goes on
        self._open_line = 1
        self._size = 0  # characters of both
        self._start = 0  # where the passage that goes on begins
        self._last = " "  # character
        self._delivery = Delivery()
        self._style: dict[str, float] = {}
        self._stack: list[_Element] = []
        self._passages: list[Passage] = []
        self._marks: list[Mark] = []
        self._unpaused = 0  # marks before this one have no pause right after them
        self._goes_on = False  # whether the last passage ended within a sentence
        self._replaced: list[str] = []
        self._begin: dict[str, Callable[[dict[str, str]], None]] = {
            "p": lambda _: self._end_block("\n\n"),
            "s": lambda _: self._end_block(" "),
            "break": self._add_break,
            "prosody": self._set_prosody,
            "voice": lambda attributes: self._set(voice=attributes["name"]),
            "mark": self._add_mark,
        }

    def refuse_doctype(self, *_: object) -> None:
        """Raise TextError: entities could make a small text huge, or read files."""
        raise locate_error(self._find_line(), "SSML needs no DOCTYPE; remove it")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """Begin an element."""
        line = self._find_line()
        self._check(tag, attributes, line)
        self._stack.append(_Element(tag, line, attributes, self._delivery, self._style))
        self._replaced = []
        try:
            if tag in self._begin:
                self._begin[tag](attributes)
        except UsageError as error:
            raise locate_error(line, f"<{tag}>: {error}") from None

    def add(self, text: str) -> None:
        """Add text of an element."""
        tag = self._stack[-1].tag
        if tag in _REPLACED:
            self._replaced.append(text)
        elif tag in _EMPTY and text.strip():
            raise locate_error(self._find_line(), f"<{tag}> holds no text; write <{tag}/>")
        else:
            self._add_text(_SPACES.sub(" ", text))

    def end(self, tag: str) -> None:
        """End an element."""
        element = self._stack.pop()
        if tag in _REPLACED:
            try:
                self._add_text(self._replace(element, " ".join("".join(self._replaced).split())))
            except UsageError as error:
                raise locate_error(element.line, f"<{tag}>: {error}") from None
        elif tag in ("p", "s"):
            self._end_block("\n\n" if tag == "p" else " ")
        self._style = element.style
        self._deliver(element.delivery)

    def finish(self) -> DirectedText:
        """Return what was read."""
        self._cut(ends=True)
        passages = self._passages or [Passage("", 0)]
        return DirectedText("".join(self._done), passages, tuple(self._marks))

    def _check(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Raise TextError if an element may not be here, or an attribute is unknown."""
        if not self._stack and tag != "speak":
            raise locate_error(line, f"SSML begins with <speak>, and not with <{tag}>")
        if tag not in _ATTRIBUTES or (self._stack and tag == "speak"):
            close = difflib.get_close_matches(tag, [*_ATTRIBUTES][1:], n=1, cutoff=0.7)
            known = ", ".join([*_ATTRIBUTES][1:])
            hint = f"did you mean <{close[0]}>?" if close else f"known are {known}"
            raise locate_error(line, f"<{tag[:40]}> cannot be spoken; {hint}")
        if self._stack and self._stack[-1].tag in (*_REPLACED, *_EMPTY):
            raise locate_error(line, f"<{self._stack[-1].tag}> holds no elements, such as <{tag}>")
        for name in attributes:
            if name not in _ATTRIBUTES[tag] and not name.startswith(("xmlns", "xsi:", "xml:base")):
                known = ", ".join(sorted(_ATTRIBUTES[tag])) or "none"
                raise locate_error(line, f"<{tag}> has no {name[:40]}; known are {known}")
        required = _REQUIRED.get(tag)
        if required and not attributes.get(required, "").strip():
            raise locate_error(line, f'<{tag}> needs {required}="..."')
        language = attributes.get("xml:lang", "en")
        if language.lower().partition("-")[0] != "en":
            raise locate_error(
                line, f"<{tag}> is in the language {language[:40]!r}; only English is spoken"
            )

    def _replace(self, element: _Element, written: str) -> str:
        """Return what is spoken instead of the text of an element."""
        attributes = element.attributes
        if element.tag == "sub":
            return " ".join(attributes["alias"].split())
        if element.tag == "say-as":
            if not written:
                raise UsageError("it has no text")
            return verbalize(
                attributes["interpret-as"].strip(), written, attributes.get("format", "").strip()
            )
        alphabet = attributes.get("alphabet", "ipa").lower()
        if alphabet not in ("ipa", "x-ipa"):
            raise UsageError(f"the alphabet {alphabet[:40]!r} is not known; use ipa")
        ipa = " ".join(attributes["ph"].split())
        if unknown := find_unknown_ipa(ipa.replace(" ", "")):
            raise UsageError(f"{unknown!r} in {ipa[:40]!r} is not a sound in IPA")
        return f"[[{ipa}]]"

    def _add_text(self, text: str) -> None:
        if self._last.isspace():
            text = text.lstrip(" ")
        if not text:
            return
        if self._goes_on and (closing := _CLOSING.match(text)):
            self._extend_last(closing[0])
            text = text[closing.end() :]
        if text.strip():
            self._goes_on = False
            if not self._open:
                self._open_line = self._find_line()
        if text:
            self._open.append(text)
            self._size += len(text)
            self._last = text[-1]

    def _extend_last(self, closing: str) -> None:
        last = self._passages[-1]
        text = last.text + closing
        self._passages[-1] = replace(last, text=text, continues=not ends_sentence(text))
        self._done.append(closing)
        self._size += len(closing)
        self._start, self._last = self._size, closing[-1]
        self._goes_on = False

    def _cut(self, ends: bool = False) -> None:
        """End a passage; `ends`: and the sentence that it ends with."""
        text = "".join(self._open)
        if text.strip():
            continues = not (ends or ends_sentence(text))
            self._passages.append(
                Passage(
                    text,
                    self._start,
                    self._delivery,
                    continues=continues,
                    line=self._open_line,
                )
            )
            self._goes_on = not ends and not text[-1].isspace()
        elif text:
            self._goes_on = False
        if ends:
            self._goes_on = False
            if self._passages and not text.strip():
                self._passages[-1] = replace(self._passages[-1], continues=False)
        self._done.append(text)
        self._open, self._start = [], self._size

    def _end_block(self, separator: str) -> None:
        self._cut(ends=True)
        if self._size:
            self._done.append(separator)
            self._size += len(separator)
            self._start, self._last = self._size, separator[-1]

    def _set(self, **changes: str | float | None) -> None:
        self._deliver(replace(self._delivery, **changes))  # type: ignore[arg-type]

    def _deliver(self, delivery: Delivery) -> None:
        if delivery != self._delivery:
            self._cut()
            self._delivery = delivery

    def _set_prosody(self, attributes: dict[str, str]) -> None:
        rate = self._delivery.rate
        for name, value in attributes.items():
            if name == "rate":
                rate = scale_rate(value, rate)
            elif name in ("pitch", "range", "volume"):
                self._style = change_style(name, value, self._style)
        style = ",".join(f"{name}={level:g}" for name, level in self._style.items()) or None
        self._set(rate=rate, style=style)

    def _add_break(self, attributes: dict[str, str]) -> None:
        strength = attributes.get("strength", "medium").strip()
        if strength not in STRENGTHS:
            raise UsageError(f"strength={strength!r} is not known; use {', '.join(STRENGTHS)}")
        pause = STRENGTHS[strength]
        if "time" in attributes:
            pause = parse_pause(attributes["time"])
        self._cut()
        self._goes_on = False
        if not self._passages:
            self._passages.append(Passage("", 0, self._delivery))
        last = self._passages[-1]
        self._passages[-1] = replace(last, pause=(last.pause or 0.0) + pause)
        for index in range(self._unpaused, len(self._marks)):
            if self._marks[index].position >= last.start + len(last.text.rstrip()):
                self._marks[index] = replace(self._marks[index], before_pause=True)
        self._unpaused = len(self._marks)

    def _add_mark(self, attributes: dict[str, str]) -> None:
        name = attributes["name"].strip()
        if len(name) > _MAX_NAME:
            raise UsageError(f"the name of a mark has at most {_MAX_NAME} characters")
        self._marks.append(Mark(name, self._size))
