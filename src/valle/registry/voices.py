"""Voices of the registry: created, found by id or name, listed and deleted, each by its owner."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from valle.errors import ConsentError, UsageError
from valle.registry.database import Database
from valle.registry.keys import Caller
from valle.registry.objects import ObjectStore
from valle.registry.receipts import remember_receipt
from valle.registry.tables import LOCAL, VoiceRow, make_id
from valle.voices.names import check_name
from valle.voices.voice import Voice

MAX_LOADED = 64  # voices that are kept in memory, about 1 MB each


class UnknownVoiceError(UsageError):
    """There is no such voice, or it belongs to somebody else."""


class VoiceTable:
    """The voices of a registry. Safe to share between threads."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self._loaded: OrderedDict[str, Voice] = OrderedDict()  # by the SHA-256 of the file
        self._lock = threading.Lock()

    def list(self, caller: Caller) -> list[VoiceRow]:
        """Return the voices that a caller may use, sorted by name."""
        query = select(VoiceRow)
        if "admin" not in caller.scopes:
            query = query.where(VoiceRow.owner.in_((caller.id, LOCAL)))
        with self._database.session() as session:
            rows = list(session.scalars(query))
        return sorted(rows, key=lambda row: (row.folded_name, row.created))

    def find(self, caller: Caller, name_or_id: str) -> VoiceRow:
        """Return a voice by its id, or by its name: first the caller's own, then the shared ones.

        Raises:
            UnknownVoiceError: There is none that the caller may use. A voice of somebody else is
                refused in the same words as one that does not exist.
        """
        folded = "" if "\0" in name_or_id else name_or_id.casefold()
        with self._database.session() as session:
            matches = select(VoiceRow).where(
                (VoiceRow.id == folded) | (VoiceRow.folded_name == folded)
            )
            rows = [row for row in session.scalars(matches) if _may_use(caller, row)]
        if not rows:
            raise UnknownVoiceError(
                f"there is no voice {name_or_id[:80]!r}; GET /v1/audio/voices lists the voices"
            )
        return min(rows, key=lambda row: (row.id != name_or_id, row.owner != caller.id))

    def load(self, row: VoiceRow) -> Voice:
        """Return the voice of a row, with all checks of its file.

        Raises:
            OutputError: The object store cannot be read.
            RecordingError: The file is damaged.
            ConsentError: The file was altered, or is not the one that was stored.
        """
        with self._lock:
            if row.sha256 in self._loaded:
                self._loaded.move_to_end(row.sha256)
                return self._loaded[row.sha256]
        data = self._objects.get(row.object_key)
        if hashlib.sha256(data).hexdigest() != row.sha256:
            raise ConsentError(f"the file of the voice {row.name!r} was altered; enroll it again")
        voice = Voice.from_bytes(data, f"the voice {row.name!r}")
        with self._lock:
            self._loaded[row.sha256] = voice
            if len(self._loaded) > MAX_LOADED:
                self._loaded.popitem(last=False)
        return voice

    def add(self, owner: str, voice: Voice, origin: str = "") -> VoiceRow:
        """Store a voice.

        Args:
            owner: Whose it is.
            voice: With the name that it will have.
            origin: See `VoiceRow`.

        Raises:
            UsageError: The owner has a voice of that name already.
            OutputError: It cannot be stored.
        """
        name = check_name(voice.name)
        data, voice_id = voice.to_bytes(), make_id("voice")
        row = VoiceRow(
            id=voice_id,
            owner=owner,
            name=name,
            folded_name=name.casefold(),
            object_key=f"voices/{voice_id}.safetensors",
            sha256=hashlib.sha256(data).hexdigest(),
            receipt_id=voice.consent["id"],
            origin=origin,
        )
        self._objects.put(row.object_key, data)
        try:
            with self._database.session() as session:
                remember_receipt(session, voice.consent)
                session.add(row)
        except IntegrityError:
            self._objects.delete(row.object_key)
            raise UsageError(
                f"there is a voice named {name!r} already; choose another name, or delete it"
            ) from None
        return row

    def check_free(self, owner: str, name: str) -> str:
        """Return a name in its normal form, if a voice may have it.

        Raises:
            UsageError: It is not allowed, or the owner has a voice of that name.
        """
        name = check_name(name)
        with self._database.session() as session:
            taken = select(VoiceRow.id).where(
                VoiceRow.owner == owner, VoiceRow.folded_name == name.casefold()
            )
            if session.scalar(taken) is not None:
                raise UsageError(
                    f"there is a voice named {name!r} already; choose another name, or delete it"
                )
        return name

    def remove(self, row: VoiceRow) -> None:
        """Delete a voice. Its receipt stays known, since what was spoken refers to it."""
        with self._database.session() as session:
            stored = session.get(VoiceRow, row.id)
            if stored is not None:
                session.delete(stored)
        with self._lock:
            self._loaded.pop(row.sha256, None)
        self._objects.delete(row.object_key)


def _may_use(caller: Caller, row: VoiceRow) -> bool:
    return row.owner in (caller.id, LOCAL) or "admin" in caller.scopes
