"""`Registry`: the database, the object store and this machine, opened together."""

from __future__ import annotations

from pathlib import Path

from valle.consent import revocation
from valle.errors import UsageError
from valle.files import data_folder
from valle.registry.consents import ConsentTable
from valle.registry.database import Database
from valle.registry.jobs import JobTable
from valle.registry.machine import Machine
from valle.registry.objects import ObjectStore
from valle.registry.receipts import mark_revoked
from valle.registry.voices import VoiceTable
from valle.trust import keys, ledger


def default_database_url() -> str:
    """Return the URL of the database in the user's data folder."""
    return f"sqlite:///{_folder() / 'registry.db'}"


def default_objects_url() -> str:
    """Return the folder of the object store in the user's data folder."""
    return str(_folder() / "objects")


class Registry:
    """All that a server keeps. Safe to share between threads."""

    def __init__(self, database_url: str | None = None, objects_url: str | None = None) -> None:
        """Open a registry, bring its tables up to date, and join it with this machine.

        Args:
            database_url: See `Database`; None for SQLite in the user's data folder.
            objects_url: See `ObjectStore`; None for a folder there.

        Raises:
            UsageError: A URL cannot be used.
            OutputError: The database or the object store cannot be reached.
            ConsentError: The signing key or the ledger of this machine cannot be used.
        """
        self.database = Database(database_url or default_database_url())
        self.objects = ObjectStore(objects_url or default_objects_url())
        self.voices = VoiceTable(self.database, self.objects)
        self.consents = ConsentTable(self.database, self.objects)
        self.jobs = JobTable(self.database)
        self.machine = Machine(self.database, self.voices)

    def revoke(self, receipt_id: str, recording_sha256: str) -> None:
        """Revoke a receipt here and on all machines, at once and for good."""
        mark_revoked(self.database, {receipt_id: recording_sha256})
        if receipt_id not in ledger.read_head().revoked:
            try:
                revocation.revoke(receipt_id)
            except UsageError:  # enrolled on another machine, whose ledger has it
                ledger.append("revoke", revoked={receipt_id: recording_sha256}, receipt=receipt_id)
        self.machine.synchronize()

    def close(self) -> None:
        """Close the connections, and trust the machines that share the registry no longer."""
        keys.trust_registry_members(frozenset())
        self.database.close()


def _folder() -> Path:
    return data_folder() / "server"
