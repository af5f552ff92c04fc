"""Receipts and revocations, as all machines of a registry see them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from valle.errors import ConsentError
from valle.registry.database import Database
from valle.registry.tables import ReceiptRow


def remember_receipt(session: Session, receipt: Mapping[str, Any]) -> None:
    """Store a receipt, unless it is known already."""
    if session.get(ReceiptRow, receipt["id"]) is None:
        session.add(
            ReceiptRow(
                id=receipt["id"],
                recording_sha256=receipt["recording_sha256"],
                kind=receipt["kind"],
                document=dict(receipt),
            )
        )


def check_not_revoked(database: Database, receipt_id: str) -> None:
    """Check that no machine of the registry has revoked a receipt.

    Raises:
        ConsentError: It was revoked.
        DatabaseUnavailableError: The database cannot be asked, so nothing may be spoken.
    """
    with database.session() as session:
        revoked = session.scalar(select(ReceiptRow.revoked).where(ReceiptRow.id == receipt_id))
    if revoked is not None:
        raise ConsentError(
            f"the consent to this voice (receipt {receipt_id[:16]}...) was revoked; its owner can "
            "consent again with a new statement"
        )


def mark_revoked(database: Database, receipts: Mapping[str, str]) -> None:
    """Mark receipts as revoked for all machines.

    Args:
        database: The registry's.
        receipts: The recording's SHA-256 by the id of each receipt; "" where it is not known.
    """
    with database.session() as session:
        for receipt_id, recording in receipts.items():
            row = session.get(ReceiptRow, receipt_id)
            if row is None:
                row = ReceiptRow(id=receipt_id, recording_sha256=recording, document={})
                session.add(row)
            if row.revoked is None:
                row.revoked = time.time()
