"""Speaking cues, several at once, and keeping what was spoken on disk.

The models share their steps among the cues that are spoken at the same time. A cue is found again
by a hash of all that determines its samples, so a run goes on where it was interrupted, and a
changed cue costs that cue alone.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeVar

import numpy as np
import soundfile

from valle.arrays import Samples
from valle.audio.loudness import measure_loudness
from valle.dubbing.onsets import find_sound
from valle.errors import UsageError
from valle.media.disk_cache import DiskCache
from valle.options import SpeakKeywords, SpeakOptions
from valle.synthesis.model import Model
from valle.synthesis.speech import Speech
from valle.text.symbols import VOWELS
from valle.trust import ledger
from valle.version import __version__
from valle.voices.voice import Voice

Result = TypeVar("Result")
_PARALLEL = 6  # cues that are spoken at once
_PAUSE = {"sentence": 0.3, "paragraph": 0.3}  # seconds inside a cue
_SLOWER = 1.08  # how much longer to ask for where the phonemes do not fit
_ATTEMPTS = 8
_FADING = 0.12  # seconds of words, mostly at their end, that are too quiet to count as sound
_SHORTEST = 0.1  # seconds of sound


@dataclass(frozen=True)
class CueRequest:
    """A cue to be spoken."""

    text: str
    voice: Voice
    seed: int
    seconds: float | None = None
    """Of the whole speech, its silent ends included; None leaves it to the model."""
    attempt: int = 0
    """How often it was spoken for this length before."""


@dataclass(frozen=True)
class CueLength:
    """How long a cue is at its own pace."""

    total_seconds: float
    """Its silent ends included."""
    word_seconds: float
    """From its first word to the end of its last one."""
    sentences: int

    @property
    def seconds(self) -> float:
        """Of its sound, about."""
        return max(_SHORTEST, self.word_seconds - _FADING)


@dataclass(frozen=True, eq=False)
class CueSpeech:
    """A cue that was spoken."""

    key: str
    """A hash of all that determines the samples."""
    flac: bytes
    """The samples as FLAC: most of a film's cues are not heard again in a second run."""
    total_seconds: float
    """Length of the samples."""
    loudness: float
    """LUFS of the sound."""
    begin: float
    """Seconds: where the sound begins in the samples."""
    end: float
    """Seconds: where it ends."""
    syllables: int
    missing: tuple[str, ...]
    """Words that the recognizer did not hear."""
    repeated: tuple[str, ...]
    """Words that it heard twice."""
    phoneme_error_rate: float
    words: tuple[tuple[str, float, float], ...]
    """(word, start, end), in seconds from the first sample."""

    @property
    def seconds(self) -> float:
        """Length of the sound."""
        return self.end - self.begin

    @property
    def word_seconds(self) -> float:
        """From its first word to the end of its last one."""
        return max(_SHORTEST, self.words[-1][2] - self.words[0][1]) if self.words else self.seconds

    def decode(self) -> tuple[Samples, int]:
        """Return the samples [N], mono, and their rate in Hz."""
        return decode_flac(self.flac)


class CueSpeaker:
    """Speaks cues with one model and the same options."""

    def __init__(
        self,
        model: Model,
        retries: int = 2,
        lexicon: str | dict[str, str] | None = None,
        cache: DiskCache | None = None,
    ) -> None:
        self._model = model
        self._options = SpeakOptions.from_keywords(retries=retries, lexicon=lexicon, pause=_PAUSE)
        self._cache = cache
        spellings = _read_bytes(lexicon) if isinstance(lexicon, str) else repr(lexicon).encode()
        self._context = DiskCache.make_key(
            __version__,
            model.bundle.config.model_dump_json(),
            ledger.get_signing_key().id,
            self._options.model_dump(exclude={"lexicon"}),
            spellings,
        )

    def measure_all(self, requests: Sequence[CueRequest]) -> Iterator[tuple[int, CueLength]]:
        """Measure cues at their own pace; yields (index, length) in the order of their ends.

        Raises:
            Error: What `Model.measure` raises.
        """
        return _run_all(self.measure, requests)

    def speak_all(self, requests: Sequence[CueRequest]) -> Iterator[tuple[int, CueSpeech]]:
        """Speak cues; yields (index, speech) in the order in which they are ready.

        Raises:
            Error: What `Model.speak` raises.
        """
        return _run_all(self.speak, requests)

    def measure(self, request: CueRequest) -> CueLength:
        """Measure one cue by the AR model, or load its length if it was measured before."""
        key = self._make_key(replace(request, seconds=None, attempt=0), "length")
        if self._cache is not None and (stored := self._cache.load(key)) is not None:
            return CueLength(*json.loads(stored))
        options = self._options.as_keywords() | {"seed": request.seed}
        natural = self._model.measure(request.text, request.voice, **options)
        words = natural.seconds - natural.lead - natural.trail
        length = CueLength(natural.seconds, words, natural.sentences)
        if self._cache is not None:
            self._cache.store(key, json.dumps(dataclasses.astuple(length)).encode())
        return length

    def speak(self, request: CueRequest) -> CueSpeech:
        """Speak one cue, or load it if it was spoken before."""
        key = self._make_key(request)
        if self._cache is not None and (stored := self._cache.load(key)) is not None:
            return _unpack(key, stored)
        # What is new and what comes from the cache have the same samples, those of 16 bits.
        packed = _pack(self._generate(request))
        if self._cache is not None:
            self._cache.store(key, packed)
        return _unpack(key, packed)

    def _generate(self, request: CueRequest) -> Speech:
        options = self._options.as_keywords() | {"seed": request.seed}
        if request.attempt:
            numbers = range(1, self.measure(request).sentences + 1)
            options["redo"] = [*numbers] * request.attempt
        seconds = request.seconds
        if seconds is None:
            return self._model.speak(request.text, request.voice, **options)
        for _ in range(_ATTEMPTS):
            try:
                timed: SpeakKeywords = {**options, "duration": seconds}
                return self._model.speak(request.text, request.voice, **timed)
            except UsageError:
                seconds *= _SLOWER  # too short for the phonemes
        return self._model.speak(request.text, request.voice, **options)

    def _make_key(self, request: CueRequest, kind: str = "speech") -> str:
        return DiskCache.make_key(
            self._context,
            kind,
            _identify(request.voice),
            request.text,
            (request.seed, request.seconds, request.attempt),
        )


def _run_all(
    work: Callable[[CueRequest], Result], requests: Sequence[CueRequest]
) -> Iterator[tuple[int, Result]]:
    """Do some work for requests, several at once; yields (index, result) as they are ready."""
    pool = ThreadPoolExecutor(_PARALLEL)
    try:
        futures = {pool.submit(work, request): index for index, request in enumerate(requests)}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@lru_cache(maxsize=64)
def _identify(voice: Voice) -> str:
    """Return a hash of all of a voice that determines what it speaks like."""
    return DiskCache.make_key(
        voice.consent["id"],
        np.ascontiguousarray(voice.audio).tobytes(),
        (voice.symbols, voice.stress, voice.frame_symbol.tolist()),
    )


def _read_bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:  # reported where the lexicon is read
        return b""


def encode_flac(samples: Samples, sample_rate: int) -> bytes:
    """Return samples [N] as FLAC of 16 bits; what is beyond [-1, 1] is scaled down."""
    file = io.BytesIO()
    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    soundfile.write(file, samples / peak, sample_rate, "PCM_16", format="FLAC")
    return file.getvalue()


def decode_flac(data: bytes) -> tuple[Samples, int]:
    """Return the samples [N] of FLAC, and their rate in Hz."""
    samples, sample_rate = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples, sample_rate


def _pack(speech: Speech) -> bytes:
    """Return what is kept of speech: a header of JSON, and the samples."""
    samples, rate = speech.audio, speech.sample_rate
    begin, end = find_sound(samples, rate)
    check = speech.check
    fields = {
        "total_seconds": speech.seconds,
        "loudness": measure_loudness(samples[round(begin * rate) : round(end * rate)], rate),
        "begin": begin,
        "end": end,
        "syllables": sum(phoneme.symbol in VOWELS for phoneme in speech.phonemes),
        "missing": check.missing if check else (),
        "repeated": check.repeated if check else (),
        "phoneme_error_rate": check.phoneme_error_rate if check else 0.0,
        "words": [(word.word, word.start, word.end) for word in speech.words],
    }
    header = json.dumps(fields).encode()
    return len(header).to_bytes(4, "big") + header + encode_flac(samples, rate)


def _unpack(key: str, data: bytes) -> CueSpeech:
    length = int.from_bytes(data[:4], "big")
    fields = json.loads(data[4 : 4 + length])
    for name in ("missing", "repeated"):
        fields[name] = tuple(fields[name])
    fields["words"] = tuple((word, start, end) for word, start, end in fields["words"])
    return CueSpeech(key=key, flac=data[4 + length :], **fields)
