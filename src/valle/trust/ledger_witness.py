"""A witness of the ledger in another folder: how far it had come, and what was revoked.

Whoever puts an older copy of the ledger back takes revocations with it, and every signature in the
copy is valid. The witness is signed by the same key and lies where a copy of the data folder does
not reach, so that this is noticed on the same machine. It is written after the ledger, as well as
can be: a ledger without a witness is used as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from pydantic import ValidationError

from valle.errors import OutputError
from valle.files import (
    make_private_folder,
    read_regular_file,
    sweep_temporary_files,
    write_private_file,
)
from valle.trust import keys
from valle.trust.canonical_json import canonicalize
from valle.trust.private_files import StrictModel

if TYPE_CHECKING:
    from valle.trust.keys import SigningKey
    from valle.trust.ledger import Head

_PURPOSE = "ledger witness"  # of the signature
_MAX_BYTES = 64 << 20


class Witness(StrictModel):
    """What is remembered of a ledger."""

    lines: int
    hash: str
    """SHA-256 of the last line."""
    latest: str
    """The latest time seen."""
    revoked: dict[str, str]
    """Recording SHA-256 by revoked receipt id, as in the ledger's head."""


def folder() -> Path | None:
    """Return the folder of witnesses: `VALLE_STATE`, or the user's folder of states.

    None where `VALLE_HOME` names the data folder and nothing names another.
    """
    state = os.environ.get("VALLE_STATE")
    if state:
        return Path(state).expanduser()
    return None if os.environ.get("VALLE_HOME") else Path(platformdirs.user_state_dir("valle"))


def remember(key: SigningKey, head: Head) -> None:
    """Write down how far the ledger of a key has come, if that can be written."""
    place = folder()
    if place is None:
        return
    witness = Witness(
        lines=head.lines, hash=head.hash, latest=head.latest, revoked=dict(head.revoked)
    )
    payload = witness.model_dump()
    signed = {"witness": payload, "signature": key.sign(_PURPOSE, canonicalize(payload))}
    with contextlib.suppress(OSError, OutputError):
        make_private_folder(place)
        sweep_temporary_files(place)
        write_private_file(place / f"{key.id}.json", canonicalize(signed))


def recall(key: SigningKey) -> Witness | None:
    """Return what is remembered of the ledger of a key; None if nothing is, or it was altered."""
    place = folder()
    if place is None:
        return None
    try:
        content = json.loads(read_regular_file(place / f"{key.id}.json", _MAX_BYTES))
        witness = Witness.model_validate(content["witness"])
        message = canonicalize(content["witness"])
        genuine = keys.verify(key.id, content["signature"], _PURPOSE, message)
    except (OSError, ValueError, LookupError, TypeError, RecursionError, ValidationError):
        return None
    return witness if genuine else None


def is_older(head: Head, witness: Witness | None) -> bool:
    """Tell whether a ledger is an older copy than the one that is remembered."""
    if witness is None:
        return False
    same_length = head.lines == witness.lines
    return head.lines < witness.lines or (same_length and head.hash != witness.hash)
