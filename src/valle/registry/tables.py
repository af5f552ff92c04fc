"""The tables of the registry. A change here needs a migration in `migrations/versions`."""

from __future__ import annotations

import secrets
import time
from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

LOCAL = "local"
"""Owner of what is created without an API key: the user of this computer."""
ID_BYTES = 12  # random, in hexadecimal: nobody can guess the ids of others


def make_id(kind: str) -> str:
    """Return a new identifier such as `voice_8c1f...`."""
    return f"{kind}_{secrets.token_hex(ID_BYTES)}"


class Base(DeclarativeBase):
    """Base of all tables. Times are seconds since 1970."""


class VoiceRow(Base):
    """A voice. Its file is in the object store; the receipt inside it is what permits its use."""

    __tablename__ = "voices"
    __table_args__ = (UniqueConstraint("owner", "folded_name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    """Id of an API key, or `LOCAL`: a voice of the server's own user, which every key may use."""
    name: Mapped[str] = mapped_column(String(64))
    folded_name: Mapped[str] = mapped_column(String(255))
    """Names that differ only in case are the same name."""
    object_key: Mapped[str] = mapped_column(String(255))
    sha256: Mapped[str] = mapped_column(String(64))
    receipt_id: Mapped[str] = mapped_column(String(64), index=True)
    origin: Mapped[str] = mapped_column(String(96), default="")
    """The key of the machine from whose voice folder it was taken over, or empty."""
    created: Mapped[float] = mapped_column(Float, default=time.time)


class ReceiptRow(Base):
    """A consent receipt that this registry has seen, and whether it was revoked."""

    __tablename__ = "receipts"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    recording_sha256: Mapped[str] = mapped_column(String(64), default="")
    kind: Mapped[str] = mapped_column(String(16), default="")
    document: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    revoked: Mapped[float | None] = mapped_column(Float, default=None)


class ChallengeRow(Base):
    """A statement that waits to be read aloud. It is deleted when a consent is created with it."""

    __tablename__ = "challenges"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    speaker: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    created: Mapped[float] = mapped_column(Float, default=time.time)
    expires: Mapped[float] = mapped_column(Float)


class ConsentRow(Base):
    """A recorded statement, which permits one voice."""

    __tablename__ = "consents"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(255))
    language: Mapped[str] = mapped_column(String(32))
    challenge: Mapped[dict[str, Any]] = mapped_column(JSON)
    object_key: Mapped[str] = mapped_column(String(255))
    voice_id: Mapped[str | None] = mapped_column(String(64), default=None)
    """The voice that it permits; "pending" while that is being made."""
    receipt_id: Mapped[str | None] = mapped_column(String(64), default=None)
    created: Mapped[float] = mapped_column(Float, default=time.time)


class KeyRow(Base):
    """An API key. Only the SHA-256 of its 256 random bits is kept."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(255))
    seconds_per_minute: Mapped[float | None] = mapped_column(Float, default=None)
    """Seconds of speech per minute that it may ask for; None for the server's own limit."""
    created: Mapped[float] = mapped_column(Float, default=time.time)
    revoked: Mapped[float | None] = mapped_column(Float, default=None)


class JobRow(Base):
    """Long work. A worker holds a lease on it, which others may take over once it has ended."""

    __tablename__ = "jobs"
    __table_args__ = (
        UniqueConstraint("owner", "idempotency_key"),
        Index("jobs_by_state", "state", "created"),
        Index("jobs_by_tidied", "tidied", "state"),
    )

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    request: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), default="queued")
    """One of "queued", "running", "succeeded", "failed" or "cancelled"."""
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    message: Mapped[str] = mapped_column(Text, default="")
    result: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    error: Mapped[dict[str, Any] | None] = mapped_column(JSON, default=None)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    worker: Mapped[str] = mapped_column(String(64), default="")
    lease_until: Mapped[float] = mapped_column(Float, default=0.0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    tidied: Mapped[bool] = mapped_column(default=False)
    """Whether it has ended and what nobody needs of it any more was deleted."""
    idempotency_key: Mapped[str | None] = mapped_column(String(128), default=None)
    created: Mapped[float] = mapped_column(Float, default=time.time)
    updated: Mapped[float] = mapped_column(Float, default=time.time)


class LedgerRow(Base):
    """One line of the ledger of one machine, as it was signed there (`valle.trust.ledger`)."""

    __tablename__ = "ledger"

    machine: Mapped[str] = mapped_column(ForeignKey("machines.key_id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    line: Mapped[str] = mapped_column(Text)


class MachineRow(Base):
    """A machine that serves this registry. All of them trust each other's signing keys."""

    __tablename__ = "machines"

    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Its public key, in hexadecimal."""
    joined: Mapped[float] = mapped_column(Float, default=time.time)
