"""What speaking gives: audio with its codes, what is said when, and where it came from."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import output_format, save_audio, write_audio
from valle.errors import UsageError
from valle.files import replacing
from valle.runtime.check import Check
from valle.text.normalization import Skipped
from valle.trust import c2pa as content_credentials
from valle.trust import ledger, provenance

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class SpokenWord(NamedTuple):
    """A word as it is written, and when it is spoken, in seconds."""

    word: str
    start: float
    end: float


class SpokenPhoneme(NamedTuple):
    """A phoneme, or a border at which there is a pause, and when it is spoken."""

    symbol: str
    """One of `valle.text.symbols.SYMBOLS`."""
    stress: int
    """0 none, 1 secondary, 2 primary."""
    start: float
    """Seconds."""
    end: float
    """Seconds."""
    text_start: int
    """Where its word begins in the text, in characters."""
    text_end: int


@dataclass(frozen=True, eq=False)
class Speech:
    """Speech, whole or a piece of a stream; pieces in order join to the whole.

    Times count from the beginning of the stream. `codes` are those of `audio`, frame by frame.
    A word or phoneme is in the piece that was made when its end was known.
    """

    audio: NDArray[np.float32]
    """[samples], mono, -1..1."""
    sample_rate: int
    """Hz."""
    codes: NDArray[np.int64]
    """[frames, codebooks]; the codebook's size ("no code") in codebooks that are not spoken."""
    phonemes: list[SpokenPhoneme]
    words: list[SpokenWord]
    check: Check | None
    """The listener's comparison with what was asked; in a stream, with the end of a sentence."""
    skipped: list[Skipped]
    """What of the text cannot be said, and why."""
    provenance: dict[str, Any]
    """Who made it: the model, the voice, and the receipt of its consent."""

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.audio) / self.sample_rate

    @classmethod
    def join(cls, pieces: Iterable[Speech]) -> Speech:
        """One speech of the pieces of a stream, in order. Raises UsageError for no pieces."""
        pieces = list(pieces)
        if not pieces:
            raise UsageError("there are no pieces of speech to join")
        return cls(
            np.concatenate([piece.audio for piece in pieces]),
            pieces[0].sample_rate,
            np.concatenate([piece.codes for piece in pieces]),
            [phoneme for piece in pieces for phoneme in piece.phonemes],
            [word for piece in pieces for word in piece.words],
            Check.joined([piece.check for piece in pieces if piece.check]),
            [skipped for piece in pieces for skipped in piece.skipped],
            pieces[0].provenance,
        )

    def save(
        self, path: str | Path, key: Ed25519PrivateKey | None = None, credentials: bool = False
    ) -> None:
        """Write the audio, and beside it `<path>.json`, signed, which says that valle made it.

        The ending of `path` is the format: wav, flac, mp3 or ogg; "-" is WAV on standard output,
        with no file beside it. The audio's own tags carry the same in one line. Files that were
        there are replaced only by complete ones.

        Args:
            path: where to.
            key: signs what lies beside the audio; None for the user's own.
            credentials: put a C2PA manifest, signed by the same key, into the audio (wav, mp3,
                flac); needs the extra `provenance`.

        Raises OutputError, UsageError for what does not fit together, and what `ledger.signer`
        raises.
        """
        if credentials and str(path) == "-":
            raise UsageError("Content Credentials need a file, and standard output is none")
        if str(path) == "-":
            save_audio("-", self.audio, self.sample_rate, self._comment())
            return
        audio_format = output_format(path)
        signing = ledger.signer().private if key is None else key
        record = self.provenance | {
            "seconds": round(self.seconds, 3),
            "samples_sha256": hashlib.sha256(self.audio.tobytes()).hexdigest(),
        }
        # In this order nothing but a rename can fail once the audio is in its place.
        with replacing(provenance.sidecar_path(path)) as beside, replacing(path) as part:
            write_audio(part, audio_format, self.audio, self.sample_rate, self._comment())
            if credentials:
                content_credentials.embed(part, audio_format, record, signing)
            record["file_sha256"] = provenance.file_sha256(part)
            signed = provenance.sign(record, signing)
            beside.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")

    def describe(self) -> dict[str, Any]:
        """All but the samples and codes, as plain values that `json` can write."""
        return {
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "words": [word._asdict() for word in self.words],
            "phonemes": [phoneme._asdict() for phoneme in self.phonemes],
            "check": dataclasses.asdict(self.check) if self.check else None,
            "skipped": [dataclasses.asdict(skipped) for skipped in self.skipped],
            "provenance": self.provenance,
        }

    def _comment(self) -> str:
        made = self.provenance
        consent = made["consent"]
        voice = f"voice {made['voice']}; " if made["voice"] else ""
        return (
            f"{made['made_by']}; model {made['model']}; {voice}"
            f"consent {consent['kind']}, receipt {consent['id']}"
        )
