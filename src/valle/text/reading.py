"""How a text is to be read: with its marks or without, and a lexicon of the user's own words.

A lexicon file has a word and its pronunciation per line, with a comma or a tab between them:

```
Nguyen, win
Joaquin, wah-KEEN
GIF, /dʒɪf/
```

A pronunciation is a respelling, of words or syllables that English readers know (a syllable in
capitals is stressed), or IPA between slashes or double brackets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from valle.errors import UsageError
from valle.text.phonemes import Pronunciation, find_unknown_ipa, parse_ipa, pronounce
from valle.text.pls import looks_like_pls, read_pls
from valle.text.symbols import VOWELS

_IPA = re.compile(r"/([^/]+)/|\[\[([^\[\]]+)\]\]|\[([^\[\]]+)\]")
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_SYLLABLE = re.compile(r"[A-Za-z']*[aeiouyAEIOUY][A-Za-z']*|[mM]+|[sS]h+")
_MOST_LETTERS = 40  # of a syllable
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Reading:
    """How a text is to be read."""

    plain: bool = False
    """Whether marks of Markdown and HTML are text too."""
    lexicon: Mapping[str, Pronunciation] = field(default_factory=dict)
    """The pronunciations of words in small letters."""


PLAIN_ENGLISH = Reading()


def make_reading(
    plain: bool = False, lexicon: str | Path | Mapping[str, str] | None = None
) -> Reading:
    """Return how to read, from a lexicon's file or from its words and pronunciations.

    Raises:
        UsageError: The file cannot be read, or a pronunciation is not one.
    """
    if lexicon is None:
        return Reading(plain)
    if isinstance(lexicon, Mapping):
        entries = {
            _check_word(word, "lexicon"): parse_pronunciation(sounds, f"lexicon, word {word!r}")
            for word, sounds in lexicon.items()
        }
        return Reading(plain, entries)
    return Reading(plain, load_lexicon(Path(lexicon)))


def load_lexicon(path: Path) -> dict[str, Pronunciation]:
    """Read a lexicon file: of lines, or in the format PLS of the W3C.

    Raises:
        UsageError: The file cannot be read, a line has no word, respelling or IPA, or a word has
            two pronunciations; the message names the line.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{path} is larger than 16 MiB; a lexicon has a word per line")
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"the lexicon {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the lexicon {path} is not UTF-8 text; save it as UTF-8") from error
    if looks_like_pls(text):
        return {
            _check_word(word, place): parse_pronunciation(sounds, place)
            for word, sounds, place in read_pls(text, str(path))
        }
    entries: dict[str, Pronunciation] = {}
    lines: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        place = f"{path}, line {number}"
        word, separator, sounds = line.partition("\t" if "\t" in line else ",")
        if not separator:
            raise UsageError(
                f"{place}: {line.strip()!r} has no comma; write a word, a comma and how to say it: "
                "Nguyen, win"
            )
        key, phones = _check_word(word, place), parse_pronunciation(sounds, place)
        if entries.setdefault(key, phones) != phones:
            raise UsageError(
                f"{place}: {word.strip()!r} has another pronunciation in line {lines[key]}; "
                "keep one of them"
            )
        lines.setdefault(key, number)
    return entries


def _check_word(word: str, place: str) -> str:
    word = word.strip()
    if not _WORD.fullmatch(word):
        raise UsageError(f"{place}: {word!r} is not a single word of letters")
    return word.lower().replace("’", "'")


def parse_pronunciation(sounds: str, place: str) -> Pronunciation:
    """Return the phones of a respelling or of IPA.

    Args:
        sounds: "win", "wah-KEEN", "/wɪn/" or "[[wɪn]]".
        place: Where it stands, for the message.

    Raises:
        UsageError: It is neither; the message names what is wrong.
    """
    sounds = sounds.strip()
    if ipa := _IPA.fullmatch(sounds):
        return _parse_strict_ipa(next(filter(None, ipa.groups())), place)
    if not sounds.isascii() and sounds:
        return _parse_strict_ipa(sounds, place)
    return _parse_respelling(sounds, place)


def _parse_strict_ipa(ipa: str, place: str) -> Pronunciation:
    if unknown := find_unknown_ipa(ipa):
        raise UsageError(f"{place}: {unknown!r} in {ipa!r} is not a sound of IPA")
    phones = parse_ipa(*ipa.split())
    if not any(symbol in VOWELS for symbol, _ in phones):
        raise UsageError(f"{place}: {ipa!r} has no vowel, so it is not a word in IPA")
    return phones


def _parse_respelling(sounds: str, place: str) -> Pronunciation:
    syllables = re.split(r"[\s-]+", sounds)
    for syllable in syllables:
        if len(syllable) > _MOST_LETTERS or not _SYLLABLE.fullmatch(syllable):
            raise UsageError(
                f"{place}: {syllable or sounds!r} cannot be read as a respelling; use syllables "
                "with a vowel such as wah-KEEN, or IPA between slashes"
            )
    marks_stress = any(part.isupper() and len(part) > 1 for part in syllables) and (
        not all(part.isupper() for part in syllables)
    )
    phones: list[tuple[str, int]] = []
    for syllable in syllables:
        spoken = pronounce([syllable.lower()], "en-us")[0]
        stress = 2 if syllable.isupper() else 0
        phones += [
            (symbol, stress if marks_stress and symbol in VOWELS else accent)
            for symbol, accent in spoken
        ]
    if not marks_stress:
        phones = _keep_one_stress(phones)
    return tuple(phones)


def _keep_one_stress(phones: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Leave the main stress on the first syllable that has it, and make others secondary."""
    is_stressed = False
    kept = []
    for symbol, stress in phones:
        kept.append((symbol, 1 if stress == 2 and is_stressed else stress))
        is_stressed = is_stressed or stress == 2
    return kept
