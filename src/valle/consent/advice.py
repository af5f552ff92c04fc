"""Advice for a person whose statement was not accepted: why, by how much, and what to do."""

from __future__ import annotations

from valle.consent.attempts import MAX_TRIES
from valle.consent.verification import (
    NOT_CHECKED,
    NOT_RECOGNIZED,
    OTHER_PHRASE_VOICE,
    OTHER_SPEAKER,
    Condition,
    Scores,
)
from valle.errors import ConsentError

_WORDS = "read it word for word, with a short pause after each of the four words"
_VOICE = "read it with the microphone of the recording, as near to it, and as loud"
_QUIET = "record it in one go, in a quiet place, without an automatic level"
_NEW = "read it aloud yourself, into a microphone, again"
# By the beginning of a fault; the advice for the first faults comes first.
_ADVICE = (
    (NOT_RECOGNIZED, "read the whole statement, as it is printed and nothing else"),
    ("the words for today are not", _WORDS),
    ("of the words for today", _WORDS),
    ("other words match", _WORDS),
    (OTHER_SPEAKER, _VOICE),
    (OTHER_PHRASE_VOICE, "read the four words more slowly, in the same voice as the rest"),
    ("parts of the recording", "use a recording in which one person speaks"),
    ("its parts are not in one voice", _VOICE),
    ("its background changes", _QUIET),
    ("it was used before", _NEW),
    ("it sounds synthetic", _NEW),
    (NOT_CHECKED, "use valle's own bundle of models"),
)


class StatementRefusedError(ConsentError):
    """A statement was not accepted; what was wrong and what to do is there one by one, too."""

    faults: tuple[str, ...] = ()
    """Why it was not accepted."""
    advice: tuple[str, ...] = ()
    """What to do when it is recorded again."""
    tries_left: int = 0
    """How often the same statement may still be recorded."""


def refuse_statement(name: str, scores: Scores, number: int, until: str) -> StatementRefusedError:
    """Return the error for a statement that was not accepted.

    Args:
        name: The file.
        scores: What was measured.
        number: Which try this was, from 1.
        until: When the challenge expires.
    """
    failed = [condition for condition in scores.list_conditions() if not condition.holds]
    reasons = "; ".join(dict.fromkeys(map(_describe, failed)))
    advice = dict.fromkeys(
        text
        for beginning, text in _ADVICE
        if any(condition.fault.startswith(beginning) for condition in failed)
    )
    message = f"{name} is not accepted as consent: {reasons}. This was try {number} of {MAX_TRIES}"
    if number >= MAX_TRIES:
        message += ", the last: `valle consent new` gives other words"
    else:
        message += f", and the statement is open until {until} (UTC). Record it again: "
        message += ", and ".join(advice)
    error = StatementRefusedError(message)
    error.faults = tuple(dict.fromkeys(condition.fault for condition in failed))
    error.advice, error.tries_left = tuple(advice), max(0, MAX_TRIES - number)
    return error


def _describe(condition: Condition) -> str:
    if condition.score is None:
        return condition.fault
    needed = "at least" if condition.is_minimum else "at most"
    return f"{condition.fault} ({condition.score:.2f}; {needed} {condition.limit:g} is needed)"
