"""Abbreviations with periods, and whether such a period ends the sentence too."""

from __future__ import annotations

import re

from valle.text import lexicon
from valle.text.context import find_previous_word

_INITIALS = re.compile(r"((?:[A-Za-z]\.){2,12}|Ph\.D\.)(['’]?s\b)?")
_POSSESSIVE = re.compile(r"['’]s\b")
_NEXT_WORD = re.compile(r"[\s\"'“”‘’(\[]*(\w*)")
_EMPHASIS = re.compile(r"[\s\"'“”‘’(\[]*\*{1,3}(?=\w)")
# Signs after which the sentence goes on. A hashtag is not among them: it may stand alone.
_CONTINUATION = re.compile(rf"#\d|[-,;:、，；：–—‒―~{re.escape(''.join(lexicon.SIGNS))}]")
_LIST_ITEM = re.compile(r"[^\S\n]*\n\s*[-*•·–—]\s")
_ROMAN = re.compile(r"[IVXLC]{2,7}|[VX]")
_LOOKAHEAD = 100  # characters in which the next word must begin


def find_next_word(text: str, at: int) -> str:
    """Return the word after `at`, or "" before a sign or at the end of a paragraph."""
    match = _NEXT_WORD.match(text, at, at + _LOOKAHEAD)
    return match[1] if match and "\n\n" not in match[0] else ""


def sentence_continues(text: str, at: int) -> bool:
    """Return whether a sign after `at` continues the sentence: "tel. +44", "Inc., and"."""
    match = _NEXT_WORD.match(text, at, at + _LOOKAHEAD)
    if not match or match[1] or "\n\n" in match[0] or _LIST_ITEM.match(text, at, at + _LOOKAHEAD):
        return False
    return _CONTINUATION.match(text, match.end()) is not None


def sentence_ends(text: str, at: int) -> bool:
    """Return whether the period of an abbreviation, right before `at`, ends the sentence too."""
    if sentence_continues(text, at):
        return False
    emphasis = _EMPHASIS.match(text, at, at + _LOOKAHEAD)
    following = find_next_word(text, emphasis.end() if emphasis else at)
    return not following or following in lexicon.SENTENCE_STARTERS


def verbalize_initials(text: str, at: int) -> tuple[list[str], int] | None:
    """Read letters with a period after each: "U.S.", "e.g.".

    Returns:
        Their words and the position after them; None if there are none at `at`.
    """
    match = _INITIALS.match(text, at)
    if not match or (at and text[at - 1].isalnum()):
        return None
    letters, possessive = match[1].replace(".", ""), match[2]
    words = lexicon.DOTTED.get(letters.lower(), " ".join(letters.upper())).split()
    if possessive:
        return [*words[:-1], words[-1].lower() + "'s"], match.end()
    return words, match.end()


_HOUSE = re.compile(r"\d\s+(?:[NSEW]\.?\s+)?[^\W\d_]+\s$")
_ORDINAL_BEFORE = re.compile(r"\d(?:st|nd|rd|th)\s$")


def verbalize_street(text: str, start: int, end: int) -> tuple[list[str], int] | None:
    """Read the kind of a street after its name: "Oak Dr.", "12 Oak St, Boston", "5th Ave".

    Args:
        text: The whole text.
        start: Where the abbreviation begins.
        end: Where its letters end, before a period if there is one.

    Returns:
        Its words and the position after it; None if it is something else ("Dr. Lee").
    """
    word = lexicon.STREETS.get(text[start:end].lower())
    if not word or not text[start].isupper():
        return None
    name = find_previous_word(text, start)
    is_ordinal = _ORDINAL_BEFORE.search(text, max(start - 10, 0), start) is not None
    is_name = name[:1].isupper() and len(name) > 1 and text[start - 1 : start] == " "
    if not is_ordinal and (not is_name or name in lexicon.SENTENCE_STARTERS):
        return None
    has_period = text[end : end + 1] == "."
    after = end + 1 if has_period else end
    following = find_next_word(text, after)
    in_address = is_ordinal or _HOUSE.search(text, max(start - 40, 0), start) is not None
    is_title = text[start:end].lower() in ("st", "dr")
    before_name = following[:1].isupper() and following not in lexicon.SENTENCE_STARTERS
    if is_title and before_name and not in_address and text[after : after + 1] != ",":
        return None
    ends = has_period and sentence_ends(text, after)
    return [word], end if ends else after


def verbalize_abbreviation(text: str, word: str, at: int) -> tuple[list[str], int] | None:
    """Read an abbreviation that ends with a period.

    Args:
        text: The whole text.
        word: The letters before the period.
        at: Position of the period.

    Returns:
        Its words and the position after it; None if the period only ends the sentence. A period
        that belongs to both stays unread.
    """
    key = word.lower()
    after = at + 1
    following = find_next_word(text, after)
    ends = sentence_ends(text, after)
    before_number = following[:1].isdigit() or (len(key) > 1 and _ROMAN.fullmatch(following))
    words = lexicon.BEFORE_NUMBERS.get(key) if before_number else None
    if key == "st" and not following[:1].isupper():
        words = "Street"
    words = words or lexicon.TITLES.get(key)
    if not words and not (key in ("mar", "sec", "min") and ends):
        words = lexicon.ABBREVIATIONS.get(key)
        if words and ends:
            return words.split(), at
    if words:
        if possessive := _POSSESSIVE.match(text, after):
            return (words + "'s").split(), possessive.end()
        return words.split(), after
    is_initial = len(word) == 1 and word.isascii() and word.isupper() and word != "I"
    if is_initial and (sentence_continues(text, after) or (following[:1].isupper() and not ends)):
        return [word], after
    return None
