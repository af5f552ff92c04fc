"""Words in capitals that are also initialisms: US, WHO, IT, by what stands around them."""

from __future__ import annotations

from valle.text import lexicon
from valle.text.abbreviations import find_next_word
from valle.text.context import find_previous_word

_IT_NOUNS = frozenset(
    "department support team staff manager job jobs industry professional professionals security "
    "infrastructure systems services guy guys consultant consultants specialist specialists worker "
    "workers budget skills sector company companies director desk equipment project projects "
    "people expert experts firm help training policy".split()
)
_WHO_VERBS = frozenset(
    "guidelines director says said declared recommends recommended warns warned reported reports "
    "official officials data chief report estimates estimate announced".split()
)
_TEST_NOUNS = frozenset("score scores test tests exam exams prep results".split())
_OBJECT_VERBS = frozenset(
    "let tell told give gave help show ask asked call join both trust follow contact with need "
    "love hate leave left made make saw see know".split()
)
_POSSESSIVES = frozenset("our their your my his her an".split())
_PRONOUNS = frozenset("i he she they we you it who that cat dog".split())


def is_in_capitals(text: str) -> bool:
    """Return whether a whole text is in capitals, and not only initialisms: "STOP IT NOW"."""
    words = text[:100_000].split(maxsplit=12)[:12]
    if len(words) < 3:
        return False
    letters = [char for char in text[:100_000] if char.isalpha()]
    if sum(char.isupper() for char in letters) <= 0.7 * len(letters):
        return False
    return len(words) > 11 or not any(word.islower() for word in words)


def is_initialism(text: str, start: int, end: int, all_capitals: bool) -> bool | None:
    """Return whether the capitals at `start` to `end` are letters to spell out.

    None where what stands around them does not tell.
    """
    capitals = text[start:end]
    before = find_previous_word(text, start).rstrip(".").lower()
    following = find_next_word(text, end)
    after = following.lower()
    if capitals == "US":
        return _is_country(text, end, before, following, all_capitals)
    if capitals == "WHO":
        return not all_capitals and (before == "the" or after in _WHO_VERBS)
    if capitals == "IT":
        is_field = before in _POSSESSIVES or (before == "the" and after != "is")
        ends = before == "in" and not following
        return (is_field or ends or after in _IT_NOUNS) and not all_capitals
    if capitals == "SAT":
        return (before in ("the", "an", "my", "her", "his") or after in _TEST_NOUNS) and (
            not all_capitals
        )
    if capitals == "ACT":
        return False
    if capitals == "LED":
        return before not in _PRONOUNS
    if capitals in ("PA", "MA"):
        return not all_capitals and before not in ("my", "our", "hey", "oh")
    return None


def _is_country(text: str, end: int, before: str, following: str, all_capitals: bool) -> bool:
    if not all_capitals:
        return before not in _OBJECT_VERBS or following[:1].isupper()
    if before in ("the", "in") or following in lexicon.SPELLED_OUT:
        return True
    if following in ("AND", "OR"):
        other = find_next_word(text, text.index(following, end) + len(following))
        return other in lexicon.SPELLED_OUT
    return False
