"""A voice in one file: its recording, what is said there, and the right to use it.

The file is safetensors with one JSON text in its metadata. It holds the recording itself, so that
a new codec can make new codes from it; codes and embeddings are kept beside it under the SHA-256 of
the graph that made them, and made again for another graph. The file is signed by the user's key.
"""

import hashlib
import json
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from valle.errors import ConsentError, RecordingError, UsageError
from valle.files import replacing
from valle.trust import keys, ledger, receipts
from valle.trust.canonical_json import canonical

FORMAT = 2
MIN_SECONDS, MAX_SECONDS = 1.5, 60.0  # of audio in a voice
MAX_BYTES = 64 << 20  # a minute at 192 kHz takes 46 MB

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}")
_DERIVED = re.compile(r"[a-z]+\.[0-9a-f]{64}")
_FIELDS = {"format", "name", "sample_rate", "symbols", "stress", "consent", "warnings", "seal"}
_SEAL = "voice"  # what is signed

Array = NDArray[np.generic]


def check_name(name: str) -> str:
    """`name`, if it can name a voice; else UsageError. A name is never a path."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot name a voice: begin with a letter or digit, then at most 63 letters, "
            "digits, spaces or any of _ . - (A to Z, no accents)"
        )
    return name


def recording_sha256(audio: NDArray[np.float32], sample_rate: int) -> str:
    """What a receipt ties the agreement to: the samples and their rate, as hexadecimal SHA-256."""
    digest = hashlib.sha256(f"{sample_rate} Hz\n".encode())
    digest.update(np.ascontiguousarray(audio, "<f4").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Voice:
    """A voice to speak with. Raises RecordingError or ConsentError when its parts do not fit."""

    name: str  # empty for a voice that is not kept
    audio: NDArray[np.float32]  # [N] mono in [-1, 1], 1.5 s to 60 s
    sample_rate: int  # Hz
    symbols: tuple[str, ...]  # [S] what is said in it
    stress: tuple[int, ...]  # [S] 0 none, 1 secondary, 2 primary
    frame_symbol: NDArray[np.int64]  # [frames] index of the symbol each codec frame is at
    consent: Mapping[str, Any]  # the receipt
    warnings: tuple[str, ...] = ()
    derived: dict[str, Array] = field(default_factory=dict)  # "codes.<graph's SHA-256>"

    def __post_init__(self) -> None:
        for name in ("symbols", "stress", "warnings"):  # lists will do, here and in JSON
            if isinstance(value := getattr(self, name), list):
                object.__setattr__(self, name, tuple(value))
        _check(self)

    @property
    def seconds(self) -> float:
        return len(self.audio) / self.sample_rate

    def derive(self, what: str, graph_sha256: str, make: Callable[[], Array]) -> Array:
        """What a graph makes of this voice (`what`: "codes", "embedding"): kept, or made now."""
        key = f"{what}.{graph_sha256}"
        if key not in self.derived:
            self.derived[key] = make()
        return self.derived[key]

    def save(self, path: str | Path) -> None:
        """Write the voice to one file, whole or not at all. The same voice gives the same bytes.

        Raises OutputError, and ConsentError where the user's key is gone.
        """
        data = self.to_bytes()
        with replacing(path) as part:
            part.write_bytes(data)

    def to_bytes(self) -> bytes:
        """The voice's file, signed."""
        facts: dict[str, Any] = {
            "format": FORMAT,
            "name": self.name,
            "sample_rate": self.sample_rate,
            "symbols": list(self.symbols),
            "stress": list(self.stress),
            "consent": dict(self.consent),
            "warnings": list(self.warnings),
        }
        held = {"audio": self.audio, "frame_symbol": self.frame_symbol, **self.derived}
        tensors: dict[str, Array] = {key: np.ascontiguousarray(t) for key, t in held.items()}
        key = ledger.signer()
        seal = {"key": key.id, "signature": key.sign(_SEAL, _digest(facts, tensors))}
        # One entry only: the library writes several in no particular order.
        return safetensors.numpy.save(
            tensors, {"valle": canonical(facts | {"seal": seal}).decode()}
        )

    @classmethod
    def load(cls, path: str | Path) -> "Voice":
        """Read a voice file and check all of it.

        Raises RecordingError if it is missing, no voice, cut off, or of a later format;
        ConsentError if it was altered, is not signed by a key that is known here, or its recording
        is not the one that its consent receipt is for.
        """
        try:
            if Path(path).stat().st_size > MAX_BYTES:
                raise RecordingError(f"{path} is no voice file: it is too large for one")
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise RecordingError(f"there is no voice file {path}") from None
        except (OSError, ValueError) as error:
            raise RecordingError(f"cannot read the voice file {path}: {error}") from error
        return cls.from_bytes(data, str(path))

    @classmethod
    def from_bytes(cls, data: bytes, source: str = "the voice file") -> "Voice":
        """The inverse of `to_bytes`, with the checks of `load`."""
        facts, tensors = _parse(data, source)
        try:
            _check_seal(facts, tensors)
            facts.pop("format")
            return cls(
                audio=tensors.pop("audio"),
                frame_symbol=tensors.pop("frame_symbol"),
                derived=tensors,
                **facts,
            )
        except KeyError as error:
            raise RecordingError(f"{source} is no whole voice file: it lacks {error}") from None
        except RecordingError as error:
            raise RecordingError(f"{source} is damaged or altered: {error}") from None
        except ConsentError as error:
            raise ConsentError(f"{source}: {error}") from None


def _parse(data: bytes, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts and tensors of a voice file, of the right names; what they hold is not checked."""
    foreign = RecordingError(
        f"{source} is no voice file, or a damaged one; `valle enroll` makes one from a recording"
    )
    try:
        (length,) = struct.unpack_from("<Q", data)
        tensors = safetensors.numpy.load(data)
        facts = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["valle"])
        version = facts["format"]
    except (struct.error, safetensors.SafetensorError, ValueError, LookupError, TypeError):
        raise foreign from None
    except RecursionError:  # JSON nested thousands deep
        raise foreign from None
    if version == 1:
        raise ConsentError(
            f"{source} was made before voices were signed, so nothing shows who agreed to it: "
            "enroll its recording again"
        )
    if isinstance(version, int) and version > FORMAT:
        raise RecordingError(
            f"{source} has format {version}, made by a later version of valle; this one reads "
            f"format {FORMAT}: upgrade valle, or enroll the voice again"
        )
    if version != FORMAT or set(facts) != _FIELDS:
        raise foreign
    return facts, tensors


def _check(voice: Voice) -> None:
    _check_audio(voice)
    receipts.check(voice.consent, recording_sha256(voice.audio, voice.sample_rate))
    _check_alignment(voice)
    if not isinstance(voice.warnings, tuple) or not all(isinstance(w, str) for w in voice.warnings):
        raise RecordingError("its warnings are not texts")
    for key, value in voice.derived.items():
        if (
            not _DERIVED.fullmatch(key)
            or value.dtype.kind not in "fiu"
            or not np.isfinite(value).all()
        ):
            raise RecordingError(f"it holds something unknown, {key[:80]!r}")


def _check_audio(voice: Voice) -> None:
    try:
        if voice.name != "":
            check_name(voice.name)
    except UsageError as error:
        raise RecordingError(str(error)) from None
    rate, audio = voice.sample_rate, voice.audio
    if type(rate) is not int or not 4_000 <= rate <= 192_000:
        raise RecordingError(f"its sample rate is {rate!r}, not 4000 to 192000 Hz")
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


def _check_seal(facts: dict[str, Any], tensors: Mapping[str, Array]) -> None:
    """Take the seal off the facts of a file.

    Without it the receipt would vouch for the recording alone: codes and an embedding of somebody
    else beside it would be spoken with. Raises ConsentError.
    """
    seal = facts.pop("seal")
    try:
        key, signature = str(seal["key"]), str(seal["signature"])
        genuine = keys.verify(key, signature, _SEAL, _digest(facts, tensors))
    except (LookupError, TypeError, ValueError, RecursionError):
        genuine = False
    if not genuine:
        raise ConsentError(
            "it was altered or damaged after it was saved; enroll the recording again"
        )
    keys.check_known(key)


def _digest(facts: Mapping[str, Any], tensors: Mapping[str, Array]) -> bytes:
    """All that a voice file says, to be signed."""
    held = {
        key: [str(t.dtype), list(t.shape), hashlib.sha256(t.tobytes()).hexdigest()]
        for key, t in tensors.items()
    }
    return canonical([facts, held])
