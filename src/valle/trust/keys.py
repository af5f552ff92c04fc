"""Ed25519 keys (RFC 8032): the user's own signing key, and the public keys the user trusts.

A key is identified by its public half, 64 hexadecimal digits; there is no registry of names.
"""

from __future__ import annotations

import hmac
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
_registry_members: frozenset[str] = frozenset()  # see `trust_registry_members`
_SIGNATURE = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True)
class SigningKey:
    """A private key and its identifier."""

    private: Ed25519PrivateKey
    id: str
    """The public half, in hexadecimal."""

    @classmethod
    def from_private(cls, private: Ed25519PrivateKey) -> SigningKey:
        """Wrap a private key."""
        return cls(private, private.public_key().public_bytes_raw().hex())

    def sign(self, purpose: str, message: bytes) -> str:
        """Sign a message; Ed25519 is deterministic, so equal messages have equal signatures.

        Args:
            purpose: Domain separation: a signature made for one purpose is not valid for another.
            message: What to sign.

        Returns:
            The signature, in hexadecimal.
        """
        return self.private.sign(_add_purpose(purpose, message)).hex()

    def derive_watermark_key(self) -> bytes:
        """Derive the 32 secret bytes with which this key's owner embeds and reads payloads.

        There is no second file to keep, and whoever is given these bytes to read watermarks cannot
        sign anything with them.
        """
        return self._derive(b"valle watermark key")

    def authenticate_text(self, text: str) -> str:
        """Return the HMAC-SHA-256 of a text, in hexadecimal, by which the ledger knows it.

        A plain hash would tell a short text to anyone who tries the likely ones.
        """
        key = self._derive(b"valle ledger text key")
        return hmac.new(key, text.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    def _derive(self, use: bytes) -> bytes:
        """Derive 32 secret bytes for one use: HKDF (RFC 5869) of the private half."""
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        derived = HKDF(SHA256(), length=32, salt=None, info=use)
        return derived.derive(self.private.private_bytes_raw())


def verify(key_id: str, signature: str, purpose: str, message: bytes) -> bool:
    """Tell whether `signature` is that of the key `key_id` on `message`.

    Never raises: malformed keys and signatures are invalid.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if not _ID.fullmatch(key_id) or not _SIGNATURE.fullmatch(signature):
        return False
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key_id))
        key.verify(bytes.fromhex(signature), _add_purpose(purpose, message))
    except (InvalidSignature, ValueError):
        return False
    return True


def generate() -> SigningKey:
    """Generate a new key, which is not saved yet."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return SigningKey.from_private(Ed25519PrivateKey.generate())


def load_user_key() -> SigningKey | None:
    """Load the user's key.

    Returns:
        The key, or None if there is none yet.

    Raises:
        ConsentError: Other users can read its file, or the file does not hold an Ed25519 key.
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
            f"{path} does not hold an Ed25519 key: put back a copy of it, or move the folder "
            f"{path.parent} away and enroll again"
        )
    return SigningKey.from_private(private)


def save_user_key(key: SigningKey, folder: Path) -> None:
    """Save `key` as the user's own; called once, under the lock of `folder`."""
    from cryptography.hazmat.primitives import serialization

    pem = key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    private_files.write_private(folder / KEY_FILE, pem)


def check_known(key_id: str) -> None:
    """Check that a key is the user's own or one of the trusted keys.

    Raises:
        ConsentError: It is neither, or the keys cannot be read.
    """
    key = load_user_key()
    if key is not None and key.id == key_id:
        return
    if key_id not in _registry_members and key_id not in load_trusted_keys():
        raise ConsentError(
            f"it is signed by a key that is not known here, {key_id[:16]}...: enroll the recording "
            f"again, or, if you trust that key, add it to {private_files.folder() / TRUSTED_FILE}"
        )


def trust_registry_members(key_ids: frozenset[str]) -> None:
    """Trust, in this process, the machines that share a registry with this one."""
    global _registry_members
    _registry_members = key_ids


def load_trusted_keys() -> frozenset[str]:
    """Load the public keys of others that the user trusts: one per line, comments after `#`.

    Raises:
        ConsentError: The file cannot be read, or a line does not begin with a key.
    """
    path = private_files.folder() / TRUSTED_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, ValueError) as error:
        raise ConsentError(f"cannot read the trusted keys in {path}: {error}") from error
    key_ids: set[str] = set()
    for number, line in enumerate(lines, start=1):
        first_word = line.partition("#")[0].split(maxsplit=1)[:1]
        if first_word and not _ID.fullmatch(first_word[0]):
            raise ConsentError(
                f"{path}, line {number}: a line begins with a key, 64 hexadecimal digits as "
                "`valle consent key` prints them"
            )
        key_ids.update(first_word)
    return frozenset(key_ids)


def _add_purpose(purpose: str, message: bytes) -> bytes:
    return b"valle " + purpose.encode() + b"\n" + message
