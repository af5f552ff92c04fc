"""Roman numerals, and where "I" is one and not the pronoun."""

from __future__ import annotations

import re

from valle.text import lexicon
from valle.text.context import find_previous_word
from valle.text.numbers import parse_roman, to_cardinal, to_ordinal, to_year
from valle.text.words import ROMAN_ORDINAL

_NEXT_WORD = re.compile(r"[ \t]+([^\W\d_]+(?:['’][^\W\d_]+)?)")
_TWO_WORDS_BEFORE = re.compile(r"([^\W\d_]+\.?)\s+([^\W\d_]+)\s+$")
_HEADING_END = re.compile(r"\.\s+[^\W\d_]")
_RANGE_END = re.compile(r"\s?[-–—]\s?([IVXLC]{1,7})(?!\w)")
_LINE = 120  # characters of a heading

# "King George V", "Pope Pius X": a ruler's number is an ordinal.
_RULERS = frozenset(
    "king queen pope emperor empress tsar czar kaiser prince princess duke sultan shah saint "
    "pharaoh archduke count lord patriarch elector khedive rama".split()
)
_REGNAL_NAMES = frozenset(
    "henry louis george elizabeth charles james edward richard william mary pius benedict john "
    "paul francis leo gregory clement innocent urban alexander philip ferdinand frederick "
    "napoleon catherine peter nicholas ivan christian gustav olaf olav haakon albert leopold "
    "baudouin ramses ramesses ptolemy cleopatra xerxes darius otto karl carl alfonso alphonse "
    "juan felipe robert david kenneth wilhelm maximilian rudolf victor umberto humbert "
    "pedro sebastian harald margrethe beatrix constantine justinian theodosius boris simeon "
    "amenhotep thutmose seti mehmed murad selim suleiman abdullah hussein hassan mohammed "
    "muhammad stephen edmund egbert ethelred canute conrad joseph franz friedrich sixtus julius "
    "adrian celestine boniface calixtus martin eugene nikolaus menelik rama kamehameha anne "
    "isabella joan eric erik magnus valdemar sigismund casimir ladislaus wenceslaus bela geza "
    "matthias antiochus seleucus cyrus artaxerxes philippe willem rainier".split()
)
# Names that precede "II", "III", "IV" of a person without a crown.
_GIVEN_NAMES = frozenset(
    "john james robert william michael thomas charles joseph richard daniel paul mark donald "
    "steven kenneth george andrew edward henry samuel walter arthur frank sammy robert thurston "
    "davis philip harry jack benjamin martin adam alan carl peter".split()
)
# After "Part I" and the like, these verbs make the "I" the pronoun.
_PRONOUN_VERBS = frozenset(
    "am have had do did will would can could shall should may might must love like liked want "
    "need know knew think thought see saw read said say told tell wrote write chose choose made "
    "make took take got get went go came come felt feel found find gave give left kept keep "
    "lost met ran run sang sat sent slept spoke stood swam taught wore won hope wish mean meant "
    "play understand believe remember use prefer enjoy hate miss recommend suggest guess own "
    "never always still also just really only once first already even often bought built drew "
    "drove ate drank fell flew grew heard held hid hit hurt led lent paid put rode sold shot "
    "spent threw woke broke began brought caught cut don't didn't can't couldn't won't wouldn't "
    "wasn't haven't hadn't shouldn't doubt expect forget forgot describe describe admire speak "
    "sing live work watch wear eat call ask".split()
)
_FOLLOWS_NUMERAL = frozenset("was is of and in to or has by at on from with covers begins".split())
_WORDS = frozenset("MIX DIM MID MILD VIM LIVID CIVIC MILL DILL CIVIL VIVID ID IV DIV XI".split())
_YEAR_BEFORE = frozenset("in since of copyright from year until by to before after and".split())


def verbalize_roman(text: str, start: int, end: int) -> tuple[list[str], int] | None:
    """Read the Roman numeral at `start` to `end`, if it is one there.

    Returns:
        Its words and the position after it; None where the letters are a word, initials or the
        pronoun "I".
    """
    letters = text[start:end].replace("’", "'")
    stem = letters.removesuffix("'s")
    ordinal = ROMAN_ORDINAL.fullmatch(stem)
    if ordinal and (value := parse_roman(ordinal[1])):
        return to_ordinal(str(value)), end  # "the XVIIIth century"
    value = parse_roman(stem)
    if not value:
        return None
    last = _RANGE_END.match(text, end)
    if last and _is_numbered(find_previous_word(text, start)) and (to := parse_roman(last[1])):
        return [*to_cardinal(str(value)), "to", *to_cardinal(str(to))], last.end()
    if _begins_heading(text, start, end, stem):
        return to_cardinal(str(value)), end
    possessive = letters[len(stem) :]
    words = _verbalize_after_name(text, start, end, stem)
    if words is None:
        return None
    return [*words[:-1], words[-1] + possessive], end


def _is_numbered(name: str) -> bool:
    """Return whether a word is "Chapter" or the like, or its plural."""
    word = name.rstrip(".").title()
    return word in lexicon.NUMBERED_NOUNS or word.removesuffix("s") in lexicon.NUMBERED_NOUNS


def _begins_heading(text: str, start: int, end: int, stem: str) -> bool:
    """Return whether a numeral with a period begins a line: "II. The Storm"."""
    line_start = text.rfind("\n", max(start - 3, 0), start) + 1
    if start >= 3 and line_start == 0:
        return False
    if text[max(line_start, start - 3) : start].strip("( \t") or not _HEADING_END.match(text, end):
        return False
    if len(stem) > 1:
        return True
    # "V. Lee wrote to me." is a name
    line = text[end + 1 : end + _LINE].split("\n")[0].strip()
    return not line.endswith((".", "!", "?", ",")) and len(line.split()) <= 8


def _verbalize_after_name(text: str, start: int, end: int, stem: str) -> list[str] | None:
    value = parse_roman(stem)
    assert value
    number = str(value)
    name = find_previous_word(text, start)
    before = text[start - 1 : start]
    if not name or before not in (" ", "\u00a0", "-"):
        is_year = len(stem) > 3 and 1100 <= value < 2100
        return to_year(number) if is_year and not before.isalnum() else None
    key = name.rstrip(".").lower()
    if name == "War" and text[max(start - 10, 0) : start].startswith("World"):
        return to_cardinal(number)
    if _is_numbered(name):
        return to_cardinal(number) if _counts(text, end, name, stem) else None
    if 1100 <= value < 2100 and (len(stem) > 3 or (len(stem) > 2 and key in _YEAR_BEFORE)):
        return to_year(number)
    is_counted = name in ("the", "The") and len(stem) > 1
    if before == " " and is_counted and _COUNTED_AFTER.match(text, end):
        return to_ordinal(number)  # "the XIX century"
    if stem in _WORDS and stem not in ("IV", "XI"):
        return None
    if _is_ruler(text, start, key) and name[0].isupper():
        follows = _NEXT_WORD.match(text, end)
        is_bare = stem == "I" and not _titled(text, start) and not _opens_sentence(text, start, end)
        if is_bare and follows and follows[1].lower() not in _FOLLOWS_NUMERAL:
            return None
        return ["the", *to_ordinal(number)]
    if stem == "V" and _ends_title(text, start, end):
        return to_cardinal(number)
    is_name = name[:1].isupper() and len(name) > 1 and name not in lexicon.SENTENCE_STARTERS
    if len(stem) > 1 and is_name and not name.isupper():
        if _is_person(text, start):
            return ["the", *to_ordinal(number)]
        return to_cardinal(number)
    return None


def _counts(text: str, end: int, name: str, stem: str) -> bool:
    """Return whether a numeral counts a chapter or the like, and is not the pronoun."""
    if len(stem) > 1:
        return True
    following = _NEXT_WORD.match(text, end)
    word = following[1].lower().replace("’", "'") if following else ""
    if stem != "I":
        return name[0].isupper() or not word
    if text[end : end + 1] in ("'", "’"):
        return False
    if name[0].islower():
        is_one = _DETERMINED.search(text, max(end - 40, 0), end) is not None
        return (not word and not (is_one and text[end : end + 1] == ",")) or word == "of"
    is_verb = word in _PRONOUN_VERBS or (word.endswith("ed") and len(word) > 3)
    return not is_verb


_COUNTED_AFTER = re.compile(r"\s(?:century|dynasty|olympiad|congress|corps|army|legion|arr)", re.I)
_DETERMINED = re.compile(r"\b(?:the|an?|this|that|every|each|one)\s[a-z]+\sI$", re.I)
_TITLE_BEFORE = re.compile(r"(?:^|[^.!?]\s|[\"“*_])[A-Z][a-z]+\s[A-Z][a-z]+\s$")
_NAME_AFTER = re.compile(r"\.?\s[A-Z]|['’.]\w")
_FIRST_NAME = re.compile(r"(?:^|[.!?\n][\"”’)]?\s)[^\W\d_]+\s$")
_PAST_AFTER = re.compile(r"\s(?:was|never|ruled|reigned|died|became|had|married|\w{2,12}ed)\b")


def _ends_title(text: str, start: int, end: int) -> bool:
    """Return whether a "V" follows the words of a title: "Grand Theft Auto V"."""
    is_title = _TITLE_BEFORE.search(text, max(start - 40, 0), start) is not None
    return is_title and not _NAME_AFTER.match(text, end)


def _opens_sentence(text: str, start: int, end: int) -> bool:
    """Return whether a ruler's name begins a sentence in the past: "Elizabeth I never married"."""
    begins = _FIRST_NAME.search(text, max(start - 20, 0), start) is not None
    return begins and _PAST_AFTER.match(text, end) is not None


def _titled(text: str, start: int) -> bool:
    match = _TWO_WORDS_BEFORE.search(text, max(start - 40, 0), start)
    return match is not None and match[1].lower() in _RULERS


def _is_ruler(text: str, start: int, key: str) -> bool:
    return key in _REGNAL_NAMES or _titled(text, start)


def _is_person(text: str, start: int) -> bool:
    """Return whether the two words before are a person's name: "John Smith III"."""
    match = _TWO_WORDS_BEFORE.search(text, max(start - 40, 0), start)
    if not match:
        return False
    first = match[1].rstrip(".").lower()
    return first in _GIVEN_NAMES or first in ("mr", "dr", "jr", "sir")
