"""Speaking: a text and a voice in, speech out, piece by piece.

Each sentence goes from phonemes to first-codebook codes (AR, which also says which phoneme each
frame is at), to all codebooks in blocks (NAR), to samples (codec), all of them as they come.
Speaking as a whole is the same stream joined.
"""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle import __version__, registry
from valle.ahead import Ahead
from valle.audio import resample
from valle.batching import Frames
from valle.bundle import Bundle
from valle.check import Check
from valle.codec import Codec, Codes, Samples
from valle.colour import SENTENCES, matching_filter
from valle.decoder import ARDecoder, PromptCache
from valle.enrolment import Source, enroll
from valle.errors import UsageError
from valle.listener import Listener
from valle.nar import NAR, NARPrompt
from valle.normalise import Skipped
from valle.options import SpeakOptions
from valle.output import Output
from valle.plan import Slot, Symbols, Task, schedule
from valle.pointer import durations, stays
from valle.safety import ledger
from valle.safety.agreement import agreement, record
from valle.safety.permission import check_usable
from valle.safety.watermark import Marker
from valle.sampling import Pace, Sampling, expected_frames
from valle.sentences import Utterance, utterances
from valle.speaker import SpeakerEncoder
from valle.speech import Speech
from valle.text import BORDERS, Sentence, to_sentences
from valle.voice import Voice

AHEAD = 3  # sentences begun before their turn: they are made together with the one being said
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
    symbols: Symbols
    durations: Ints  # [symbols] frames


@dataclass(frozen=True)
class _Begun:
    """A sentence that the AR model has begun to say."""

    frames: Frames
    rng: np.random.Generator  # the NAR's chances


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
        challenge: str | None = None,
    ) -> Voice:
        """Learn a voice from the best 10 s of a recording.

        The voice is returned, not kept: `Voice.save` writes it to a file, `valle.registry.add`
        keeps it under its name.

        Args:
            recording: a path, an open binary file, (samples, sample rate), or samples at this
                model's `sample_rate`; 1.5 s of speech is the least, 3 s is good.
            name: letters, digits, spaces and any of _ . - , at most 64.
            ref_text: all that the recording says; without it, the listener hears for itself.
            consent: a recording of the owner reading what `valle consent new` gave, or else
            attest: your own words for the right you have to the voice. One of the two is needed.
            challenge: which statement the owner read; None for the newest that is open for `name`.

        The voice and its receipt are entered in the ledger. Raises ConsentError without agreement,
        RecordingError for a recording that cannot be used, UsageError for what cannot be a name,
        TextError for a `ref_text` that does not fit, OutputError where the ledger cannot be
        written.
        """
        agreed = agreement(self.bundle, name, attest, consent, challenge)
        if isinstance(recording, np.ndarray):
            recording = (recording, self.sample_rate)
        chosen = UNNAMED if name is None else name
        voice = enroll(self.bundle, recording, chosen, ref_text, agreed)
        record(voice)
        self._colour(voice, self._reader(voice))
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

        Nothing is said that is not in the ledger, nor in a voice whose receipt does not hold when
        a sentence is begun. Raises UsageError and TextError, and what `find_voice` and
        `check_usable` raise.
        """
        chosen = SpeakOptions.of(**options)
        if redo < 0:
            raise UsageError(f"redo is {redo}; give 0 or more")
        if chosen.duration is not None and not isinstance(text, str):
            raise UsageError("--duration needs the whole text at once, not pieces of it")
        language = self.bundle.config.language
        found = find_voice(voice)
        check_usable(found, language=language)
        said: Iterable[Utterance] = utterances(text, language)
        if isinstance(text, str):
            said = list(said)  # so that a text without words is refused here and now
        whole = text if isinstance(text, str) else None
        return self._stream(said, found, chosen, redo, whole)

    def _stream(
        self,
        said: Iterable[Utterance],
        voice: Voice,
        options: SpeakOptions,
        redo: int,
        whole: str | None,
    ) -> Iterator[Speech]:
        """`whole`: all of the text, None when it comes in pieces."""
        reader = self._reader(voice)
        marker = Marker(self.sample_rate)
        provenance = self._provenance(voice, options, marker)
        output = Output(self.codec, self._colour(voice, reader), marker, provenance)

        skipped: list[Skipped] = []  # of what was read so far, and not reported yet

        def tasks() -> Iterator[Task]:
            for utterance in said:
                skipped.extend(utterance.skipped)
                if utterance.sentence is not None:
                    yield self._task(utterance.sentence, reader)

        def begin(place: tuple[int, Slot]) -> _Begun:
            index, slot = place
            return self._begin(reader, slot, options, index, 0)

        slots = enumerate(schedule(tasks(), options, self.frame_rate))
        # Where the text is all there, sentences are made together with those that follow.
        sentences = Ahead(slots, begin, 0 if whole is None else AHEAD)
        for (index, slot), begun in sentences:
            check_usable(voice, language=self.bundle.config.language)
            if index == 0 or whole is None:
                self._record(slot.task.sentence.text if whole is None else whole, voice, options)
            output.skip(skipped)
            skipped.clear()
            if slot.pause:
                silence = np.zeros(slot.pause * self.codec.hop, np.float32)
                yield from output.wait(self.codec.encode(silence))
            output.begin(slot.task.sentence)
            blocks = self._say(reader, slot, options, begun, sentences.go_on)
            if redo:
                output, pieces = self._best(output, blocks, reader, slot, options, index, redo)
                yield from pieces
            else:
                for codes, symbols in blocks:
                    yield from output.feed(codes, symbols)
                output.end(self._check(slot.task, output.heard()))
        output.skip(skipped)
        yield output.finish()

    def _task(self, sentence: Sentence, reader: _Reader) -> Task:
        phonemes = sentence.phonemes
        symbols = self._symbols([p.symbol for p in phonemes], [p.stress for p in phonemes])
        voice = reader.symbols
        expected = expected_frames(
            symbols.ids, symbols.borders, voice.ids, voice.borders, reader.durations
        )
        return Task(sentence, symbols, expected)

    def _begin(
        self, reader: _Reader, slot: Slot, options: SpeakOptions, index: int, attempt: int
    ) -> _Begun:
        # Each sentence and attempt has chances of its own, whatever was said before it.
        chances = np.random.SeedSequence((options.seed, index, attempt)).spawn(2)
        rng, nar_rng = (np.random.Generator(np.random.PCG64(one)) for one in chances)
        symbols = slot.task.symbols
        encoded = self._ar.encode(symbols.ids, symbols.stress, reader.nar.voice)
        sampling = Sampling(options.temperature, options.top_p)
        pace = None if slot.frames is None else Pace(slot.frames, slot.task.expected)
        frames = self._ar.generate(reader.ar, encoded, symbols.borders, sampling, rng, pace)
        return _Begun(frames, nar_rng)

    def _say(
        self,
        reader: _Reader,
        slot: Slot,
        options: SpeakOptions,
        begun: _Begun,
        go_on: Callable[[], None] = lambda: None,
    ) -> Iterator[tuple[Codes, Ints]]:
        """Blocks of a sentence: codes [n, codebooks] and the symbol index of each frame, [n].

        `go_on` is called whenever a block has been taken, so that the first is there soonest.
        """
        ids, stress = slot.task.symbols.ids, slot.task.symbols.stress
        visited: list[int] = []

        def first_codes() -> Iterator[tuple[int, int, int]]:
            for code, symbol in begun.frames:
                visited.append(symbol)
                yield code, int(ids[symbol]), int(stress[symbol])

        done = 0
        temperature = options.temperature
        for codes in self._nar.refine(reader.nar, first_codes(), temperature, begun.rng):
            yield codes, np.array(visited[done : done + len(codes)], np.int64)
            done += len(codes)
            go_on()

    def _best(
        self,
        output: Output,
        blocks: Iterable[tuple[Codes, Ints]],
        reader: _Reader,
        slot: Slot,
        options: SpeakOptions,
        index: int,
        redo: int,
    ) -> tuple[Output, list[Speech]]:
        """The first attempt that the listener understands, or the best of all.

        `blocks` are the first attempt. Returns the pieces of the best, and what `output` is then.
        """
        tries = []
        # At temperature 0 there is no chance, and every attempt would be the same.
        for attempt in range(1 + redo if options.temperature else 1):
            if attempt:
                begun = self._begin(reader, slot, options, index, attempt)
                blocks = self._say(reader, slot, options, begun)
            after = output.copy()
            pieces = [piece for codes, symbols in blocks for piece in after.feed(codes, symbols)]
            check = self._check(slot.task, after.heard())
            after.end(check)
            tries.append((check, after, pieces))
            if check.passed:
                break
        _, after, pieces = min(tries, key=lambda one: _faults(one[0]))
        return after, pieces

    def _check(self, task: Task, samples: Samples) -> Check:
        sentence = task.sentence
        words = [sentence.words[p.word].text if p.word >= 0 else "" for p in sentence.phonemes]
        symbols = [phoneme.symbol for phoneme in sentence.phonemes]
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

    def _colour(self, voice: Voice, reader: _Reader) -> NDArray[np.float32]:
        """The filter [taps] that brings what is made for a voice to its recording's colour."""
        makers = ("codec_encoder", "codec_decoder", "speaker", "phonemes", "ar", "nar")
        key = hashlib.sha256("".join(map(self.bundle.graph_hash, makers)).encode()).hexdigest()
        taps = voice.derive("colour", key, lambda: self._matched(voice, reader))
        return np.asarray(taps, np.float32)

    def _matched(self, voice: Voice, reader: _Reader) -> NDArray[np.float32]:
        made = []
        for index, text in enumerate(SENTENCES):
            said, _ = to_sentences(text)
            for sentence in said:
                task = self._task(sentence, reader)
                slot = Slot(task, 0, round(float(task.expected.sum())))
                options = SpeakOptions.of()
                begun = self._begin(reader, slot, options, index, 0)
                blocks = self._say(reader, slot, options, begun)
                made.append(self.codec.decode(np.concatenate([codes for codes, _ in blocks])))
        return matching_filter(self._samples(voice), np.concatenate(made), self.sample_rate)

    def _samples(self, voice: Voice) -> NDArray[np.float32]:
        return resample(voice.audio, voice.sample_rate, self.sample_rate)

    def _record(self, text: str, voice: Voice, options: SpeakOptions) -> None:
        """Enter in the ledger what is about to be spoken."""
        ledger.append(
            "speak",
            receipt=voice.consent["id"],
            text_sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
            model=self.bundle.config.name,
            voice=voice.name,
            seed=options.seed,
        )

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
