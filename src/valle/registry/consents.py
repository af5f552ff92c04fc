"""Consents over HTTP: open challenges, recorded statements, and the one voice that each permits."""

from __future__ import annotations

import builtins
import time
from dataclasses import dataclass

from sqlalchemy import delete, select, tuple_, update
from sqlalchemy.orm import Session

from valle.consent import challenge as challenges
from valle.consent.challenge import Challenge
from valle.errors import ConsentError, UsageError
from valle.registry.database import Database
from valle.registry.keys import Caller
from valle.registry.objects import ObjectStore
from valle.registry.tables import ChallengeRow, ConsentRow, make_id
from valle.trust import ledger

PENDING = "pending"  # in place of a voice's id, while that voice is being made


class UnknownConsentError(UsageError):
    """There is no such consent, or it belongs to somebody else."""


@dataclass(frozen=True)
class NewConsent:
    """A statement that was received."""

    name: str
    """The speaker, as the statement says it."""
    language: str
    recording: bytes
    extension: str
    """Of the recording's format, for its file."""


class ConsentTable:
    """The consents of a registry. Safe to share between threads."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects

    def open_challenge(self, caller: Caller, challenge: Challenge) -> None:
        """Keep a challenge of `valle.consent.challenge.create` open for a caller."""
        challenges.consume(challenge)  # from here on it is open in the registry alone
        with self._database.session() as session:
            session.execute(delete(ChallengeRow).where(ChallengeRow.expires < time.time()))
            session.add(
                ChallengeRow(
                    id=challenge.id,
                    owner=caller.id,
                    speaker=challenge.speaker,
                    document=challenge.model_dump(),
                    created=ledger.parse_time(challenge.created),
                    expires=ledger.parse_time(challenge.expires),
                )
            )

    def create(self, caller: Caller, new: NewConsent) -> ConsentRow:
        """Store a recorded statement; takes the newest open challenge of that name.

        Raises:
            ConsentError: None is open.
            OutputError: It cannot be stored.
        """
        consent_id = make_id("cons")
        with self._database.session() as session:
            challenge = _close_newest(session, caller, new.name)
            row = ConsentRow(
                id=consent_id,
                owner=caller.id,
                name=new.name,
                language=new.language,
                challenge=challenge.model_dump(),
                object_key=f"consents/{consent_id}.{new.extension}",
            )
            # Within the transaction: if it cannot be stored, the challenge stays open.
            self._objects.put(row.object_key, new.recording)
            session.add(row)
        return row

    def get(self, caller: Caller, consent_id: str) -> ConsentRow:
        """Return a consent.

        Raises:
            UnknownConsentError: The caller has none of this id.
        """
        with self._database.session() as session:
            row = session.get(ConsentRow, consent_id)
        if row is None or (row.owner != caller.id and "admin" not in caller.scopes):
            raise UnknownConsentError(
                f"there is no consent {consent_id[:80]!r}; GET /v1/audio/voice_consents lists them"
            )
        return row

    def list(
        self, caller: Caller, after: str | None, limit: int
    ) -> tuple[builtins.list[ConsentRow], bool]:
        """Return a page of a caller's consents, the newest first, and whether there are more."""
        query = select(ConsentRow).where(ConsentRow.owner == caller.id)
        if after is not None:
            last = self.get(caller, after)
            earlier = tuple_(ConsentRow.created, ConsentRow.id)
            query = query.where(earlier < (last.created, last.id))
        query = query.order_by(ConsentRow.created.desc(), ConsentRow.id.desc()).limit(limit + 1)
        with self._database.session() as session:
            rows = builtins.list(session.scalars(query))
        return rows[:limit], len(rows) > limit

    def rename(self, row: ConsentRow, name: str) -> ConsentRow:
        """Change what a consent is listed as; what was said in it stays as it is."""
        with self._database.session() as session:
            session.execute(update(ConsentRow).where(ConsentRow.id == row.id).values(name=name))
        row.name = name
        return row

    def replace_recording(self, row: ConsentRow, recording: bytes) -> None:
        """Store another recording of the same statement, in place of one that was refused.

        Raises:
            ConsentError: It has permitted a voice, its tries are used up, or the statement has
                expired.
            OutputError: It cannot be stored.
        """
        if row.voice_id is not None:
            raise ConsentError(
                f"the consent {row.id} takes no other recording; ask for a new statement to read"
            )
        if ledger.now() > Challenge.model_validate(row.challenge).expires:
            raise ConsentError("this statement has expired; ask for a new one to read")
        self._objects.put(row.object_key, recording)

    def reserve(self, row: ConsentRow) -> None:
        """Take a consent for the voice that is being made.

        Raises:
            ConsentError: It has permitted a voice already.
        """
        with self._database.session() as session:
            result = session.execute(
                update(ConsentRow)
                .where(ConsentRow.id == row.id, ConsentRow.voice_id.is_(None))
                .values(voice_id=PENDING)
            )
            taken = bool(result.rowcount)  # type: ignore[attr-defined]
        if not taken:
            raise ConsentError(
                f"the consent {row.id} has been used for a voice; record a new statement for "
                "another: POST /v1/audio/voice_consents/challenges gives its text"
            )

    def release(self, row: ConsentRow) -> None:
        """Give a reserved consent back, as no voice was made."""
        self._set_voice(row, None, None)

    def use(self, row: ConsentRow, voice_id: str, receipt_id: str) -> None:
        """Record the voice that a consent permitted, and delete its recording."""
        self._set_voice(row, voice_id, receipt_id)
        self._objects.delete(row.object_key)

    def read_recording(self, row: ConsentRow) -> bytes:
        """Return the recorded statement, which is kept until its voice is made."""
        return self._objects.get(row.object_key)

    def remove(self, row: ConsentRow) -> None:
        """Delete a consent and its recording; revoke its receipt first."""
        with self._database.session() as session:
            session.execute(delete(ConsentRow).where(ConsentRow.id == row.id))
        self._objects.delete(row.object_key)

    def _set_voice(self, row: ConsentRow, voice_id: str | None, receipt_id: str | None) -> None:
        with self._database.session() as session:
            session.execute(
                update(ConsentRow)
                .where(ConsentRow.id == row.id)
                .values(voice_id=voice_id, receipt_id=receipt_id)
            )
        row.voice_id, row.receipt_id = voice_id, receipt_id


def _close_newest(session: Session, caller: Caller, speaker: str) -> Challenge:
    """Close the newest open challenge of a speaker, and return it."""
    speaker = challenges.normalize_speaker(speaker)
    now = time.time()
    query = select(ChallengeRow).where(
        ChallengeRow.owner == caller.id,
        ChallengeRow.speaker == speaker,
        ChallengeRow.expires >= now,
        ChallengeRow.created <= now + ledger.CLOCK_TOLERANCE,
    )
    for row in session.scalars(query.order_by(ChallengeRow.created.desc())):
        result = session.execute(delete(ChallengeRow).where(ChallengeRow.id == row.id))
        if result.rowcount:  # type: ignore[attr-defined] # otherwise another request was first
            return Challenge.model_validate(row.document)
    if caller.is_local:  # one that `valle consent new` printed
        challenge = challenges.find(None, speaker)
        challenges.consume(challenge)
        return challenge
    raise ConsentError(
        f"no challenge for {speaker[:64]!r} is open: POST /v1/audio/voice_consents/challenges with "
        "this name gives the text to read aloud, within 15 minutes"
    )
