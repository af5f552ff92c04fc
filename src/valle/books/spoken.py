"""What was spoken of a sentence, on disk: its codes, the times of its words, its check, its sound.

The name of a file is a hash of all that decides how the sentence sounds. The sound has its
watermark, so nothing here can be played without one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from valle.arrays import Codes, Samples
from valle.audio.encoding import encode_audio
from valle.books.document import find_words
from valle.books.options import BookOptions
from valle.books.project import BookSentence, make_folder
from valle.bundle.bundle import Bundle
from valle.files import write_atomically
from valle.runtime.check import Check
from valle.synthesis.speech import Speech
from valle.text.reading import Reading
from valle.voices.voice import Voice, recording_sha256

_VERSION = 1
_DAMAGED = (OSError, EOFError, LookupError, TypeError, ValueError, zipfile.BadZipFile, zlib.error)


class TimedWord(NamedTuple):
    """A word of a sentence, where it stands in its text, and when it is spoken."""

    start: float
    """Seconds from the beginning of the sentence's codes."""
    end: float
    text_start: int
    """In characters."""
    text_end: int


@dataclass(frozen=True)
class SpokenRecord:
    """What was spoken of a sentence."""

    codes: Codes
    """[frames, codebooks]."""
    words: list[TimedWord]
    check: Check | None
    skipped: list[dict[str, str]]
    """Parts of the sentence that cannot be spoken: `text` and `why`."""


def make_record(speech: Speech) -> SpokenRecord:
    """Return what is kept of the speech of one sentence."""
    spans = {p.start: (p.text_start, p.text_end) for p in speech.phonemes if p.text_end}
    words = [TimedWord(word.start, word.end, *spans[word.start]) for word in speech.words]
    skipped = [{"text": part.text, "why": part.why} for part in speech.skipped]
    return SpokenRecord(speech.codes, words, speech.check, skipped)


class SpokenStore:
    """The folder of what was spoken.

    A sentence is two files: its sound in one watermark, and all else. The latter says that the
    sentence is done, so it is written last; projects of the versions before have no other.
    """

    def __init__(self, folder: Path, sample_rate: int) -> None:
        """Use a folder for speech at `sample_rate` Hz."""
        self.folder = folder
        self._rate = sample_rate

    def has(self, key: str) -> bool:
        """Return whether a sentence was spoken."""
        return self._path(key).is_file()

    def load(self, key: str) -> SpokenRecord | None:
        """Return what was spoken under a key, or None if that is not there or damaged."""
        try:
            with np.load(self._path(key), allow_pickle=False) as arrays:
                codes = arrays["codes"].astype(np.int64)
                fields = json.loads(str(arrays["fields"]))
            words = [TimedWord(*word) for word in fields["words"]]
            check = _read_check(fields["check"])
            return SpokenRecord(codes, words, check, fields["skipped"])
        except _DAMAGED:
            return None

    def load_sound(self, key: str, watermark: str, length: int) -> Samples | None:
        """Return the sound [length] of a sentence, or None if that is not there or damaged.

        Args:
            key: Of the sentence.
            watermark: Names the watermark that it has to have.
            length: In samples.
        """
        try:
            sound, rate = soundfile.read(self._path(key, f"-{watermark}.flac"), dtype="float32")
        except (OSError, soundfile.SoundFileError):
            return None
        return sound if sound.shape == (length,) and rate == self._rate else None

    def store_sound(self, key: str, watermark: str, sound: Samples) -> None:
        """Keep the sound [N] of a sentence, in 16 bits.

        Raises:
            OutputError: It cannot be written.
        """
        path = self._path(key, f"-{watermark}.flac")
        make_folder(path.parent)
        with write_atomically(path, private=True) as part:
            encode_audio(part, "flac", sound, self._rate, "")

    def store(self, key: str, record: SpokenRecord) -> None:
        """Keep what was spoken, but for its sound.

        Raises:
            OutputError: It cannot be written.
        """
        fields = {
            "words": [list(word) for word in record.words],
            "check": dataclasses.asdict(record.check) if record.check else None,
            "skipped": record.skipped,
        }
        data = io.BytesIO()
        np.savez_compressed(
            data, codes=record.codes.astype(np.int16), fields=np.array(json.dumps(fields))
        )
        path = self._path(key)
        make_folder(path.parent)
        with write_atomically(path, private=True) as part:
            part.write_bytes(data.getvalue())

    def _path(self, key: str, suffix: str = ".npz") -> Path:
        return self.folder / key[:2] / f"{key}{suffix}"


def _read_check(fields: dict[str, Any] | None) -> Check | None:
    if fields is None:
        return None
    return Check(**fields | {name: tuple(fields[name]) for name in ("missing", "repeated")})


class SentenceKeys:
    """Hashes of all that decides how sentences of one book sound."""

    def __init__(self, bundle: Bundle, options: BookOptions, reading: Reading) -> None:
        graphs = sorted((name, graph.sha256) for name, graph in bundle.config.graphs.items())
        self._common = [
            _VERSION,
            graphs,
            options.seed,
            options.temperature,
            options.top_p,
            options.best_of,
            options.retries,
        ]
        self._speed = options.speed
        self._lexicon: Mapping[str, Any] = reading.lexicon
        self._voices: dict[int, str] = {}

    def find(self, sentence: BookSentence, voice: Voice) -> str:
        """Return the key of a sentence in a voice.

        Of the lexicon only the words that stand in the sentence count, so that a new entry has
        only the sentences with that word spoken again.
        """
        text = " ".join(sentence.text.split())
        words = {text[a:b].lower().replace("’", "'") for a, b in find_words(text)}
        entries = sorted((word, repr(self._lexicon[word])) for word in words & self._lexicon.keys())
        values = [
            *self._common,
            self._speed * sentence.rate,
            sentence.planned.id,
            text,
            sentence.style,
            sentence.edit.redo,
            entries,
            self._hash_voice(voice),
        ]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def _hash_voice(self, voice: Voice) -> str:
        if id(voice) not in self._voices:
            parts = recording_sha256(voice.audio, voice.sample_rate), voice.symbols, voice.stress
            digest = hashlib.sha256(repr(parts).encode())
            digest.update(np.ascontiguousarray(voice.frame_symbol).tobytes())
            self._voices[id(voice)] = digest.hexdigest()
        return self._voices[id(voice)]


def derive_seed(seed: int, sentence_id: str) -> int:
    """Return the seed of a sentence: its own, whatever stands before it."""
    digest = hashlib.sha256(f"{seed} {sentence_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
