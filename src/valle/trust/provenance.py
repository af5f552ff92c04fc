"""Provenance: the signed record beside speech, FILE.json, and whether it fits the file.

A record says what made the speech, from which voice, with whose consent, and the SHA-256 of the
audio file. Its signature (Ed25519, RFC 8032) is over the record's canonical JSON without it.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valle.errors import RecordingError

# cryptography is imported where it is needed: `valle --help` must not wait for it.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PURPOSE = b"valle provenance\n"  # keeps what is signed here from being shown as anything else
_LONGEST = 1 << 20  # bytes; a record has under a thousand
_KEY = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class Sidecar:
    """What FILE.json says, and how much of it can be believed."""

    record: dict[str, Any]
    fits: bool
    """Whether the audio file has the SHA-256 that the record says."""
    key: str | None
    """The public key that signed the record, in hexadecimal; None where no valid signature is."""
    signed: bool
    """Whether there is a signature at all, valid or not."""

    @property
    def altered(self) -> bool:
        """Whether the file or the record is not what it was when it was signed or written."""
        return not self.fits or (self.signed and self.key is None)


def sidecar_path(audio: str | Path) -> Path:
    """Where the record of an audio file lies."""
    return Path(f"{audio}.json")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def sign(record: dict[str, Any], key: Ed25519PrivateKey) -> dict[str, Any]:
    """The record with a signature of its own; the same for the same record, as Ed25519's is."""
    return record | {
        "signature": {
            "key": key.public_key().public_bytes_raw().hex(),
            "value": key.sign(_message(record)).hex(),
        }
    }


def read_sidecar(audio: str | Path) -> Sidecar | None:
    """The record beside an audio file, checked; None where there is none.

    Raises RecordingError where it is no record of valle's, or one of the two cannot be read.
    """
    path = sidecar_path(audio)
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
        digest = file_sha256(Path(audio))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise RecordingError(f"{path} or its recording cannot be read: {why}") from error
    record = _parsed(data)
    if record is None:
        raise RecordingError(
            f"{path} is no record of how speech was made; move it away, or put back the right one"
        )
    key = _signer(record)
    return Sidecar(record, record["file_sha256"] == digest, key, "signature" in record)


def _parsed(data: bytes) -> dict[str, Any] | None:
    """What the bytes say, if it is a record: the fields that are shown are strings."""
    try:
        record = json.loads(data) if len(data) <= _LONGEST else None
        _message({"": record})
    except (ValueError, RecursionError):
        return None
    strings = ("made_by", "model", "file_sha256")
    if not isinstance(record, dict) or not all(isinstance(record.get(s), str) for s in strings):
        return None
    return record


def _signer(record: dict[str, Any]) -> str | None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signature = record.get("signature")
    # Whatever else stood in it would not be signed.
    if not isinstance(signature, dict) or set(signature) != {"key", "value"}:
        return None
    key, value = str(signature.get("key")), str(signature.get("value"))
    if not _KEY.fullmatch(key) or not _SIGNATURE.fullmatch(value):
        return None
    message = _message({name: part for name, part in record.items() if name != "signature"})
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(value), message)
    except (InvalidSignature, ValueError):
        return None
    return key


def _message(record: dict[str, Any]) -> bytes:
    """JSON of one spelling only: keys sorted, no spaces, ASCII, no NaN."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return _PURPOSE + text.encode("ascii")
