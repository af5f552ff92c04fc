"""The synthesis pipeline: sentences in, pieces of speech out, each as soon as it is complete.

A sentence passes from phonemes to codebook 1 (AR model), to all codebooks in blocks (NAR model), to
samples (codec decoder), to watermarked samples. Whole texts take the same path as streams.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from valle.bundle.bundle import Bundle
from valle.consent.validity import check_usable
from valle.options import SpeakOptions
from valle.runtime.codec import Codec
from valle.runtime.recognizer import PhonemeRecognizer
from valle.runtime.sampling import Sampling
from valle.synthesis.acoustic_model import AcousticModel, VoicePrompt
from valle.synthesis.assembler import StreamAssembler
from valle.synthesis.candidates import CandidateSelector
from valle.synthesis.durations import LEAD_FRAMES, schedule
from valle.synthesis.prefetcher import Prefetcher
from valle.synthesis.sentence_cache import SentenceCache
from valle.synthesis.source_text import SourceText
from valle.synthesis.speech import Speech
from valle.synthesis.utterance import Utterance
from valle.text.segmentation import TextSegment
from valle.text.tokens import Skipped
from valle.trust import ledger
from valle.version import __version__
from valle.voices.voice import Voice
from valle.watermark.embed import Payload, WatermarkEmbedder

PREFETCH_SENTENCES = 3  # started before their turn, so that the AR model computes them in a batch


@dataclass(frozen=True)
class SpeechRequest:
    """A text to be synthesized."""

    segments: Iterable[TextSegment]
    """Its sentences, as they come."""
    text: str | None
    """The whole text, or None where it comes in parts."""
    source: SourceText
    """The text as far as it has come."""
    count: int | None
    """Number of sentences, or None where the text comes in parts."""
    voice: Voice
    options: SpeakOptions


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

        What is spoken is entered in the ledger first, and the voice's receipt is checked before
        every sentence.

        Raises:
            UsageError: A sentence does not fit into the duration.
            TextError: The text comes in parts, and none has words.
            ConsentError: The voice may not be used.
        """
        prompt = self.acoustic_model.prompt(request.voice)
        assembler = self._make_assembler(request, prompt)
        selector = CandidateSelector(
            self.acoustic_model, self.recognizer, prompt, request.options, self.cache
        )
        skipped: list[Skipped] = []  # of the text read so far, not reported yet
        utterances = self._read_utterances(request, prompt, skipped)
        # Of a text that comes in parts, the next sentence may not be there yet.
        depth = PREFETCH_SENTENCES if request.text is not None else 0
        queue = Prefetcher(utterances, selector.start, depth)
        for utterance, started in queue:
            check_usable(request.voice, language=self._bundle.config.language)
            if utterance.index == 0 or request.text is None:
                self._record(request, utterance)
            assembler.skip(skipped)
            skipped.clear()
            if utterance.index:
                yield from self._add_pause(utterance, assembler)
            assembler.begin(utterance)
            assembler = yield from selector.generate(started, assembler, queue.prefetch)
        assembler.skip(skipped)
        yield assembler.finish()

    def _add_pause(self, utterance: Utterance, assembler: StreamAssembler) -> Iterator[Speech]:
        """Add the silence before an utterance that the ends of the two sentences lack."""
        frames = utterance.added_frames
        if frames is None:
            frames = utterance.pause_frames - LEAD_FRAMES - assembler.trailing_frames
        if frames > 0:
            silence = np.zeros(frames * self._codec.hop, np.float32)
            yield from assembler.add_pause(self._codec.encode(silence))

    def _read_utterances(
        self, request: SpeechRequest, prompt: VoicePrompt, skipped: list[Skipped]
    ) -> Iterator[Utterance]:
        """Yield the utterances of a text, scheduled; adds what cannot be spoken to `skipped`."""
        options = request.options
        sampling = Sampling(options.temperature, options.top_p)

        def prepare_sentences() -> Iterator[Utterance]:
            previous_end, index = None, 0
            for segment in request.segments:
                skipped.extend(segment.skipped)
                if segment.sentence is None:
                    continue
                written = request.source.locate(segment.sentence, previous_end)
                previous_end = written.end
                yield replace(
                    self.acoustic_model.prepare(segment.sentence, prompt),
                    sampling=sampling,
                    seed=options.seed,
                    index=index,
                    count=request.count,
                    written=written,
                )
                index += 1

        frame_rate = self._codec.sample_rate / self._codec.hop
        measure = partial(self.acoustic_model.measure, prompt=prompt)
        return schedule(prepare_sentences(), options, frame_rate, measure)

    def _make_assembler(self, request: SpeechRequest, prompt: VoicePrompt) -> StreamAssembler:
        owner_key = ledger.get_signing_key().derive_watermark_key()
        payload = Payload.for_receipt(owner_key, request.voice.consent["id"])
        watermark = WatermarkEmbedder(self._codec.sample_rate, owner_key, payload)
        provenance = self._describe(request) | {"watermark": watermark.describe()}
        return StreamAssembler(self._codec, prompt.embedding, watermark, provenance)

    def _record(self, request: SpeechRequest, utterance: Utterance) -> None:
        """Enter in the ledger the text that is about to be spoken: all of it where it is known."""
        text = utterance.sentence.text if request.text is None else request.text
        ledger.append(
            "speak",
            receipt=request.voice.consent["id"],
            text_sha256=hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
            model=self._bundle.config.name,
            voice=request.voice.name,
            seed=request.options.seed,
        )

    def _describe(self, request: SpeechRequest) -> dict[str, Any]:
        consent = request.voice.consent
        return {
            "made_by": f"valle {__version__}",
            "model": self._bundle.config.name,
            "voice": request.voice.name,
            "consent": {"kind": consent["kind"], "id": consent["id"]},
            "options": request.options.model_dump(mode="json"),
        }
