"""Pronunciation lexicons of the W3C (PLS 1.0, 2008): words with their phonemes or respelling."""

from __future__ import annotations

import xml.parsers.expat
from collections.abc import Iterator
from dataclasses import dataclass, field

from valle.errors import UsageError

_IPA_NAMES = frozenset(("ipa", "x-ipa"))


@dataclass
class _Lexeme:
    line: int
    graphemes: list[str] = field(default_factory=list)
    sounds: list[str] = field(default_factory=list)


def looks_like_pls(text: str) -> bool:
    """Return whether a lexicon file is XML."""
    return text.lstrip()[:1] == "<"


def read_pls(text: str, name: str) -> Iterator[tuple[str, str, str]]:
    """Yield each word, its pronunciation and its place, for messages.

    Of several pronunciations, the first one counts, as PLS has it. Phonemes are given between
    slashes; an alias is a respelling.

    Args:
        text: The file.
        name: Its name, for messages.

    Raises:
        UsageError: It is not PLS, has entities of its own, or another alphabet than IPA.
    """
    reader = _Reader(name)
    parser = xml.parsers.expat.ParserCreate()
    parser.StartDoctypeDeclHandler = reader.refuse_doctype
    parser.StartElementHandler = lambda tag, attributes: reader.start(
        tag, attributes, parser.CurrentLineNumber
    )
    parser.CharacterDataHandler = reader.add
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(text, True)
    except xml.parsers.expat.ExpatError as error:
        message = xml.parsers.expat.ErrorString(error.code)
        raise UsageError(f"{name}, line {error.lineno}: this is not XML: {message}") from None
    for lexeme in reader.lexemes:
        place = f"{name}, line {lexeme.line}"
        if not lexeme.graphemes or not lexeme.sounds:
            raise UsageError(f"{place}: a lexeme needs a grapheme, and a phoneme or an alias")
        for grapheme in lexeme.graphemes:
            yield grapheme, lexeme.sounds[0], place


class _Reader:
    """Collects the lexemes of a file."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._alphabet = "ipa"
        self._text = ""
        self._is_root = True
        self.lexemes: list[_Lexeme] = []

    def refuse_doctype(self, *_: object) -> None:
        """Raise UsageError: entities could make a small file huge, or read other files."""
        raise UsageError(f"{self._name} has a DOCTYPE, which a lexicon does not need; remove it")

    def start(self, tag: str, attributes: dict[str, str], line: int) -> None:
        """Begin an element."""
        tag = tag.rpartition(":")[2]
        if self._is_root and tag != "lexicon":
            raise UsageError(
                f"{self._name} is XML, but not a lexicon (PLS): it begins with <{tag}>"
            )
        self._is_root = False
        alphabet = attributes.get("alphabet", self._alphabet).lower()
        if tag == "lexicon":
            self._alphabet = alphabet
        if tag in ("lexicon", "phoneme") and alphabet not in _IPA_NAMES:
            raise UsageError(f"{self._name}, line {line}: the alphabet {alphabet!r} is not IPA")
        if tag == "lexeme":
            self.lexemes.append(_Lexeme(line))
        self._text = ""

    def add(self, text: str) -> None:
        """Add text of an element."""
        self._text += text

    def end(self, tag: str) -> None:
        """End an element."""
        tag, text = tag.rpartition(":")[2], " ".join(self._text.split())
        if not self.lexemes or not text:
            return
        if tag == "grapheme":
            self.lexemes[-1].graphemes.append(text)
        elif tag == "phoneme":
            self.lexemes[-1].sounds.append(f"/{text.strip('/')}/")
        elif tag == "alias":
            self.lexemes[-1].sounds.append(text)
        self._text = ""
