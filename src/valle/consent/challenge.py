"""Challenges: statements that a speaker reads aloud, with words that nobody could know before.

A recording of the speaker consenting to something, at some time, is easily obtained. One in which
these words are spoken has to be made now. So a challenge is valid for minutes, and is used once.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from valle.consent import attempts
from valle.consent.words import WORDS
from valle.errors import ConsentError, UsageError
from valle.trust import ledger, private_files
from valle.trust.canonical_json import canonicalize
from valle.trust.private_files import StrictModel
from valle.trust.receipts import Scope

PHRASE_WORDS = 4  # in order, of 203 without repeats: 30 bits
LIFETIME = timedelta(minutes=15)  # to read the statement, send the recording, and enroll
LANGUAGES = {"en-us": "American English"}
DEFAULT_USER, DEFAULT_PURPOSE = "the owner of this computer", "personal use"

_ID = re.compile(r"[0-9a-f]{16}")
_MAX_NAME, _MAX_TEXT = 64, 200  # characters of a speaker's name; of a user or a purpose
_DAYS = re.compile(r"[0-9]{1,4}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Statement:
    """A text to read aloud, and the character spans of the phrase that proves it is new."""

    text: str
    phrase: tuple[tuple[int, int], ...]

    def with_words(self, words: Sequence[str]) -> Statement:
        """Return the statement with other words in place of the phrase."""
        text, phrase, copied = "", [], 0
        for (start, end), word in zip(self.phrase, words, strict=True):
            text += self.text[copied:start]
            phrase.append((len(text), len(text) + len(word)))
            text += word
            copied = end
        return Statement(text + self.text[copied:], tuple(phrase))

    def phrase_text(self) -> str:
        """Return the text from the phrase's first word to its last."""
        return self.text[self.phrase[0][0] : self.phrase[-1][1]]


class Challenge(StrictModel):
    """A statement that waits to be read aloud."""

    id: str
    speaker: str
    """Who is to read it, as the statement says it."""
    text: str
    """The whole statement; it ends with the phrase."""
    phrase: list[str]
    scope: Scope
    created: str
    expires: str
    """Until when it can be used."""
    clock_changes: int = 0
    """How often the clock had been set back when it was created: setting it back once more does
    not open the challenge again."""
    number: int = 1
    """Which challenge this is for the speaker, within a day and since their last consent."""

    @property
    def statement(self) -> Statement:
        """The statement with the spans of the phrase's words."""
        start = self.text.rindex(_join_phrase(self.phrase))
        spans = []
        for word in self.phrase:
            start = self.text.index(word, start)
            spans.append((start, start + len(word)))
            start += len(word)
        return Statement(self.text, tuple(spans))


def create(
    speaker: str,
    user: str = DEFAULT_USER,
    purpose: str = DEFAULT_PURPOSE,
    languages: str = "en-us",
    expires: str | None = None,
) -> Challenge:
    """Create a challenge, which stays open for 15 minutes; an open one of that name is closed.

    Args:
        speaker: The speaker's name, as it is read aloud.
        user: Who may use the voice.
        purpose: What for.
        languages: Languages that the voice may speak, separated by commas.
        expires: Last day of the consent, as YYYY-MM-DD or in days from today; None for no end.

    Raises:
        UsageError: An argument cannot be read aloud or understood.
        ConsentError: Challenges were issued too often, see `valle.consent.attempts`.
        OutputError: The challenge cannot be saved.
    """
    speaker = _check_speakable(speaker, "--speaker", _MAX_NAME)
    scope = Scope(
        user=_check_speakable(user, "--user", _MAX_TEXT),
        purpose=_check_speakable(purpose, "--purpose", _MAX_TEXT),
        languages=_parse_languages(languages),
        expires=_parse_last_day(expires),
    )
    challenge_id = secrets.token_hex(8)
    number = attempts.record_challenge(speaker, challenge_id)  # before anybody sees the words
    phrase = secrets.SystemRandom().sample(WORDS, PHRASE_WORDS)
    clock_changes = ledger.read_head().clock_changes
    created = ledger.now()
    challenge = Challenge(
        id=challenge_id,
        speaker=speaker,
        text=_compose_text(speaker, scope, phrase),
        phrase=phrase,
        scope=scope,
        created=created,
        expires=ledger.format_time(ledger.parse_time(created) + LIFETIME.total_seconds()),
        clock_changes=clock_changes,
        number=number,
    )
    with private_files.lock_folder() as folder:
        challenges = folder / "challenges"
        challenges.mkdir(mode=private_files.FOLDER_MODE, exist_ok=True)
        for path in challenges.glob("*.json"):
            other = _read(path)
            if other is None or other.speaker == speaker or not _is_open(other, clock_changes):
                path.unlink(missing_ok=True)
        private_files.write_private(
            challenges / f"{challenge.id}.json", canonicalize(challenge.model_dump())
        )
    return challenge


def find(challenge_id: str | None, speaker: str | None) -> Challenge:
    """Find an open challenge.

    Args:
        challenge_id: Its id; None for the newest of the speaker.
        speaker: Who is to read it; None for any, if only one is open.

    Raises:
        ConsentError: There is no such challenge, or it is not open any more.
    """
    clock_changes = ledger.read_head().clock_changes
    speaker = None if speaker is None else normalize_speaker(speaker)
    remedy = f'`valle consent new --speaker "{speaker or "NAME"}"` creates one'
    if challenge_id is not None:
        return _find_by_id(challenge_id, speaker, remedy, clock_changes)
    challenges = [_read(path) for path in _folder().glob("*.json")]
    matches = [
        challenge
        for challenge in challenges
        if challenge is not None
        and _is_open(challenge, clock_changes)
        and speaker in (None, challenge.speaker)
    ]
    if speaker is None and len(matches) > 1:
        raise ConsentError("several challenges are open: say which one with --challenge ID")
    if not matches:
        whose = f" for {speaker!r}" if speaker is not None else ""
        minutes = int(LIFETIME.total_seconds()) // 60
        raise ConsentError(f"no challenge{whose} is open (they expire in {minutes} min); {remedy}")
    return max(matches, key=lambda challenge: (challenge.created, challenge.id))


def consume(challenge: Challenge) -> None:
    """Close a challenge for good.

    Raises:
        ConsentError: It was used before.
    """
    try:
        (_folder() / f"{challenge.id}.json").unlink()
    except FileNotFoundError:
        raise ConsentError(f"challenge {challenge.id} was used already; make a new one") from None


def _find_by_id(
    challenge_id: str, speaker: str | None, remedy: str, clock_changes: int
) -> Challenge:
    if not _ID.fullmatch(challenge_id):  # it becomes part of a path
        raise ConsentError(
            f"{challenge_id!r} is not the id of a challenge, which has 16 hexadecimal digits; "
            f"{remedy}"
        )
    challenge = _read(_folder() / f"{challenge_id}.json")
    if challenge is None:
        raise ConsentError(
            f"challenge {challenge_id} does not exist, or was used already; {remedy}"
        )
    if not _is_open(challenge, clock_changes):
        raise ConsentError(
            f"challenge {challenge_id} has expired: it was open until {challenge.expires} (UTC); "
            f"{remedy}"
        )
    if speaker is not None and speaker != challenge.speaker:
        raise ConsentError(
            f"challenge {challenge_id} is for the speaker {challenge.speaker!r}, not {speaker!r}"
        )
    return challenge


def _folder() -> Path:
    return private_files.folder() / "challenges"


def _read(path: Path) -> Challenge | None:
    with contextlib.suppress(OSError, ValidationError):
        return Challenge.model_validate_json(path.read_bytes())
    return None


def _is_open(challenge: Challenge | None, clock_changes: int) -> bool:
    return (
        challenge is not None
        and challenge.clock_changes == clock_changes
        and challenge.created <= ledger.now() <= challenge.expires
    )


def _compose_text(speaker: str, scope: Scope, phrase: list[str]) -> str:
    languages = " and ".join(LANGUAGES[language] for language in scope.languages or ())
    end = ""
    if scope.expires is not None:
        last_day = date.fromisoformat(scope.expires)
        end = f" This ends after {last_day:%B} {last_day.day}, {last_day.year}."
    return (
        f"My name is {speaker}. I agree that {scope.user} may make a copy of my voice and let "
        f"it say new things in {languages}, for {scope.purpose}.{end} "
        f"I say so of my own free will, and my words for today are: {_join_phrase(phrase)}."
    )


def _join_phrase(phrase: list[str]) -> str:
    return ", ".join(phrase)


def _check_speakable(value: str, option: str, max_length: int) -> str:
    value = normalize_speaker(value)
    if not value or len(value) > max_length or not value.isprintable():
        raise UsageError(f"{option} takes 1 to {max_length} printable characters")
    if "[[" in value or "]]" in value:  # IPA: it would be verified otherwise than it is read
        raise UsageError(f"{option} is plain text: leave the square brackets out")
    return value


def normalize_speaker(text: str) -> str:
    """Return a name in the form in which equal names are equal strings, for use in a sentence."""
    return " ".join(unicodedata.normalize("NFC", text).split()).rstrip(".")


def _parse_languages(value: str) -> list[str]:
    languages = list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown or not languages:
        raise UsageError(
            f"--languages takes {', '.join(LANGUAGES)}, not {', '.join(unknown) or 'nothing'}"
        )
    return languages


def _parse_last_day(value: str | None) -> str | None:
    if value is None:
        return None
    today = datetime.fromisoformat(ledger.now()[:10]).date()
    try:
        if _DAYS.fullmatch(value):
            last_day = today + timedelta(days=int(value))
        elif _DATE.fullmatch(value):
            last_day = date.fromisoformat(value)
        else:
            raise ValueError
    except ValueError:
        raise UsageError(
            f"--expires takes a date such as 2027-01-31, or a number of days, not {value!r}"
        ) from None
    if last_day < today:
        raise UsageError(f"--expires {value} is in the past")
    return last_day.isoformat()
