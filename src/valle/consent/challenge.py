"""Challenges: the statement that a speaker reads aloud, with words that nobody could know before.

A recording of the speaker agreeing to something, at some time, is easily had; one in which these
very words are spoken has to be made now. So a challenge lives for minutes and is used once.
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from pydantic import ValidationError

from valle.consent.words import WORDS
from valle.errors import ConsentError, UsageError
from valle.trust import ledger, private_files
from valle.trust.canonical_json import canonical
from valle.trust.private_files import Strict
from valle.trust.receipts import Scope
from valle.voices.voice import check_name

PHRASE_WORDS = 4  # in order, of 203 without repeats: 30 bits
LIFE = timedelta(minutes=15)  # to read the statement, send the recording, and enroll
LANGUAGES = {"en-us": "American English"}
USER, PURPOSE = "the owner of this computer", "personal use"

_ID = re.compile(r"[0-9a-f]{16}")
_LONGEST = 200  # characters of a user or a purpose
_DAYS = re.compile(r"[0-9]{1,4}")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Statement:
    """What is to be said, and the spans in it of the words that prove it was said for this."""

    text: str
    phrase: tuple[tuple[int, int], ...]

    def with_words(self, words: Sequence[str]) -> Statement:
        """The same statement with other words in the places of the phrase's."""
        text, phrase, done = "", [], 0
        for (start, end), word in zip(self.phrase, words, strict=True):
            text += self.text[done:start]
            phrase.append((len(text), len(text) + len(word)))
            text += word
            done = end
        return Statement(text + self.text[done:], tuple(phrase))

    def phrase_text(self) -> str:
        """The part of the statement from the phrase's first word to its last."""
        return self.text[self.phrase[0][0] : self.phrase[-1][1]]


class Challenge(Strict):
    """A statement that waits to be read aloud."""

    id: str
    name: str
    """Whose voice it is for."""
    text: str
    """The whole statement; it ends with the phrase."""
    phrase: list[str]
    scope: Scope
    made: str
    ends: str
    """Until when it can be used."""

    @property
    def statement(self) -> Statement:
        """The statement with the places of the phrase's words."""
        start = self.text.rindex(_said(self.phrase))
        spans = []
        for word in self.phrase:
            start = self.text.index(word, start)
            spans.append((start, start + len(word)))
            start += len(word)
        return Statement(self.text, tuple(spans))


def new(
    name: str,
    user: str = USER,
    purpose: str = PURPOSE,
    languages: str = "en-us",
    expires: str | None = None,
) -> Challenge:
    """Make a challenge and keep it open for 15 minutes.

    Args:
        name: of the speaker, and of the voice that is to be enrolled.
        user: who may use the voice.
        purpose: what for.
        languages: that it may speak, separated by commas.
        expires: the last day of the agreement as YYYY-MM-DD, or in how many days that is.

    Raises UsageError for what cannot be said or meant, OutputError where it cannot be kept.
    """
    check_name(name)
    scope = Scope(
        user=_speakable(user, "--user"),
        purpose=_speakable(purpose, "--purpose"),
        languages=_languages(languages),
        expires=_last_day(expires),
    )
    phrase = secrets.SystemRandom().sample(WORDS, PHRASE_WORDS)
    ledger.end()  # refuses where the clock was set back
    made = ledger.now()
    challenge = Challenge(
        id=secrets.token_hex(8),
        name=name,
        text=_text(name, scope, phrase),
        phrase=phrase,
        scope=scope,
        made=made,
        ends=ledger.stamp(ledger.seconds(made) + LIFE.total_seconds()),
    )
    with private_files.locked() as folder:
        place = folder / "challenges"
        place.mkdir(mode=private_files.FOLDER_MODE, exist_ok=True)
        for path in place.glob("*.json"):
            if not _is_open(_read(path)):
                path.unlink(missing_ok=True)
        private_files.write_private(
            place / f"{challenge.id}.json", canonical(challenge.model_dump())
        )
    return challenge


def find(challenge: str | None, name: str | None) -> Challenge:
    """The open challenge of that id, or the newest that is for `name`.

    Without either, the only one that is open. Raises ConsentError if there is none such.
    """
    ledger.end()
    how = f'`valle consent new --name "{name or "NAME"}"` makes one'
    if challenge is not None:
        return _named(challenge, name, how)
    found = [one for path in _folder().glob("*.json") if _is_open(one := _read(path))]
    own = [one for one in found if one is not None and name in (None, one.name)]
    if name is None and len(own) > 1:
        raise ConsentError("several challenges are open: say which one with --challenge ID")
    if not own:
        whose = f" for {name!r}" if name is not None else ""
        raise ConsentError(f"no challenge{whose} is open, each lives {_minutes()} minutes; {how}")
    return max(own, key=lambda one: (one.made, one.id))


def use_up(challenge: Challenge) -> None:
    """Close a challenge for good. Raises ConsentError if it was closed before."""
    try:
        (_folder() / f"{challenge.id}.json").unlink()
    except FileNotFoundError:
        raise ConsentError(f"challenge {challenge.id} was used already; make a new one") from None


def _named(identity: str, name: str | None, how: str) -> Challenge:
    if not _ID.fullmatch(identity):  # it names a file
        raise ConsentError(f"{identity!r} is no challenge: 16 hexadecimal digits name one; {how}")
    found = _read(_folder() / f"{identity}.json")
    if found is None:
        raise ConsentError(f"challenge {identity} is not there, or was used already; {how}")
    if not _is_open(found):
        raise ConsentError(
            f"challenge {identity} has expired: it lived until {found.ends} (UTC); {how}"
        )
    if name is not None and name != found.name:
        raise ConsentError(f"challenge {identity} is for the voice {found.name!r}, not {name!r}")
    return found


def _folder() -> Path:
    return private_files.folder() / "challenges"


def _read(path: Path) -> Challenge | None:
    with contextlib.suppress(OSError, ValidationError):
        return Challenge.model_validate_json(path.read_bytes())
    return None


def _is_open(challenge: Challenge | None) -> bool:
    return challenge is not None and challenge.made <= ledger.now() <= challenge.ends


def _minutes() -> int:
    return int(LIFE.total_seconds()) // 60


def _text(name: str, scope: Scope, phrase: list[str]) -> str:
    spoken = " and ".join(LANGUAGES[language] for language in scope.languages or ())
    ends = ""
    if scope.expires is not None:
        last = date.fromisoformat(scope.expires)
        ends = f" This ends after {last:%B} {last.day}, {last.year}."
    return (
        f"My name is {name}. I agree that {scope.user} may make a copy of my voice and let "
        f"it say new things in {spoken}, for {scope.purpose}.{ends} "
        f"I say so of my own free will, and my words for today are: {_said(phrase)}."
    )


def _said(phrase: list[str]) -> str:
    return ", ".join(phrase)


def _speakable(value: str, option: str) -> str:
    value = " ".join(value.split())
    if not value or len(value) > _LONGEST or not value.isprintable():
        raise UsageError(f"{option} takes 1 to {_LONGEST} printable characters")
    if "[[" in value or "]]" in value:  # would be spoken otherwise than it is read
        raise UsageError(f"{option} is plain text: leave the square brackets out")
    return value.rstrip(".")


def _languages(value: str) -> list[str]:
    found = list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
    unknown = [language for language in found if language not in LANGUAGES]
    if unknown or not found:
        raise UsageError(
            f"--languages takes {', '.join(LANGUAGES)}, not {', '.join(unknown) or 'nothing'}"
        )
    return found


def _last_day(value: str | None) -> str | None:
    if value is None:
        return None
    today = datetime.fromisoformat(ledger.now()[:10]).date()
    try:
        if _DAYS.fullmatch(value):
            last = today + timedelta(days=int(value))
        elif _DATE.fullmatch(value):
            last = date.fromisoformat(value)
        else:
            raise ValueError
    except ValueError:
        raise UsageError(f"--expires takes a day as 2027-01-31, or days, not {value!r}") from None
    if last < today:
        raise UsageError(f"--expires {value} lies in the past")
    return last.isoformat()
