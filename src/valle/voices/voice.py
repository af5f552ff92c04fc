"""`Voice`: a recording, what is said in it, and the right to use it, in one file.

The file is safetensors with one JSON text in its metadata. It holds the recording itself, so that
a later codec can encode it again. Codes and speaker embeddings are stored under the SHA-256 of the
graph that computed them, and computed again for another graph. The file is signed with the user's
key.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from valle.arrays import Ints, Samples
from valle.errors import ConsentError, RecordingError, UsageError
from valle.files import FileTooLargeError, read_regular_file, write_private_file
from valle.trust import keys, ledger, receipts
from valle.trust.canonical_json import canonicalize
from valle.voices.names import check_name

FORMAT = 2
MIN_SECONDS, MAX_SECONDS = 1.5, 60.0  # of audio
MIN_RATE, MAX_RATE = 4_000, 192_000  # Hz
MAX_BYTES = 64 << 20  # a minute at 192 kHz takes 46 MB
MAX_FRAMES = 12_000  # of an alignment: a minute at 200 frames per second

_DERIVED_KEY = re.compile(r"[a-z]+\.[0-9a-f]{64}")
_FIELDS = {"format", "name", "sample_rate", "symbols", "stress", "consent", "warnings", "seal"}
_PURPOSE = "voice"  # of the signature

Array = NDArray[np.generic]


def recording_sha256(audio: Samples, sample_rate: int) -> str:
    """Return the hash that a consent receipt is bound to.

    It covers the samples [N] and their rate in Hz, and is hexadecimal.
    """
    digest = hashlib.sha256(f"{sample_rate} Hz\n".encode())
    digest.update(np.ascontiguousarray(audio, "<f4").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice to speak with.

    Raises:
        RecordingError: A part is malformed, or the parts do not fit together.
        ConsentError: The receipt is not one for this recording.
    """

    name: str
    """See `valle.voices.names.check_name`; "" for a voice without a name."""
    audio: Samples
    """[N] mono in [-1, 1], 1.5 s to 60 s."""
    sample_rate: int
    """Hz."""
    symbols: tuple[str, ...]
    """[symbols] the phonemes and borders that are said in it."""
    stress: tuple[int, ...]
    """[symbols] 0 none, 1 secondary, 2 primary."""
    frame_symbol: Ints
    """[frames] the index of the symbol that each codec frame is at; it never decreases."""
    consent: Mapping[str, Any]
    """The receipt, see `valle.trust.receipts`."""
    warnings: tuple[str, ...] = ()
    """What in the recording may harm the likeness of the voice."""
    # What graphs have computed of it, by the names that `derive` makes. Whatever is spoken with
    # must come from what the receipt covers, so nobody hands it in: it is computed, or read from
    # a file with a valid signature, and its digest is kept.
    _derived: dict[str, Array] = field(default_factory=dict, init=False, repr=False)
    _digests: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("symbols", "stress", "warnings"):  # JSON has lists
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        _check_parts(self)
        if self.name:
            object.__setattr__(self, "name", check_name(self.name))
        for name in ("audio", "frame_symbol"):
            object.__setattr__(self, name, _freeze(getattr(self, name)))
        self._digests["parts"] = _digest_parts(self)

    @property
    def derived(self) -> Mapping[str, Array]:
        """What graphs have computed of it, by the names that `derive` makes; read-only."""
        return MappingProxyType(self._derived)

    def with_name(self, name: str) -> Voice:
        """Return the same voice under another name."""
        renamed = replace(self, name=name)
        _adopt(renamed, self._derived)
        return renamed

    def check_unchanged(self) -> None:
        """Check that nothing of it was changed since it was made or read.

        Raises:
            ConsentError: Its recording, its phonemes, or what was computed of them differs.
        """
        digests = {name: _digest(array) for name, array in self._derived.items()}
        if {"parts": _digest_parts(self), **digests} != self._digests:
            raise ConsentError(
                "the voice was changed after it was made, and its consent receipt is for another "
                "recording; load or enroll it again"
            )

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.audio) / self.sample_rate

    def derive(self, kind: str, graph_sha256: str, compute: Callable[[], Array]) -> Array:
        """Return what a graph computes of this voice, computed once and stored in the voice.

        Args:
            kind: "codes" or "embedding".
            graph_sha256: The hash of the graph.
            compute: Called if the voice does not have it.

        Raises:
            ConsentError: See `check_unchanged`.
        """
        key = f"{kind}.{graph_sha256}"
        if key not in self._derived:
            self.check_unchanged()
            _adopt(self, {key: compute()})
            self.check_unchanged()  # nor while it was computed
        return self._derived[key]

    def save(self, path: str | Path) -> None:
        """Write the voice to one file, atomically. The same voice gives the same bytes.

        The file holds seconds of a person's voice, so only its owner can read it.

        Raises:
            OutputError: The file cannot be written.
            ConsentError: The user's key is missing.
        """
        write_private_file(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """Return the content of the voice's file, signed.

        Raises:
            ConsentError: See `check_unchanged`.
        """
        self.check_unchanged()
        metadata: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "sample_rate": self.sample_rate,
            "symbols": list(self.symbols),
            "stress": list(self.stress),
            "consent": dict(self.consent),
            "warnings": list(self.warnings),
        }
        arrays = {"audio": self.audio, "frame_symbol": self.frame_symbol, **self._derived}
        tensors: dict[str, Array] = {
            name: np.ascontiguousarray(array) for name, array in arrays.items()
        }
        key = ledger.get_signing_key()
        signature = key.sign(_PURPOSE, _signed_message(metadata, tensors))
        metadata["seal"] = {"key": key.id, "signature": signature}
        # A single entry: the library writes several in no particular order.
        return safetensors.numpy.save(tensors, {"valle": canonicalize(metadata).decode()})

    @classmethod
    def load(cls, path: str | Path) -> Voice:
        """Read a voice file, and check all of it.

        Raises:
            RecordingError: The file is missing, not a voice file, truncated, or of a later format.
            ConsentError: The file was altered, its key is not known here, or its receipt is for
                another recording.
        """
        try:
            data = read_regular_file(path, MAX_BYTES)
        except FileNotFoundError:
            raise RecordingError(f"there is no voice file {path}") from None
        except FileTooLargeError:
            raise RecordingError(f"{path} is not a voice file: it is too large for one") from None
        except (OSError, ValueError) as error:
            raise RecordingError(f"cannot read the voice file {path}: {error}") from error
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "the voice file") -> Voice:
        """Parse what `to_bytes` returns, with the checks of `load`.

        Args:
            data: The content of a voice file.
            source: How errors call it.

        Raises:
            RecordingError: See `load`.
            ConsentError: See `load`.
        """
        metadata, tensors = _parse(data, source)
        try:
            _check_signature(metadata, tensors)
            del metadata["format"], metadata["seal"]
            voice = cls(
                audio=tensors.pop("audio"), frame_symbol=tensors.pop("frame_symbol"), **metadata
            )
            _adopt(voice, tensors)
            return voice
        except KeyError as error:
            raise RecordingError(
                f"{source} is not a complete voice file: it lacks {error}"
            ) from None
        except RecordingError as error:
            raise RecordingError(f"{source} is damaged or altered: {error}") from None
        except ConsentError as error:
            raise ConsentError(f"{source}: {error}") from None


def _parse(data: bytes, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the metadata and tensors of a voice file; only the names of its fields are checked."""
    foreign = RecordingError(
        f"{source} is not a voice file, or is damaged; "
        "`valle enroll` makes a voice from a recording"
    )
    try:
        (length,) = struct.unpack_from("<Q", data)
        tensors = safetensors.numpy.load(data)
        metadata = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["valle"])
        version = metadata["format"]
    except (struct.error, safetensors.SafetensorError, ValueError, LookupError, TypeError):
        raise foreign from None
    except RecursionError:  # JSON that is nested thousands deep
        raise foreign from None
    if version == 1:
        raise ConsentError(
            f"{source} was made before voices were signed, so nothing shows who consented to it: "
            "enroll its recording again"
        )
    if isinstance(version, int) and version > FORMAT:
        raise RecordingError(
            f"{source} has format {version}, made by a later version of valle; this one reads "
            f"format {FORMAT}: upgrade valle, or enroll the voice again"
        )
    if version != FORMAT or set(metadata) != _FIELDS:
        raise foreign
    return metadata, tensors


def _check_parts(voice: Voice) -> None:
    _check_audio(voice)
    receipts.check(voice.consent, recording_sha256(voice.audio, voice.sample_rate))
    _check_alignment(voice)
    if not isinstance(voice.warnings, tuple) or not all(isinstance(w, str) for w in voice.warnings):
        raise RecordingError("its warnings are not texts")


def _adopt(voice: Voice, arrays: Mapping[str, Array]) -> None:
    """Make arrays that were computed of a voice part of it."""
    for key, value in arrays.items():
        fits = _DERIVED_KEY.fullmatch(key) and _fits(key.partition(".")[0], value)
        if not fits or not np.isfinite(value).all():
            raise RecordingError(f"it has an unknown tensor, {key[:80]!r}")
        voice._derived[key] = _freeze(value)
        voice._digests[key] = _digest(voice._derived[key])


def _fits(kind: str, value: Array) -> bool:
    """Tell whether an array can be what a graph of this kind computes of a voice."""
    if kind == "codes":
        return value.dtype.kind in "iu" and value.ndim == 2 and len(value) > 0
    return value.dtype.kind == "f" and value.ndim == 1 and len(value) > 0


def _freeze(array: Array) -> Array:
    """Return a copy that cannot be written to."""
    frozen = np.array(array)
    frozen.flags.writeable = False
    return frozen


def _digest(array: Array) -> bytes:
    shape = f"{array.dtype} {array.shape}\n".encode()
    return hashlib.sha256(shape + np.ascontiguousarray(array).tobytes()).digest()


def _digest_parts(voice: Voice) -> bytes:
    """Return a digest of all that the voice was made with."""
    texts = (voice.name, voice.sample_rate, voice.symbols, voice.stress, voice.warnings)
    digest = hashlib.sha256(repr((texts, dict(voice.consent))).encode())
    digest.update(_digest(voice.audio) + _digest(voice.frame_symbol))
    return digest.digest()


def _check_audio(voice: Voice) -> None:
    try:
        if voice.name != "":
            check_name(voice.name)
    except UsageError as error:
        raise RecordingError(str(error)) from None
    rate, audio = voice.sample_rate, voice.audio
    if type(rate) is not int or not MIN_RATE <= rate <= MAX_RATE:
        raise RecordingError(f"its sample rate is {rate!r}, not {MIN_RATE} to {MAX_RATE} Hz")
    if audio.dtype != np.float32 or audio.ndim != 1:
        raise RecordingError(f"its audio is {audio.dtype} {list(audio.shape)}, not float32 [N]")
    if not MIN_SECONDS * rate <= len(audio) <= MAX_SECONDS * rate:
        raise RecordingError(
            f"its audio lasts {len(audio) / rate:.2f} s, not {MIN_SECONDS} s to {MAX_SECONDS:.0f} s"
        )
    if not np.abs(audio).max() <= 1.0:  # false for NaN too
        raise RecordingError("its audio has values that are not in [-1, 1]")


def _check_alignment(voice: Voice) -> None:
    symbols, stress, frames = voice.symbols, voice.stress, voice.frame_symbol
    if max(len(symbols), frames.size) > MAX_FRAMES:
        raise RecordingError(f"its alignment is longer than {MAX_FRAMES} frames or symbols")
    if not isinstance(symbols, tuple) or not all(isinstance(s, str) and s for s in symbols):
        raise RecordingError("its symbols are not texts")
    if not isinstance(stress, tuple) or not all(type(s) is int and 0 <= s <= 2 for s in stress):
        raise RecordingError("its stress marks are not 0, 1 or 2")
    if not symbols or len(symbols) != len(stress):
        raise RecordingError(f"it has {len(symbols)} symbols and {len(stress)} stress marks")
    if frames.dtype != np.int64 or frames.ndim != 1 or not len(frames):
        raise RecordingError(f"its alignment is {frames.dtype} {list(frames.shape)}, not int64 [T]")
    if frames[0] < 0 or frames[-1] >= len(symbols) or (np.diff(frames) < 0).any():
        raise RecordingError("its alignment does not go forward through its symbols")


def _check_signature(metadata: dict[str, Any], tensors: Mapping[str, Array]) -> None:
    """Verify the signature of a file.

    Without it, the receipt would cover the recording alone, and codes and an embedding of somebody
    else could be put next to it and spoken with.

    Raises:
        ConsentError: The file was altered, or its key is not known here.
    """
    seal = metadata["seal"]
    signed = {name: value for name, value in metadata.items() if name != "seal"}
    try:
        key, signature = str(seal["key"]), str(seal["signature"])
        genuine = keys.verify(key, signature, _PURPOSE, _signed_message(signed, tensors))
    except (LookupError, TypeError, ValueError, RecursionError):
        genuine = False
    if not genuine:
        raise ConsentError(
            "it was altered or damaged after it was saved; enroll the recording again"
        )
    keys.check_known(key)


def _signed_message(metadata: Mapping[str, Any], tensors: Mapping[str, Array]) -> bytes:
    """Return what the signature of a file covers: all metadata, and a hash of every tensor."""
    hashes = {
        name: [str(t.dtype), list(t.shape), hashlib.sha256(t.tobytes()).hexdigest()]
        for name, t in tensors.items()
    }
    return canonicalize([metadata, hashes])
