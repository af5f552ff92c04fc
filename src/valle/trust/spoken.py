"""What was spoken under each receipt: robust fingerprints of the sound, kept beside the ledger.

A watermark can be lifted from speech and laid on another recording. So its payload alone proves
nothing: only together with the sound that the owner's own valle made under that receipt. The
fingerprints are signed, and no sound can be made from them.
"""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Iterator
from types import TracebackType

import numpy as np

from valle.arrays import Samples
from valle.audio.fingerprint import (
    FRAMES_PER_SECOND,
    MIN_SECONDS,
    Fingerprint,
    FingerprintStream,
    compute_fingerprint,
    similarity,
)
from valle.trust import keys, ledger, private_files

SAME_SPEECH = 0.63
"""Share of bits in which speech agrees with itself, however it was coded. 3,160 pairs of different
recordings reached at most 0.591."""

_FOLDER = "spoken"
_PURPOSE = "spoken"  # of the signature
_SIGNATURE = 128  # hexadecimal digits
_MAX_FRAMES = int(600 * FRAMES_PER_SECOND)  # of a file: longer speech has several


class SpokenPrints:
    """Keeps the fingerprints of speech while it is spoken, and saves them when it ends.

    Use it as a context manager: what was spoken until an error counts too.
    """

    def __init__(self, sample_rate: int) -> None:
        """Begin to keep the fingerprints of a text at `sample_rate` Hz."""
        self._rate = sample_rate
        self._streams: dict[str, FingerprintStream] = {}

    def add(self, receipt_id: str, samples: Samples) -> None:
        """Add samples [N] that were spoken under a receipt."""
        if receipt_id not in self._streams:
            self._streams[receipt_id] = FingerprintStream(self._rate)
        self._streams[receipt_id].feed(samples)

    def __enter__(self) -> SpokenPrints:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for receipt_id, stream in self._streams.items():
            bits = stream.finish()
            for start in range(0, len(bits), _MAX_FRAMES):
                _save(receipt_id, bits[start : start + _MAX_FRAMES])


def was_spoken(receipt_id: str, samples: Samples, sample_rate: int) -> bool | None:
    """Tell whether speech like samples [N] was spoken under a receipt on this machine.

    Returns:
        None if it is too short to tell, or all that is kept of what was spoken under that receipt
        is too short or nothing.
    """
    if len(samples) < MIN_SECONDS * sample_rate:
        return None
    bits = compute_fingerprint(samples, sample_rate)
    known = False
    for kept in _load_all(receipt_id):
        known = known or len(kept) >= MIN_SECONDS * FRAMES_PER_SECOND
        if similarity(bits, kept) > SAME_SPEECH:
            return True
    return False if known else None


def _save(receipt_id: str, bits: Fingerprint) -> None:
    file = io.BytesIO()
    np.save(file, np.packbits(bits, axis=1), allow_pickle=False)
    content = file.getvalue()
    signature = ledger.get_signing_key().sign(_PURPOSE, receipt_id.encode() + b"\n" + content)
    with private_files.lock_folder() as folder:
        target = folder / _FOLDER / receipt_id
        for level in (target.parent, target):  # `parents=True` would leave the mode to the umask
            level.mkdir(mode=private_files.FOLDER_MODE, exist_ok=True)
        name = f"{secrets.token_hex(8)}.print"
        private_files.write_private(target / name, signature.encode() + content)


def _load_all(receipt_id: str) -> Iterator[Fingerprint]:
    """Yield the fingerprints of a receipt that are as they were written."""
    key_id = ledger.get_signing_key().id
    for path in sorted((private_files.folder() / _FOLDER / receipt_id).glob("*.print")):
        with contextlib.suppress(OSError, ValueError):
            data = path.read_bytes()
            signature = data[:_SIGNATURE].decode("ascii", "replace")
            message = receipt_id.encode() + b"\n" + data[_SIGNATURE:]
            if keys.verify(key_id, signature, _PURPOSE, message):
                packed = np.load(io.BytesIO(data[_SIGNATURE:]), allow_pickle=False)
                yield np.unpackbits(packed, axis=1).astype(bool)
