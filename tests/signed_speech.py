"""A key, and a record that is signed with it, for speech in tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from valle.trust import provenance

RATE = 16_000
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY_ID = KEY.public_key().public_bytes_raw().hex()
OWNER_KEY = b"sixteen bytes and more"
RECORD = {
    "made_by": "valle 0.1.0",
    "model": "debug",
    "voice": "Ada",
    "consent": {"kind": "attested", "id": "c0ffee"},
    "watermark": {"version": 1, "payload": None},
}


def rewrite_record(audio: Path, **changes: Any) -> None:
    """Change fields of the sidecar record; None removes a field."""
    path = provenance.sidecar_path(audio)
    record = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))
