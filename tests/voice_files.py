"""Voices made without a model, and their files taken apart and put together."""

from __future__ import annotations

import hashlib
import json
import struct
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from valle.trust import ledger, receipts
from valle.trust.canonical_json import canonicalize
from valle.trust.keys import SigningKey
from valle.voices.voice import Voice, recording_sha256

RATE = 8000  # Hz
GRAPH = "ab" * 32  # the hash of a graph
STATEMENT = "I hold the rights to this voice"

Tensors = dict[str, NDArray[Any]]


def make_voice(name: str = "Anna", **changes: Any) -> Voice:
    """Return a voice of 1.5 s, with some of its parts changed."""
    audio = (0.3 * np.sin(np.arange(int(1.5 * RATE)) * 0.1)).astype(np.float32)
    parts: dict[str, Any] = {
        "name": name,
        "audio": audio,
        "sample_rate": RATE,
        "symbols": ("^", "h", "ə", "l", "oʊ", "."),
        "stress": (0, 0, 0, 0, 2, 0),
        "frame_symbol": np.repeat([0, 1, 2, 3, 4, 5], [3, 10, 12, 20, 25, 5]),
        "consent": attest(audio, RATE),
        "warnings": ("it is noisy",),
    }
    voice = Voice(**(parts | changes))
    voice.derive("codes", GRAPH, lambda: np.arange(600).reshape(75, 8))
    return voice


def attest(audio: NDArray[np.float32], rate: int) -> dict[str, Any]:
    """Return a receipt for a recording."""
    return receipts.attest(STATEMENT, recording_sha256(audio, rate))


def assert_same_voice(voice: Voice, expected: Voice) -> None:
    """Compare all parts of two voices."""
    for name in ("name", "sample_rate", "symbols", "stress", "warnings"):
        assert getattr(voice, name) == getattr(expected, name)
    assert dict(voice.consent) == dict(expected.consent)
    for name in ("audio", "frame_symbol"):
        assert getattr(voice, name).dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(getattr(voice, name), getattr(expected, name))
    assert voice.derived.keys() == expected.derived.keys()
    for key, value in expected.derived.items():
        np.testing.assert_array_equal(voice.derived[key], value)


def take_apart(data: bytes) -> tuple[dict[str, Any], Tensors]:
    """Return the metadata and the tensors of a voice file."""
    (length,) = struct.unpack_from("<Q", data)
    metadata = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["valle"])
    return metadata, safetensors.numpy.load(data)


def put_together(
    metadata: dict[str, Any], tensors: Tensors, key: SigningKey | None = None
) -> bytes:
    """Return a voice file signed with a key, by default with the user's own."""
    metadata = {name: value for name, value in metadata.items() if name != "seal"}
    hashes = {
        name: [str(t.dtype), list(t.shape), hashlib.sha256(t.tobytes()).hexdigest()]
        for name, t in tensors.items()
    }
    key = key or ledger.get_signing_key()
    signature = key.sign("voice", canonicalize([metadata, hashes]))
    return pack(metadata | {"seal": {"key": key.id, "signature": signature}}, tensors)


def pack(metadata: dict[str, Any], tensors: Tensors) -> bytes:
    """Return a voice file with metadata as it is."""
    return safetensors.numpy.save(tensors, {"valle": json.dumps(metadata)})
