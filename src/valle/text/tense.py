"""Whether "read" is the present or the past: by auxiliaries, subjects, times and other verbs."""

from __future__ import annotations

from collections.abc import Sequence

from valle.text.grammar import (
    BE,
    DETERMINERS,
    HAVE,
    MODALS,
    PLURAL_SUBJECTS,
    PRONOUNS,
    Context,
    begins_object,
    is_start,
)

_FREQUENCY = frozenset("not never always often usually rarely sometimes".split())
_AUXILIARIES = MODALS - _FREQUENCY
_NOUN_BEFORE = frozenset("a the good great must quick easy interesting long fun".split())
_NOUN_AFTER = frozenset(("", ",", "for", "is", "was", "of"))
_SINGULAR_SUBJECTS = frozenset("he she it everyone nobody somebody someone one that".split())


def is_past(context: Context) -> bool:
    """Return whether "read" is the past tense or the participle."""
    words, at = context.words, context.at
    before, distance = context.skip_adverbs()
    second = context.before(distance + 1)
    if before in _AUXILIARIES or (before == "not" and second in _AUXILIARIES):
        return False
    if before in HAVE or before in BE or second in HAVE:
        return True
    if before == "not" and second in BE:
        return True
    if before in _NOUN_BEFORE and context.after() in _NOUN_AFTER:
        return False
    if before in ("well", "widely", "most", "best") and second in BE | DETERMINERS:
        return True
    if _is_inverted(context, distance):
        return False
    if before in ("and", "or", "then", ","):
        return _follows_past_verb(context)
    if is_start(before):
        return False
    if before == "who" or (before == "that" and _is_plural(second)):
        return not _is_plural(second) or _has_past_time(words) or _has_past_form(words, at)
    if before in PLURAL_SUBJECTS or _is_plural(before) or before == "students":
        is_habit = any(word in _HABITS for word in words)
        return _has_past_time(words) or (_has_past_form(words, at) and not is_habit)
    return True  # after a subject in the singular the present would be "reads"


def _is_inverted(context: Context, distance: int) -> bool:
    """Return whether an auxiliary stands before the subject: "did you read"."""
    if context.before(distance) not in PRONOUNS | frozenset(("him", "her", "them", "me", "us")):
        return False
    return any(word in _INVERSIONS for word in context.words[max(context.at - 4, 0) : context.at])


def _follows_past_verb(context: Context) -> bool:
    """Return whether a verb before "and" is in the past: "sat down and read"."""
    words, at = context.words, context.at
    earlier = words[max(at - 8, 0) : at - 1]
    if any(word in _AUXILIARIES for word in earlier) or not earlier:
        return False
    if any(_is_past_form(word) for word in earlier):
        return True
    return _has_past_time(words) and not begins_object(context.after())


_INVERSIONS = frozenset(
    "did do does didn't don't can could will would should may might must let help helped".split()
)
_HABITS = frozenset(
    "every always often usually daily never everyday sometimes now today whenever each nightly "
    "tonight tomorrow".split()
)
_PAST_VERBS = frozenset(
    "was were had did went came saw said told took gave got made found thought knew sat stood "
    "wrote left felt kept began heard ran lay brought bought spoke ate drank sent met wept fell "
    "slept taught grew woke lost led held".split()
)


def _is_plural(word: str) -> bool:
    return word in ("people", "children", "men", "women") or (
        word.endswith("s") and not word.endswith(("ss", "us", "is", "'s")) and len(word) > 3
    )


def _is_past_form(word: str) -> bool:
    return word in _PAST_VERBS or (
        word.endswith("ed") and len(word) > 4 and word not in ("need", "indeed", "speed", "hundred")
    )


def _has_past_form(words: Sequence[str], at: int) -> bool:
    return any(_is_past_form(word) for index, word in enumerate(words) if index != at)


def _has_past_time(words: Sequence[str]) -> bool:
    past = any(
        word in ("yesterday", "ago", "last", "earlier", "previously", "once", "already")
        for word in words
    )
    years = any(word in ("nineteen", "eighteen") for word in words)
    return past or years
