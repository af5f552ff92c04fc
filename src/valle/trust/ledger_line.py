"""One line of the ledger: JSON, canonical, with the signature of the user's key."""

from __future__ import annotations

import json
from typing import Any

from valle.trust import keys
from valle.trust.canonical_json import canonicalize
from valle.trust.keys import SigningKey

_PURPOSE = "ledger line"  # of the signature


def sign_line(entry: dict[str, Any], key: SigningKey) -> bytes:
    """Return a line with these fields, signed, without its line end."""
    return canonicalize(entry | {"signature": key.sign(_PURPOSE, canonicalize(entry))})


def verify_line(line: bytes, key_id: str) -> dict[str, Any] | None:
    """Parse a line and verify its signature.

    Returns:
        The line's fields without the signature; None unless it is, byte for byte, as it was
        written and signed.
    """
    try:
        entry = json.loads(line)
        signature = entry.pop("signature")
        message = canonicalize(entry)
        unchanged = canonicalize(entry | {"signature": signature}) == line
        number = entry["n"]
        signed = entry["key"] == key_id and keys.verify(key_id, signature, _PURPOSE, message)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    if not (unchanged and signed and type(number) is int):
        return None
    return dict(entry)
