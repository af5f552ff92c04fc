"""API keys: random secrets of which only the hash is stored, each with its scopes."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import time
from dataclasses import dataclass

from sqlalchemy import func, select, update

from valle.errors import UsageError
from valle.registry.database import Database
from valle.registry.tables import LOCAL, KeyRow, make_id

SCOPES = {
    "speak": "speak and read the list of voices",
    "voices": "create and delete voices and consents",
    "jobs": "submit long work and read its results",
    "detect": "check recordings for synthetic speech",
    "admin": "metrics, unloading, and the voices of all keys",
}
"""What a key may do."""
DEFAULT_SCOPES = ("speak", "voices", "jobs", "detect")
KEY_VARIABLE = "VALLE_API_KEY"
MIN_ENVIRONMENT_KEY = 16  # characters
ENVIRONMENT_OWNER = "environment"
PREFIX = "valle_"  # lets tools that search for leaked secrets find them
_SECRET = re.compile(r"[\x21-\x7e]{8,256}")
_NAME = re.compile(r"[\w .@-]{1,64}")


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    id: str
    """The id of the API key, or `LOCAL`."""
    name: str
    scopes: frozenset[str]
    seconds_per_minute: float | None = None
    """Seconds of speech per minute that it may ask for; None for the server's own limit."""

    @property
    def is_local(self) -> bool:
        """Whether this is the server's own user, who needs no key."""
        return self.id == LOCAL


LOCAL_CALLER = Caller(LOCAL, LOCAL, frozenset(SCOPES))
"""The server's own user, on a server without keys that only this computer reaches."""


def hash_secret(secret: str) -> str:
    """Return the hash under which a key is stored.

    A key has 256 random bits, so a fast hash is enough, and a look-up by the hash tells by its
    timing nothing about any other key.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def create_key(
    database: Database,
    name: str,
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    seconds_per_minute: float | None = None,
) -> tuple[str, KeyRow]:
    """Create a key.

    Returns:
        The secret, which is not stored and cannot be shown again, and what is stored.

    Raises:
        UsageError: The name or a scope is not allowed.
    """
    if not _NAME.fullmatch(name):
        raise UsageError("a key's name has 1 to 64 letters, digits, spaces or any of . @ _ -")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise UsageError(f"scopes are {', '.join(SCOPES)}, not {', '.join(unknown) or 'none'}")
    secret = PREFIX + secrets.token_urlsafe(32)
    row = KeyRow(
        id=make_id("key"),
        name=name,
        sha256=hash_secret(secret),
        scopes=",".join(scopes),
        seconds_per_minute=seconds_per_minute,
        created=time.time(),
    )
    with database.session() as session:
        session.add(row)
    return secret, row


def read_environment_key() -> str | None:
    """Return the key that `VALLE_API_KEY` sets, which containers are started with.

    Raises:
        UsageError: It is too short to be safe.
    """
    secret = os.environ.get(KEY_VARIABLE)
    if secret and not (_SECRET.fullmatch(secret) and len(secret) >= MIN_ENVIRONMENT_KEY):
        raise UsageError(
            f"{KEY_VARIABLE} is not a safe key: give at least {MIN_ENVIRONMENT_KEY} characters "
            "without spaces"
        )
    return secret or None


def find_caller(database: Database, secret: str) -> Caller | None:
    """Return whose key this is; None if it is not a key, or was revoked."""
    if not _SECRET.fullmatch(secret):
        return None
    known = os.environ.get(KEY_VARIABLE)
    if known and hmac.compare_digest(hash_secret(secret), hash_secret(known)):
        return Caller(ENVIRONMENT_OWNER, "environment", frozenset(SCOPES))
    with database.session() as session:
        row = session.scalar(select(KeyRow).where(KeyRow.sha256 == hash_secret(secret)))
    if row is None or row.revoked is not None:
        return None
    return Caller(row.id, row.name, frozenset(row.scopes.split(",")), row.seconds_per_minute)


def find_owner(database: Database, owner: str) -> Caller | None:
    """Return the caller whose key has an id; None if it was revoked meanwhile."""
    if owner == LOCAL:
        return LOCAL_CALLER
    if owner == ENVIRONMENT_OWNER:
        is_set = read_environment_key() is not None
        return Caller(owner, owner, frozenset(SCOPES)) if is_set else None
    with database.session() as session:
        row = session.get(KeyRow, owner)
    if row is None or row.revoked is not None:
        return None
    return Caller(row.id, row.name, frozenset(row.scopes.split(",")), row.seconds_per_minute)


def count_keys(database: Database) -> int:
    """Return how many keys are valid, with that of the environment."""
    with database.session() as session:
        count = select(func.count()).select_from(KeyRow).where(KeyRow.revoked.is_(None))
        return (session.scalar(count) or 0) + (read_environment_key() is not None)


def list_keys(database: Database) -> list[KeyRow]:
    """Return all keys, the oldest first."""
    with database.session() as session:
        return list(session.scalars(select(KeyRow).order_by(KeyRow.created)))


def revoke_key(database: Database, name_or_id: str) -> int:
    """Revoke the key of an id, or all keys of a name; returns how many.

    Raises:
        UsageError: There is no such valid key.
    """
    with database.session() as session:
        result = session.execute(
            update(KeyRow)
            .where((KeyRow.id == name_or_id) | (KeyRow.name == name_or_id))
            .where(KeyRow.revoked.is_(None))
            .values(revoked=time.time())
        )
        count = int(result.rowcount)  # type: ignore[attr-defined]
    if not count:
        raise UsageError(f"there is no valid key {name_or_id!r}; `valle keys` lists them")
    return count
