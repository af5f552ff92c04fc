"""The synthesis pipeline: sentences in, pieces of speech out, each as soon as it is complete.

A sentence passes from phonemes to codebook 1 (AR model), to all codebooks in blocks (NAR model), to
samples (codec decoder), to watermarked samples. Whole texts take the same path as streams.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from valle.arrays import Ints
from valle.bundle.bundle import Bundle
from valle.consent.validity import UsableVoice
from valle.options import SpeakOptions
from valle.runtime.codec import Codec
from valle.runtime.recognizer import PhonemeRecognizer
from valle.synthesis.acoustic_model import AcousticModel
from valle.synthesis.assembler import StreamAssembler
from valle.synthesis.candidates import CandidateSelector
from valle.synthesis.cast import Cast, Speaker
from valle.synthesis.durations import NaturalLength, measure_text, schedule
from valle.synthesis.marks import time_marks
from valle.synthesis.prefetcher import Prefetcher
from valle.synthesis.request import SpeechRequest
from valle.synthesis.sentence_cache import SentenceCache
from valle.synthesis.speech import Speech
from valle.synthesis.timing import keep_times
from valle.synthesis.utterance import Utterance
from valle.synthesis.utterance_reader import UtteranceReader
from valle.trust import ledger
from valle.trust.marking import make_watermark
from valle.trust.spoken import SpokenPrints
from valle.version import __version__
from valle.voices.voice import Voice

PREFETCH_SENTENCES = 3  # started before their turn, so that the AR model computes them in a batch


class Pipeline:
    """All models of a bundle that synthesis takes. Safe to share between threads."""

    def __init__(self, bundle: Bundle, codec: Codec) -> None:
        self._bundle = bundle
        self._codec = codec
        self.acoustic_model = AcousticModel(bundle, codec)
        self.recognizer = PhonemeRecognizer(bundle)
        self.cache: SentenceCache | None = None

    def stream(self, request: SpeechRequest) -> Iterator[Speech]:
        """Synthesize a text piece by piece.

        What is spoken is entered in the ledger first. The receipt of a voice is checked before each
        sentence, and in the middle of one when the ledger has changed. A fingerprint of the sound
        is kept under the receipt.

        Raises:
            UsageError: A sentence does not fit into the duration, or there is no such voice.
            TextError: The text comes in parts, and none has words.
            ConsentError: A voice may not be used.
        """
        with SpokenPrints(self._codec.sample_rate) as prints:
            for piece in time_marks(self._generate(request), request.marks):
                prints.add(piece.provenance["consent"]["id"], piece.audio)
                yield piece

    def measure(self, request: SpeechRequest) -> NaturalLength:
        """Return how long a text is at its own pace, by the AR model alone."""
        cast = Cast(request.find_voice, partial(self._prepare_speaker, options=request.options))
        utterances = UtteranceReader(request, cast, self.acoustic_model)
        measure = partial(self._measure_utterance, cast=cast)
        return measure_text(utterances, request.options, self._frame_rate, measure)

    def _generate(self, request: SpeechRequest) -> Iterator[Speech]:
        cast = Cast(request.find_voice, partial(self._prepare_speaker, options=request.options))
        speaker = cast[None]
        assembler = self._make_assembler(request, speaker)
        reader = UtteranceReader(request, cast, self.acoustic_model)
        # Of a text that comes in parts, the next sentence may not be there yet.
        depth = PREFETCH_SENTENCES if request.text is not None else 0
        utterances = self._schedule(reader, request, cast)
        queue = Prefetcher(
            utterances,
            lambda utterance: cast[utterance.delivery.voice].selector.start(utterance),
            depth,
            self.acoustic_model.is_busy,
        )
        recorded: set[str] = set()  # receipts under which the whole text is in the ledger
        for utterance, started in queue:
            if utterance.pause_frames:
                yield from self._add_pause(utterance, assembler)
            if cast[utterance.delivery.voice] is not speaker:
                if utterance.index:
                    yield assembler.finish()
                speaker = cast[utterance.delivery.voice]
                assembler = self._make_assembler(request, speaker, assembler)
            if request.text is None or speaker.voice.consent["id"] not in recorded:
                self._record(request, utterance, speaker.voice)
                recorded.add(speaker.voice.consent["id"])
            # After the ledger has changed, as a change asks for another check.
            usable = UsableVoice(speaker.voice, self._bundle.config.language)
            assembler.skip(reader.skipped)
            reader.skipped.clear()
            assembler.begin(utterance)
            pieces = speaker.selector.generate(started, assembler, queue.prefetch)
            assembler = yield from self._while_usable(pieces, usable)
            if utterance.opened is not None:  # only its beginning was known before
                self._record(request, utterance.completed(), speaker.voice)
            if request.text is None:
                yield from assembler.report()
        assembler.skip(reader.skipped)
        if reader.pause_after:
            frames = round(reader.pause_after * self._frame_rate) - assembler.trailing_frames
            yield from self._add_silence(frames, assembler)
        yield assembler.finish()

    def _while_usable(
        self, pieces: Generator[Speech, None, StreamAssembler], voice: UsableVoice
    ) -> Generator[Speech, None, StreamAssembler]:
        """Pass pieces on while the voice may be used: a revocation stops the sentence, too."""
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                assembler: StreamAssembler = end.value
                return assembler
            voice.check()
            yield piece

    def _prepare_speaker(self, voice: Voice, options: SpeakOptions) -> Speaker:
        prompt = self.acoustic_model.prompt(voice)
        selector = CandidateSelector(
            self.acoustic_model, self.recognizer, prompt, options, self.cache
        )
        return Speaker(voice, prompt, selector)

    def _add_pause(self, utterance: Utterance, assembler: StreamAssembler) -> Iterator[Speech]:
        """Add the silence before an utterance that the ends of the two sentences lack."""
        frames = utterance.added_frames
        if frames is None:
            frames = utterance.pause_frames - assembler.trailing_frames
            frames -= (utterance.borders.lead or 0) if utterance.borders else 0
        yield from self._add_silence(frames, assembler)

    def _add_silence(self, frames: int, assembler: StreamAssembler) -> Iterator[Speech]:
        if frames > 0:
            silence = np.zeros(frames * self._codec.hop, np.float32)
            yield from assembler.add_pause(self._codec.encode(silence))

    @property
    def _frame_rate(self) -> float:
        return self._codec.sample_rate / self._codec.hop

    def _schedule(
        self, utterances: Iterable[Utterance], request: SpeechRequest, cast: Cast
    ) -> Iterator[Utterance]:
        if request.phrases is not None:
            return keep_times(utterances, request.phrases)
        measure = partial(self._measure_utterance, cast=cast)
        return schedule(utterances, request.options, self._frame_rate, measure)

    def _measure_utterance(self, utterance: Utterance, cast: Cast) -> Ints:
        return self.acoustic_model.measure(utterance, cast[utterance.delivery.voice].prompt)

    def _make_assembler(
        self,
        request: SpeechRequest,
        speaker: Speaker,
        before: StreamAssembler | None = None,
    ) -> StreamAssembler:
        """Return the assembler of a voice, whose times go on where another one has finished."""
        watermark = make_watermark(self._codec.sample_rate, speaker.voice.consent["id"])
        provenance = self._describe(request, speaker.voice) | {"watermark": watermark.describe()}
        assembler = StreamAssembler(self._codec, speaker.prompt.embedding, watermark, provenance)
        if before is not None:
            assembler.go_on_after(before)
        return assembler

    def _record(self, request: SpeechRequest, utterance: Utterance, voice: Voice) -> None:
        """Enter in the ledger the text that is about to be spoken: all of it where it is known."""
        text = request.text
        if text is None:
            sentence = utterance.sentence
            text = sentence.text or " ".join(word.text for word in sentence.words)
        ledger.record_text(
            text,
            receipt=voice.consent["id"],
            model=self._bundle.config.name,
            voice=voice.name,
            seed=request.options.seed,
        )

    def _describe(self, request: SpeechRequest, voice: Voice) -> dict[str, Any]:
        consent = voice.consent
        return {
            "made_by": f"valle {__version__}",
            "model": self._bundle.config.name,
            "voice": voice.name,
            "consent": {"kind": consent["kind"], "id": consent["id"]},
            "options": request.options.model_dump(mode="json"),
        }
