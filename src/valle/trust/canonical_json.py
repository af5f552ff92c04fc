"""JSON of one spelling only, so that equal values have equal hashes and equal signatures."""

import hashlib
import json


def canonical(value: object) -> bytes:
    """`value` as JSON in ASCII: keys sorted, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def sha256_of(value: object) -> str:
    """SHA-256, in hexadecimal, of the canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
