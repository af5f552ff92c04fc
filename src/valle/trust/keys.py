"""Ed25519 keys (RFC 8032): the user's own, which signs, and those of others that are trusted.

A key is known by its public half, 64 hexadecimal digits; there is no other name to look up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from valle.errors import ConsentError
from valle.trust import private_files

# cryptography is imported where it is needed: `valle --help` must not wait for it.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_FILE, TRUSTED_FILE = "key.pem", "trusted_keys.txt"

_ID = re.compile(r"[0-9a-f]{64}")
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class SigningKey:
    """A key that signs; `id` is its public half in hexadecimal."""

    private: Ed25519PrivateKey
    id: str

    def sign(self, purpose: str, message: bytes) -> str:
        """The signature in hexadecimal; the same for the same message, as Ed25519's is.

        `purpose` keeps what is signed as one thing from being shown as another.
        """
        return self.private.sign(_framed(purpose, message)).hex()

    def watermark_key(self) -> bytes:
        """The 32 secret bytes by which the marks of this key's owner are laid and read.

        Drawn from the private half by HKDF (RFC 5869), so there is no second file to keep, and who
        is given these bytes to read marks with can sign nothing.
        """
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(SHA256(), length=32, salt=None, info=b"valle watermark key")
        return derived.derive(self.private.private_bytes_raw())


def verify(key_id: str, signature: str, purpose: str, message: bytes) -> bool:
    """Whether `signature` is that of the key `key_id` on `message`. Never raises for bad input."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not _ID.fullmatch(key_id) or not _SIGNATURE.fullmatch(signature):
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_id))
        key.verify(bytes.fromhex(signature), _framed(purpose, message))
    except (InvalidSignature, ValueError):
        return False
    return True


def generate() -> SigningKey:
    """A new key, kept nowhere yet."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return _with_id(Ed25519PrivateKey.generate())


def own() -> SigningKey | None:
    """The user's key, or None where none was made yet.

    Raises ConsentError if others can read its file, or it holds no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = private_files.folder() / KEY_FILE
    try:
        private_files.check_private(path.parent, private_files.FOLDER_MODE)
        private_files.check_private(path, private_files.FILE_MODE)
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConsentError(f"cannot read the signing key {path}: {error.strerror}") from error
    try:
        private = load_pem_private_key(data, password=None)
    except (ValueError, TypeError):
        private = None
    if not isinstance(private, Ed25519PrivateKey):
        raise ConsentError(
            f"{path} holds no Ed25519 key: put back a copy of it, or move the folder "
            f"{path.parent} away and enroll anew"
        )
    return _with_id(private)


def keep(key: SigningKey, folder: Path) -> None:
    """Make `key` the user's own; called once, under the lock of `folder`."""
    from cryptography.hazmat.primitives import serialization

    pem = key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    private_files.write_private(folder / KEY_FILE, pem)


def check_known(key_id: str) -> None:
    """Raises ConsentError unless the key is the user's own or one of the trusted keys."""
    key = own()
    if (key is None or key.id != key_id) and key_id not in trusted():
        raise ConsentError(
            f"it is signed by a key that is not known here, {key_id[:16]}...: enroll the recording "
            f"again, or, if you trust that key, add it to {private_files.folder() / TRUSTED_FILE}"
        )


def trusted() -> frozenset[str]:
    """The keys of others that the user trusts: one a line, a comment may follow it.

    Raises ConsentError for a line that begins with no key.
    """
    path = private_files.folder() / TRUSTED_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, ValueError) as error:
        raise ConsentError(f"cannot read the trusted keys in {path}: {error}") from error
    found = set()
    for number, line in enumerate(lines, start=1):
        word = line.partition("#")[0].split(maxsplit=1)[:1]
        if word and not _ID.fullmatch(word[0]):
            raise ConsentError(
                f"{path}, line {number}: a line begins with a key, 64 hexadecimal digits as "
                "`valle consent key` prints them"
            )
        found.update(word)
    return frozenset(found)


def _with_id(private: Ed25519PrivateKey) -> SigningKey:
    return SigningKey(private, private.public_key().public_bytes_raw().hex())


def _framed(purpose: str, message: bytes) -> bytes:
    return b"valle " + purpose.encode() + b"\n" + message
