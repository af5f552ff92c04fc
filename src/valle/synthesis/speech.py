"""`Speech`: synthesized audio with its codes, the times of its words, and its provenance."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from valle.arrays import Codes, Samples
from valle.audio.encoding import encode_audio, infer_audio_format, save_audio
from valle.audio.loudness import normalize_loudness
from valle.audio.recording import resample
from valle.errors import UsageError
from valle.files import write_atomically
from valle.options import OutputKeywords, OutputOptions, describe_options
from valle.runtime.check import Check
from valle.styles import Style
from valle.synthesis import subtitles
from valle.text.tokens import Skipped
from valle.trust import c2pa as content_credentials
from valle.trust import ledger, provenance

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from typing_extensions import Unpack


class SpokenWord(NamedTuple):
    """A word as it is spelled in the text, and when it is spoken."""

    word: str
    start: float
    """Seconds."""
    end: float
    """Seconds."""


class SpokenPhoneme(NamedTuple):
    """A phoneme, or a border with a pause, and when it is spoken."""

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


class SpokenMark(NamedTuple):
    """A mark of the text (`<mark name="...">` in SSML), and when it is reached."""

    name: str
    start: float
    """Seconds."""


@dataclass(frozen=True)
class SpokenSentence:
    """A sentence of the text, when it is spoken, and how well."""

    number: int
    """From 1."""
    count: int | None
    """How many sentences the text has; None where it comes in parts."""
    text: str
    """As it is written, with its punctuation."""
    text_start: int
    """Where it begins in the text, in characters."""
    begins_paragraph: bool
    start: float
    """Seconds: the beginning of its first word."""
    end: float
    """Seconds: the end of its last word."""
    check: Check
    """The recognizer's comparison with the text."""
    speed: float = 1.0
    """How many times as fast it is as it would be by itself, as far as was planned."""
    voice: str | None = None
    """The name of the voice that speaks it."""


@dataclass(frozen=True, eq=False)
class Speech:
    """Synthesized speech, whole or a piece of a stream; the pieces in order join to the whole.

    Times count from the beginning of the stream. A word or phoneme belongs to the piece that was
    made when its end was known, which may be later than the piece with its audio.
    """

    audio: Samples
    """[samples], mono, in [-1, 1]."""
    sample_rate: int
    """Hz."""
    codes: Codes
    """[frames, codebooks], frame by frame those of `audio`; the codebook size means "no code"."""
    phonemes: list[SpokenPhoneme]
    words: list[SpokenWord]
    check: Check | None
    """The recognizer's comparison with the text; in a stream, in the piece after a sentence."""
    skipped: list[Skipped]
    """Parts of the text that cannot be spoken, and why."""
    provenance: dict[str, Any]
    """What made it: the model, the voice, the receipt of its consent, the options."""
    sentences: list[SpokenSentence] = field(default_factory=list)
    """Those that ended; a sentence belongs to the piece after it, as its check does."""
    marks: list[SpokenMark] = field(default_factory=list)
    """Those that the words of the piece reach."""

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return len(self.audio) / self.sample_rate

    @property
    def options(self) -> dict[str, Any]:
        """All options it was made with: the same text, voice and options give the same samples."""
        return dict(self.provenance["options"])

    @classmethod
    def join(cls, pieces: Iterable[Speech]) -> Speech:
        """Join the pieces of a stream, in order.

        Raises:
            UsageError: There are no pieces.
        """
        pieces = list(pieces)
        if not pieces:
            raise UsageError("there are no pieces of speech to join")
        return cls(
            audio=np.concatenate([piece.audio for piece in pieces]),
            sample_rate=pieces[0].sample_rate,
            codes=np.concatenate([piece.codes for piece in pieces]),
            phonemes=[phoneme for piece in pieces for phoneme in piece.phonemes],
            words=[word for piece in pieces for word in piece.words],
            check=Check.join([piece.check for piece in pieces if piece.check]),
            skipped=[skipped for piece in pieces for skipped in piece.skipped],
            provenance=_join_provenance([piece.provenance for piece in pieces]),
            sentences=[sentence for piece in pieces for sentence in piece.sentences],
            marks=[mark for piece in pieces for mark in piece.marks],
        )

    def save(
        self,
        path: str | Path,
        key: Ed25519PrivateKey | None = None,
        credentials: bool = False,
        overwrite: bool = True,
        **output: Unpack[OutputKeywords],
    ) -> None:
        """Write the audio, and next to it `<path>.json`, a signed statement that valle made it.

        The audio's tags carry the same in one line. Existing files are replaced only by complete
        ones.

        Args:
            path: The file to write; its ending is the format: wav, flac, mp3 or ogg. "-" is WAV on
                standard output, without a file next to it.
            key: The key that signs the statement; None for the user's own.
            credentials: Embed a C2PA manifest, signed with the same key, in the audio (wav, mp3,
                flac); requires the extra `provenance`.
            overwrite: Whether existing files are replaced.
            output: Fields of `valle.options.OutputOptions`: loudness (-16 LUFS by default) and
                sample rate of the file.

        Raises:
            FileExistsError: A file exists and `overwrite` is False.
            OutputError: A file cannot be written.
            UsageError: The ending is unknown, or the format has no place for a manifest.
            ConsentError: The user's key cannot be used.
        """
        if credentials and str(path) == "-":
            raise UsageError("Content Credentials need a file, and standard output is not one")
        if str(path) == "-":
            save_audio("-", *self.render(**output), self._make_comment())
            return
        audio_format = infer_audio_format(path)
        samples, rate = self.render(**output)
        signing_key = ledger.get_signing_key().private if key is None else key
        record = self._describe_provenance() | {
            "seconds": round(self.seconds, 3),
            "samples_sha256": hashlib.sha256(self.audio.tobytes()).hexdigest(),
            "output": OutputOptions.from_keywords(**output).model_dump() | {"rate": rate},
        }
        # In this order nothing but a rename can fail once the audio is in its place.
        with (
            write_atomically(provenance.sidecar_path(path), overwrite) as sidecar_part,
            write_atomically(path, overwrite) as audio_part,
        ):
            comment = self._make_comment()
            encode_audio(audio_part, audio_format, samples, rate, comment)
            if credentials:
                content_credentials.embed(audio_part, audio_format, record, signing_key)
            record["file_sha256"] = provenance.file_sha256(audio_part)
            signed = provenance.sign(record, signing_key)
            sidecar_part.write_text(json.dumps(signed, indent=1) + "\n", encoding="utf-8")
            if overwrite:
                # A crash between the two renames leaves a file without a record, never one whose
                # old record accuses it of having been altered.
                provenance.sidecar_path(path).unlink(missing_ok=True)

    def render(self, **output: Unpack[OutputKeywords]) -> tuple[Samples, int]:
        """Return the samples of a file, and their rate in Hz.

        Unlike those of `audio`, they have the loudness and the sample rate of
        `valle.options.OutputOptions`. One gain for all of them leaves the watermark as it is.

        Raises:
            UsageError: An option is unknown or out of range.
        """
        options = OutputOptions.from_keywords(**output)
        rate = options.rate or self.sample_rate
        samples = resample(self.audio, self.sample_rate, rate)
        if options.loudness is not None:
            samples = normalize_loudness(samples, rate, options.loudness + self._energy)
        return samples, rate

    @property
    def _energy(self) -> float:
        """DB by which its style makes it louder than other speech, which the file shall be too."""
        style = self.provenance.get("options", {}).get("style")
        shift = Style(**style).resolve() if style else None
        return shift.energy if shift else 0.0

    def describe(self) -> dict[str, Any]:
        """Return all but the samples and codes as plain values that `json` can write."""
        return {
            "seconds": self.seconds,
            "sample_rate": self.sample_rate,
            "words": [word._asdict() for word in self.words],
            "phonemes": [phoneme._asdict() for phoneme in self.phonemes],
            "check": dataclasses.asdict(self.check) if self.check else None,
            "skipped": [dataclasses.asdict(skipped) for skipped in self.skipped],
            "provenance": self._describe_provenance(),
            "sentences": [dataclasses.asdict(sentence) for sentence in self.sentences],
            "marks": [mark._asdict() for mark in self.marks],
        }

    def to_srt(self) -> str:
        """Return subtitles in the format SubRip (SRT), with the text's own punctuation."""
        return subtitles.to_srt(self)

    def to_vtt(self) -> str:
        """Return subtitles in the format WebVTT, with the text's own punctuation."""
        return subtitles.to_vtt(self)

    def to_words(self) -> str:
        """Return the words with their punctuation and times, and the marks, as a list in JSON."""
        return subtitles.to_words(self, self.marks)

    def _describe_provenance(self) -> dict[str, Any]:
        """Return the provenance for others: of the lexicon's file, they read the name alone."""
        record = dict(self.provenance)
        if "options" in record:
            record["options"] = describe_options(record["options"])
        return record

    def _make_comment(self) -> str:
        """Return the provenance in one line of ASCII, since the tags of MP3 take no more."""
        record = self.provenance
        comment = f"{record['made_by']}; model {record['model']}"
        for speaker in record.get("voices", [record]):
            voice, consent = speaker["voice"], speaker["consent"]
            comment += f"; voice {voice}" if voice else ""
            comment += f"; consent {consent['kind']}, receipt {consent['id']}"
        return comment.encode("ascii", "backslashreplace").decode("ascii")


def _join_provenance(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what made a whole of pieces: of several voices, `voices` has all in their order."""
    known = {}
    for record in records:
        for speaker in record.get("voices", [record]):
            known[speaker["consent"]["id"]] = {
                name: speaker[name] for name in ("voice", "consent", "watermark")
            }
    return records[0] | ({"voices": list(known.values())} if len(known) > 1 else {})
