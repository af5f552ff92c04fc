"""A data folder in which the same evaluation gives the same speech every time.

The watermark's payload depends on the user's signing key, and what is heard of a clip depends a
little on the watermark. With a new key in every run, no figure of speech would ever come out twice.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

from valle.files import temporary_data_folder
from valle.trust import ledger
from valle.trust.keys import SigningKey

# Anyone can derive this key, so it proves nothing; it signs nothing that leaves an evaluation.
_SEED = hashlib.sha256(b"valle evaluation").digest()


@contextlib.contextmanager
def repeatable_data_folder() -> Iterator[None]:
    """Use an empty data folder with the key of all evaluations inside the block."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    with temporary_data_folder():
        key = Ed25519PrivateKey.from_private_bytes(_SEED)
        ledger.begin_with_key(SigningKey.from_private(key))
        yield
