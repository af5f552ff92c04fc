"""What this machine keeps in its data folder, and the registry: each learns of the other.

Voices that were enrolled on this machine are taken over, before and while the server runs.
Its ledger is copied line by line, as it was signed, and a receipt that is revoked here, by the
command line too, is revoked for all machines.
"""

from __future__ import annotations

import contextlib
import threading

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from valle.errors import Error
from valle.registry.database import Database
from valle.registry.receipts import mark_revoked
from valle.registry.tables import LOCAL, LedgerRow, MachineRow, VoiceRow
from valle.registry.voices import VoiceTable
from valle.trust import keys, ledger, private_files
from valle.voices import registry as voice_folder
from valle.voices.voice import Voice

_LINES_AT_ONCE = 1000


class Machine:
    """This machine, as a member of a registry. Safe to share between threads."""

    def __init__(self, database: Database, voices: VoiceTable) -> None:
        """Join the registry with this machine's signing key.

        Raises:
            ConsentError: The key or the ledger cannot be used.
        """
        self._database = database
        self._voices = voices
        self._lock = threading.Lock()
        self._folder_state: dict[str, int] = {}  # when each voice file was written
        self._revoked: frozenset[str] = frozenset()
        self.key_id = ledger.get_signing_key().id
        with contextlib.suppress(IntegrityError), database.session() as session:
            if session.get(MachineRow, self.key_id) is None:
                session.add(MachineRow(key_id=self.key_id))
        with database.session() as session:
            last = select(LedgerRow.number).where(LedgerRow.machine == self.key_id)
            numbers = last.order_by(LedgerRow.number.desc()).limit(1)
            self._copied = session.scalar(numbers) or 0
        self._bytes_read = self._lines_read = 0  # of the ledger, by this process

    def synchronize(self) -> list[str]:
        """Take over what is new on this machine; returns what could not be taken over, and why."""
        with self._lock:
            self._trust_members()
            self._copy_ledger()
            return self._take_over_voices()

    def _trust_members(self) -> None:
        with self._database.session() as session:
            keys.trust_registry_members(frozenset(session.scalars(select(MachineRow.key_id))))

    def _copy_ledger(self) -> None:
        head = ledger.read_head()
        revoked = frozenset(head.revoked)
        if revoked != self._revoked:
            mark_revoked(self._database, head.revoked)
            self._revoked = revoked
        if head.lines <= self._copied:
            return
        numbered = list(enumerate(self._read_new_lines(head), self._lines_read + 1))
        for start in range(0, len(numbered), _LINES_AT_ONCE):
            try:
                self._store_lines(numbered[start : start + _LINES_AT_ONCE])
            except IntegrityError:  # another process of this machine has just copied them
                return  # the next look adds what it has not
        self._copied = self._lines_read = head.lines
        self._bytes_read = head.bytes

    def _store_lines(self, numbered: list[tuple[int, bytes]]) -> None:
        with self._database.session() as session:
            session.add_all(
                LedgerRow(machine=self.key_id, number=number, line=line.decode())
                for number, line in numbered
                if number > self._copied and session.get(LedgerRow, (self.key_id, number)) is None
            )

    def _read_new_lines(self, head: ledger.Head) -> list[bytes]:
        """Return the lines since the last look: of a long ledger, only its end is read."""
        path = private_files.folder() / ledger.LEDGER_FILE
        with path.open("rb") as file:
            file.seek(self._bytes_read)
            return file.read(max(0, head.bytes - self._bytes_read)).split(b"\n")[:-1]

    def _take_over_voices(self) -> list[str]:
        files = {name: voice_folder.path(name) for name in voice_folder.names()}
        state = {name: file.stat().st_mtime_ns for name, file in files.items()}
        if state == self._folder_state:
            return []
        with self._database.session() as session:
            rows = list(session.scalars(select(VoiceRow).where(VoiceRow.origin == self.key_id)))
        known = {row.name: row for row in rows}
        for name in known.keys() - files.keys():
            self._voices.remove(known[name])
        problems = []
        for name, file in files.items():
            if name in known and state[name] == self._folder_state.get(name):
                continue
            try:
                self._take_over(Voice.load(file), known.get(name))
            except Error as error:
                problems.append(f"the voice {name!r} was not taken over: {error}")
        self._folder_state = state
        return problems

    def _take_over(self, voice: Voice, known: VoiceRow | None) -> None:
        """Add a voice, in place of the one that had its name before."""
        if known is not None:
            if known.receipt_id == voice.consent["id"]:
                return
            self._voices.remove(known)
        self._voices.add(LOCAL, voice, origin=self.key_id)
