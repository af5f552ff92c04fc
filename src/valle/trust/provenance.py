"""Provenance: the signed record saved next to speech as FILE.json, and its verification.

A record says what made the speech, from which voice, with whose consent, and the SHA-256 of the
audio file. Its Ed25519 signature covers the canonical JSON of the record without the signature.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.errors import RecordingError
from valle.trust import keys
from valle.trust.canonical_json import canonicalize

# cryptography is imported where it is needed: `valle --help` must not wait for it.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PURPOSE = "provenance"  # of the signature
_MAX_BYTES = 1 << 20  # of a sidecar; a record has under a thousand
_REQUIRED_FIELDS = ("made_by", "model", "file_sha256")  # strings, shown to the user


@dataclass(frozen=True)
class Sidecar:
    """The content of FILE.json, and how far it can be believed."""

    record: dict[str, Any]
    fits: bool
    """Whether the audio file has the SHA-256 that the record gives."""
    key: str | None
    """The public key that signed the record, in hexadecimal; None without a valid signature."""
    signed: bool
    """Whether there is a signature at all, valid or not."""

    @property
    def altered(self) -> bool:
        """Whether the file or the record differs from what was saved or signed."""
        return not self.fits or (self.signed and self.key is None)


def sidecar_path(audio: str | Path) -> Path:
    """Return the path of the record of an audio file."""
    return Path(f"{audio}.json")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sign(record: dict[str, Any], private: Ed25519PrivateKey) -> dict[str, Any]:
    """Return the record with its signature added; equal records have equal signatures."""
    key = keys.SigningKey.from_private(private)
    signature = {"key": key.id, "value": key.sign(_PURPOSE, canonicalize(record))}
    return record | {"signature": signature}


def read_sidecar(audio: str | Path) -> Sidecar | None:
    """Read and verify the record of an audio file.

    Returns:
        The record and its verification; None if there is no record.

    Raises:
        RecordingError: The file is not one of valle's records, or cannot be read.
    """
    path = sidecar_path(audio)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
        digest = file_sha256(Path(audio))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise RecordingError(f"{path} or its recording cannot be read: {reason}") from error
    record = _parse(data)
    if record is None:
        raise RecordingError(
            f"{path} is not a record of how speech was made; move it away, or put back the right "
            "one"
        )
    key = _find_signer(record)
    return Sidecar(record, record["file_sha256"] == digest, key, "signature" in record)


def _parse(data: bytes) -> dict[str, Any] | None:
    """Parse a record; None if a required field is missing or not a string."""
    try:
        record = json.loads(data) if len(data) <= _MAX_BYTES else None
        canonicalize(record)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict):
        return None
    return record if all(isinstance(record.get(f), str) for f in _REQUIRED_FIELDS) else None


def _find_signer(record: dict[str, Any]) -> str | None:
    """Return the public key whose signature on the record is valid, if any."""
    signature = record.get("signature")
    # Any further field of the signature would itself not be signed.
    if not isinstance(signature, dict) or set(signature) != {"key", "value"}:
        return None
    key, value = str(signature["key"]), str(signature["value"])
    payload = {name: field for name, field in record.items() if name != "signature"}
    return key if keys.verify(key, value, _PURPOSE, canonicalize(payload)) else None
