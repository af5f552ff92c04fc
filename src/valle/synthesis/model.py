"""Speaking: a text and a voice in, speech out, piece by piece.

Each sentence goes from phonemes to first-codebook codes (AR, which also says which phoneme each
frame is at), to all codebooks in blocks (NAR), to samples (codec), all of them as they come.
Speaking as a whole is the same stream joined.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Ints, Samples
from valle.bundle.bundle import Bundle
from valle.consent.agreement import agreement, record
from valle.consent.permission import check_usable
from valle.errors import UsageError
from valle.options import SpeakOptions
from valle.runtime.check import Check
from valle.runtime.codec import Codec
from valle.runtime.recognizer import Listener
from valle.synthesis.assembler import Output
from valle.synthesis.durations import Slot, Task, schedule
from valle.synthesis.generator import Begun, Reader, Sayer
from valle.synthesis.speech import Speech
from valle.text.normalization import Skipped
from valle.text.segmentation import Utterance, utterances
from valle.trust import ledger
from valle.version import __version__
from valle.voices import registry
from valle.voices.enrollment import Source, enroll
from valle.voices.voice import Voice
from valle.watermark.embed import Marker, Payload

AHEAD = 3  # sentences begun before their turn: they are made together with the one being said
TOGETHER = 4  # tries of a sentence that are begun at once
REDO = 2  # how often `speak` says a sentence again that the listener did not understand
UNNAMED = "unnamed"

Item = TypeVar("Item")
Work = TypeVar("Work")


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


class Model:
    """A bundle that speaks. Safe to share between threads; graphs are read when first used."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.codec = Codec(bundle)
        self.sample_rate = bundle.config.sample_rate  # Hz
        self.frame_rate = bundle.config.sample_rate / bundle.config.hop  # frames a second
        self._listener = Listener(bundle)
        self._sayer = Sayer(bundle, self.codec)

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

        The voice is returned, not kept: `Voice.save` writes it to a file,
        `valle.voices.registry.add` keeps it under its name.

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
        self._sayer.reader(voice)  # what it derives is kept in the voice
        return voice

    def embedding(self, voice: Voice) -> NDArray[np.float32]:
        """What the speaker encoder makes of a voice: [192], of unit length."""
        return self._sayer.embedding(voice)

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
        chances drawn from the same seed, and the best of all tries is kept. With the option
        `best_of`, it is said so often at once, and again until so many tries miss nothing.
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
                sentence comes as a whole, since it is checked first. So it does with `best_of`.
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
        reader = self._sayer.reader(voice)
        owner_key = ledger.signer().watermark_key()
        payload = Payload.of(owner_key, voice.consent["id"])
        marker = Marker(self.sample_rate, owner_key, payload)
        provenance = self._provenance(voice, options, marker)
        output = Output(self.codec, reader.nar.voice, marker, provenance)

        skipped: list[Skipped] = []  # of what was read so far, and not reported yet

        def tasks() -> Iterator[Task]:
            for utterance in said:
                skipped.extend(utterance.skipped)
                if utterance.sentence is not None:
                    yield self._sayer.task(utterance.sentence, reader)

        # At temperature 0 there is no chance, and every try would be the same.
        tries = options.best_of if options.temperature else 1
        redo = redo if options.temperature else 0

        def begin(place: tuple[int, Slot]) -> list[Begun]:
            index, slot = place
            now = range(min(tries, TOGETHER))
            return [self._sayer.begin(reader, slot, options, index, attempt) for attempt in now]

        slots = enumerate(schedule(tasks(), options, self.frame_rate))
        # Where the text is all there, sentences are made together with those that follow.
        sentences = Ahead(slots, begin, 0 if whole is None else AHEAD)
        for place, begun in sentences:
            index, slot = place
            check_usable(voice, language=self.bundle.config.language)
            if index == 0 or whole is None:
                self._record(slot.task.sentence.text if whole is None else whole, voice, options)
            output.skip(skipped)
            skipped.clear()
            if slot.pause:
                silence = np.zeros(slot.pause * self.codec.hop, np.float32)
                yield from output.wait(self.codec.encode(silence))
            output.begin(slot.task.sentence)
            attempts = self._attempts(reader, place, options, begun, tries + redo, sentences.go_on)
            if redo or tries > 1:
                output, pieces = self._best(output, attempts, reader, slot.task, tries)
                yield from pieces
            else:
                (blocks,) = attempts
                for codes, symbols in blocks:
                    yield from output.feed(codes, symbols)
                output.end(self._check(slot.task, output.heard()))
        output.skip(skipped)
        yield output.finish()

    def _attempts(
        self,
        reader: Reader,
        place: tuple[int, Slot],
        options: SpeakOptions,
        begun: list[Begun],
        count: int,
        go_on: Callable[[], None],
    ) -> Iterator[Iterator[tuple[Codes, Ints]]]:
        """The blocks of each of `count` attempts to say a sentence: of those begun, then of others,
        which are begun when they are asked for."""
        index, slot = place
        yield from (self._sayer.say(reader, slot, options, one, go_on) for one in begun)
        for attempt in range(len(begun), count):
            one = self._sayer.begin(reader, slot, options, index, attempt)
            yield self._sayer.say(reader, slot, options, one, go_on)

    def _best(
        self,
        output: Output,
        attempts: Iterable[Iterable[tuple[Codes, Ints]]],
        reader: Reader,
        task: Task,
        count: int,
    ) -> tuple[Output, list[Speech]]:
        """The best of all attempts, of which no more are made once `count` miss nothing.

        Returns the pieces of the best, and what `output` is then.
        """
        tries = []
        for blocks in attempts:
            after = output.copy()
            pieces = [piece for codes, symbols in blocks for piece in after.feed(codes, symbols)]
            check = self._check(task, after.heard())
            tries.append((check, after, pieces))
            after.end(check)
            if sum(check.passed for check, _, _ in tries) == count:
                break
        if len(tries) == 1:
            return tries[0][1:]
        return min(tries, key=lambda one: self._faults(reader, *one[:2]))[1:]

    def _faults(self, reader: Reader, check: Check, output: Output) -> tuple[float, ...]:
        """Less is better: whole words first, then phonemes and the likeness of the voice."""
        likeness = self._sayer.likeness(reader, output.heard())
        return len(check.missing) + len(check.doubled), check.phoneme_error_rate - likeness

    def _check(self, task: Task, samples: Samples) -> Check:
        sentence = task.sentence
        words = [sentence.words[p.word].text if p.word >= 0 else "" for p in sentence.phonemes]
        symbols = [phoneme.symbol for phoneme in sentence.phonemes]
        return self._listener.check(samples, symbols, words)

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


class Ahead(Iterator[tuple[Item, Work]], Generic[Item, Work]):
    """Items in their order, each with what `begin` gave for it.

    An item is begun when its turn comes, or before: each `go_on` begins those that come next, so
    that up to `count` are waiting.
    """

    def __init__(self, items: Iterable[Item], begin: Callable[[Item], Work], count: int) -> None:
        self._items = iter(items)
        self._begin = begin
        self._count = count
        self._waiting: deque[tuple[Item, Work]] = deque()

    def __next__(self) -> tuple[Item, Work]:
        if not self._waiting:
            item = next(self._items)
            return item, self._begin(item)
        return self._waiting.popleft()

    def go_on(self) -> None:
        """Begin the items that come next."""
        while len(self._waiting) < self._count:
            for item in self._items:
                self._waiting.append((item, self._begin(item)))
                break
            else:
                return
