"""Speaking: a text and a voice in, speech out, piece by piece.

Each sentence goes from phonemes to first-codebook codes (AR, which also says which phoneme each
frame is at), to all codebooks in blocks (NAR), to samples (codec), all of them as they come.
Speaking as a whole is the same stream joined.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle import __version__, registry
from valle.audio import resample
from valle.bundle import Bundle
from valle.codec import Codec, Codes, Timbre
from valle.decoder import ARDecoder, PromptCache
from valle.enrolment import Source, check_consent, enroll
from valle.errors import UsageError
from valle.listener import Check, Listener
from valle.nar import NAR, NARPrompt
from valle.options import SpeakOptions
from valle.output import Output
from valle.plan import Slot, Symbols, Task, schedule
from valle.pointer import durations, stays
from valle.safety.watermark import Marker
from valle.sampling import Pace, Sampling, expected_frames
from valle.sentences import Utterance, utterances
from valle.speaker import SpeakerEncoder
from valle.speech import Speech
from valle.text import BORDERS, Sentence
from valle.voice import Voice

REDO = 2  # how often `speak` says a sentence again that the listener did not understand
UNNAMED = "unnamed"

Ints = NDArray[np.int64]


def load(source: str | Path | None = None, threads: int | None = None) -> Model:
    """Open a model: the default one (None), a bundle's folder, or `hf://owner/name`.

    `threads` bounds the processor threads it uses; None is one for each core. Raises BundleError.
    """
    return Model(Bundle.load(source, threads))


def find_voice(voice: Voice | str | Path) -> Voice:
    """A voice itself, the one kept under a name, or the one in a file.

    A string is a file if a folder is named in it, or it is no name of a voice kept and there is
    such a file. Raises UsageError for an unknown name, and what `Voice.load` raises.
    """
    if isinstance(voice, Voice):
        return voice
    if isinstance(voice, Path) or os.path.dirname(voice):
        return Voice.load(voice)
    if voice not in registry.names() and os.path.isfile(voice):
        return Voice.load(voice)
    return registry.load(voice)


@dataclass(frozen=True)
class _Reader:
    """What the models keep of a voice; it serves every text."""

    ar: PromptCache
    nar: NARPrompt
    timbre: Timbre
    symbols: Symbols
    durations: Ints  # [symbols] frames


class Model:
    """A bundle that speaks. Safe to share between threads; graphs are read when first used."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codec = Codec(bundle)
        self.sample_rate = bundle.config.sample_rate  # Hz
        self.frame_rate = bundle.config.sample_rate / bundle.config.hop  # frames a second
        self._listener = Listener(bundle)
        self._speaker = SpeakerEncoder(bundle)
        self._ar = ARDecoder(bundle)
        self._nar = NAR(bundle)
        self._ids = {symbol: index for index, symbol in enumerate(bundle.config.symbols)}
        self._readers: weakref.WeakKeyDictionary[Voice, _Reader] = weakref.WeakKeyDictionary()

    def enroll(
        self,
        recording: Source | NDArray[np.generic],
        name: str | None = None,
        ref_text: str | None = None,
        consent: str | Path | None = None,
        attest: str | None = None,
    ) -> Voice:
        """Learn a voice from the best 10 s of a recording.

        The voice is returned, not kept: `Voice.save` writes it to a file, `valle.registry.add`
        keeps it under its name.

        Args:
            recording: a path, an open binary file, (samples, sample rate), or samples at this
                model's `sample_rate`; 1.5 s of speech is the least, 3 s is good.
            name: letters, digits, spaces and any of _ . - , at most 64.
            ref_text: all that the recording says; without it, the listener hears for itself.
            consent: a recording of the owner's spoken agreement; not taken by this version.
            attest: your words for the right you have to the voice, kept in its receipt.

        Raises ConsentError without agreement, RecordingError for a recording that cannot be used,
        UsageError for what cannot be a name, TextError for a `ref_text` that does not fit.
        """
        statement = check_consent(attest, consent)
        if isinstance(recording, np.ndarray):
            recording = (recording, self.sample_rate)
        chosen = UNNAMED if name is None else name
        voice = enroll(self.bundle, recording, chosen, ref_text, statement)
        self._codes(voice)
        self._embedding(voice)
        self._timbre(voice)
        return voice

    def speak(
        self,
        text: str | Iterable[str],
        voice: Voice | str | Path,
        *,
        redo: int = REDO,
        **options: Any,
    ) -> Speech:
        """Say a text: the pieces of `stream`, joined.

        With `redo`, a sentence in which the listener misses something is said again, by other
        chances drawn from the same seed, and the best of all tries is kept.
        """
        return Speech.join(self.stream(text, voice, redo=redo, **options))

    def stream(
        self,
        text: str | Iterable[str],
        voice: Voice | str | Path,
        *,
        redo: int = 0,
        **options: Any,
    ) -> Iterator[Speech]:
        """Say a text piece by piece, each as soon as it is made.

        Args:
            text: what to say, or pieces of it as they come: a sentence is begun when it is
                complete. `[[...]]` is IPA, spoken as given.
            voice: from `enroll`, or the name or file of one.
            redo: how often to say a sentence again that the listener does not understand; such a
                sentence comes as a whole, since it is checked first.
            options: see `SpeakOptions`. The same text, voice and options give the same samples.

        Raises UsageError and TextError, and what `find_voice` raises.
        """
        chosen = SpeakOptions.of(**options)
        if redo < 0:
            raise UsageError(f"redo is {redo}; give 0 or more")
        if chosen.duration is not None and not isinstance(text, str):
            raise UsageError("--duration needs the whole text at once, not pieces of it")
        found = find_voice(voice)
        said = utterances(text, self.bundle.config.language)
        if isinstance(text, str):
            said = iter(list(said))  # so that a text without words is refused here and now
        return self._stream(said, found, chosen, redo)

    def _stream(
        self, said: Iterator[Utterance], voice: Voice, options: SpeakOptions, redo: int
    ) -> Iterator[Speech]:
        reader = self._reader(voice)
        marker = Marker(self.sample_rate)
        provenance = self._provenance(voice, options, marker)
        output = Output(self.codec, reader.timbre, marker, provenance)

        def tasks() -> Iterator[Task]:
            for utterance in said:
                output.skip(utterance.skipped)
                if utterance.sentence is not None:
                    yield self._task(utterance.sentence, reader)

        for index, slot in enumerate(schedule(tasks(), options, self.frame_rate)):
            if slot.pause:
                silence = np.zeros(slot.pause * self.codec.hop, np.float32)
                yield from output.wait(self.codec.encode(silence))
            output.begin(slot.task.sentence)
            blocks: Iterable[tuple[Codes, Ints]]
            check: Check | None = None
            if redo:
                blocks, check = self._best(reader, slot, options, index, redo)
            else:
                blocks = self._say(reader, slot, options, index, 0)
            made = []
            for codes, symbols in blocks:
                made.append(codes)
                yield from output.feed(codes, symbols)
            output.end(check or self._check(slot.task, np.concatenate(made), reader))
        yield output.finish()

    def _task(self, sentence: Sentence, reader: _Reader) -> Task:
        phonemes = sentence.phonemes
        symbols = self._symbols([p.symbol for p in phonemes], [p.stress for p in phonemes])
        voice = reader.symbols
        expected = expected_frames(
            symbols.ids, symbols.borders, voice.ids, voice.borders, reader.durations
        )
        return Task(sentence, symbols, expected)

    def _say(
        self,
        reader: _Reader,
        slot: Slot,
        options: SpeakOptions,
        index: int,
        attempt: int,
    ) -> Iterator[tuple[Codes, Ints]]:
        """Blocks of a sentence: codes [n, codebooks] and the symbol index of each frame, [n]."""
        # Each sentence and attempt has chances of its own, whatever was said before it.
        chances = np.random.SeedSequence((options.seed, index, attempt)).spawn(2)
        rng, nar_rng = (np.random.Generator(np.random.PCG64(one)) for one in chances)
        symbols = slot.task.symbols
        encoded = self._ar.encode(symbols.ids, symbols.stress, reader.nar.voice)
        sampling = Sampling(options.temperature, options.top_p)
        pace = None if slot.frames is None else Pace(slot.frames, slot.task.expected)
        visited: list[int] = []

        def first_codes() -> Iterator[tuple[int, int, int]]:
            for code, symbol in self._ar.generate(
                reader.ar, encoded, symbols.borders, sampling, rng, pace
            ):
                visited.append(symbol)
                yield code, int(symbols.ids[symbol]), int(symbols.stress[symbol])

        done = 0
        for codes in self._nar.refine(reader.nar, first_codes(), options.temperature, nar_rng):
            yield codes, np.array(visited[done : done + len(codes)], np.int64)
            done += len(codes)

    def _best(
        self,
        reader: _Reader,
        slot: Slot,
        options: SpeakOptions,
        index: int,
        redo: int,
    ) -> tuple[list[tuple[Codes, Ints]], Check]:
        """The first attempt that the listener understands, or the best of all."""
        tries = []
        # At temperature 0 there is no chance, and every attempt would be the same.
        for attempt in range(1 + redo if options.temperature else 1):
            blocks = list(self._say(reader, slot, options, index, attempt))
            check = self._check(slot.task, np.concatenate([codes for codes, _ in blocks]), reader)
            tries.append((blocks, check))
            if check.passed:
                break
        return min(tries, key=lambda one: _faults(one[1]))

    def _check(self, task: Task, codes: Codes, reader: _Reader) -> Check:
        sentence = task.sentence
        words = [sentence.words[p.word].text if p.word >= 0 else "" for p in sentence.phonemes]
        symbols = [phoneme.symbol for phoneme in sentence.phonemes]
        samples = self.codec.decode(codes, reader.timbre)
        return self._listener.check(samples, symbols, words)

    def _symbols(self, symbols: Sequence[str], stress: Sequence[int]) -> Symbols:
        return Symbols(
            np.array([self._ids.get(symbol, 0) for symbol in symbols], np.int64),
            np.array(stress, np.int64),
            np.array([symbol in BORDERS for symbol in symbols], bool),
        )

    def _reader(self, voice: Voice) -> _Reader:
        if voice not in self._readers:
            codes = self._codes(voice)
            # A voice made with another codec may have another number of frames.
            frames = np.arange(len(codes)) * len(voice.frame_symbol) // len(codes)
            at = voice.frame_symbol[frames]
            symbols = self._symbols(voice.symbols, voice.stress)
            embedding = self._embedding(voice)
            encoded = self._ar.encode(symbols.ids, symbols.stress, embedding)
            self._readers[voice] = _Reader(
                self._ar.prompt(codes, encoded[at], stays(at)),
                self._nar.prompt(codes, symbols.ids[at], symbols.stress[at], embedding),
                self._timbre(voice),
                symbols,
                durations(at, len(symbols.ids)),
            )
        return self._readers[voice]

    def _codes(self, voice: Voice) -> Codes:
        graph = self.bundle.graph_hash("codec_encoder")
        codes: Any = voice.derive("codes", graph, lambda: self.codec.encode(self._samples(voice)))
        return self.codec.checked(codes)

    def _embedding(self, voice: Voice) -> NDArray[np.float32]:
        """The speaker's embedding [192], of unit length."""
        graph = self.bundle.graph_hash("speaker")
        embedding = voice.derive(
            "embedding", graph, lambda: self._speaker.embed(self._samples(voice))
        )
        return np.asarray(embedding, np.float32)

    def _timbre(self, voice: Voice) -> Timbre:
        if not self.bundle.config.timbre:
            return self.codec.timbre(np.zeros(0, np.float32))
        graph = self.bundle.graph_hash("timbre")
        timbre: Any = voice.derive("timbre", graph, lambda: self.codec.timbre(self._samples(voice)))
        return timbre

    def _samples(self, voice: Voice) -> NDArray[np.float32]:
        return resample(voice.audio, voice.sample_rate, self.sample_rate)

    def _provenance(self, voice: Voice, options: SpeakOptions, marker: Marker) -> dict[str, Any]:
        return {
            "made_by": f"valle {__version__}",
            "model": self.bundle.config.name,
            "voice": voice.name,
            "consent": {"kind": voice.consent["kind"], "id": voice.consent["id"]},
            "options": options.model_dump(),
            "watermark": marker.described(),
        }


def _faults(check: Check) -> tuple[float, ...]:
    """Less is better: whole words first, then phonemes, then how clear they are."""
    return len(check.missing) + len(check.doubled), check.phoneme_error_rate, -check.score
