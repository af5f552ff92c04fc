"""Canonical JSON: one byte string per value, so that equal values have equal signatures."""

import hashlib
import json


def canonicalize(value: object) -> bytes:
    """Serialize `value` as JSON in ASCII, with sorted keys and no spaces.

    Raises:
        ValueError: `value` holds NaN or an infinity.
        TypeError: `value` holds something that JSON cannot represent.
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def sha256_of(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, in hexadecimal."""
    return hashlib.sha256(canonicalize(value)).hexdigest()
