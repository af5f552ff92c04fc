"""How often challenges were issued and statements tried: entered in the ledger, and limited.

An attacker with recordings of some of the words could ask for challenges until one has only those,
and could try a statement that passes one time in three until it passes. So every challenge and
every try is a line of the ledger before it counts, as the sound is for a text.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from valle.errors import ConsentError
from valle.trust import ledger, private_files
from valle.trust.ledger_line import verify_line

MAX_TRIES = 3  # of one statement; then there are other words
FREE_CHALLENGES = 3  # for one name within `WINDOW`; each further one waits twice as long
FIRST_WAIT, LONGEST_WAIT = 60.0, 3600.0  # seconds
MAX_CHALLENGES = 60  # within an hour, whatever the names
WINDOW = 86_400.0  # seconds after which a challenge is forgotten
CHALLENGE, TRY, REFUSAL = "challenge", "try", "refuse"
"""Events of the ledger."""


def record_challenge(speaker: str, challenge_id: str) -> int:
    """Enter in the ledger that a challenge is issued for a speaker.

    Returns:
        Which challenge this is for that name since its last consent, within a day.

    Raises:
        ConsentError: It is too early for another; the message says how long to wait.
    """
    with private_files.lock_folder():  # nobody else asks between the count and the entry
        number = 1 + _count_challenges(speaker)
        ledger.append(CHALLENGE, speaker=speaker, challenge=challenge_id)
    return number


def _count_challenges(speaker: str) -> int:
    """Count the challenges that were issued for a name since its last consent, within a day.

    Raises:
        ConsentError: It is too early for another.
    """
    now = ledger.parse_time(ledger.now())
    times: list[float] = []
    recent = 0
    for line in _read_events(CHALLENGE, "enroll"):
        when = ledger.parse_time(line["time"])
        if line["what"] == "enroll":
            if line.get("speaker") == speaker:
                times.clear()
            continue
        recent += now - when < LONGEST_WAIT
        if line["speaker"] == speaker and now - when < WINDOW:
            times.append(when)
    wait = 0.0
    if len(times) >= FREE_CHALLENGES:
        wait = times[-1] + min(LONGEST_WAIT, FIRST_WAIT * 2 ** (len(times) - FREE_CHALLENGES)) - now
    if recent >= MAX_CHALLENGES:
        wait = max(wait, FIRST_WAIT)
    if wait > 0:
        raise ConsentError(
            f"{len(times)} challenges were issued for {speaker!r} today, and the next can be "
            f"issued in {_format_wait(wait)}: read the statement that is open, which has "
            f"{MAX_TRIES} tries"
        )
    return len(times)


def record_try(challenge_id: str) -> int:
    """Enter in the ledger that a statement is tried; returns which try this is, from 1.

    It counts from here on, whatever becomes of it.

    Raises:
        ConsentError: It was tried `MAX_TRIES` times.
    """
    with private_files.lock_folder():  # nobody else tries between the count and the entry
        number = 1 + sum(line["challenge"] == challenge_id for line in _read_events(TRY))
        if number > MAX_TRIES:
            raise ConsentError(
                f"the statement of challenge {challenge_id} was tried {MAX_TRIES} times; "
                "`valle consent new` gives other words"
            )
        ledger.append(TRY, challenge=challenge_id, number=number)
    return number


def record_refusal(challenge_id: str, number: int, scores: dict[str, Any]) -> None:
    """Enter in the ledger that a try was refused, with what was measured."""
    ledger.append(REFUSAL, challenge=challenge_id, number=number, scores=scores)


def _read_events(*events: str) -> Iterator[dict[str, Any]]:
    """Yield the ledger's lines of these events whose signatures are valid."""
    key_id = ledger.get_signing_key().id
    names = [f'"what":"{event}"'.encode() for event in events]
    for raw_line in ledger.read_raw_lines():
        # A search in bytes first: of a long ledger, few signatures have to be verified.
        if any(name in raw_line for name in names):
            line = verify_line(raw_line, key_id)
            if line is not None and line["what"] in events:
                yield line


def _format_wait(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
