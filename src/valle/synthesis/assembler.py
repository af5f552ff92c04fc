"""Codes to speech: decoding, watermark, and times of phonemes and words, piece by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import numpy as np

from valle.arrays import Codes, Embedding, Ints, Samples
from valle.runtime.check import Check
from valle.runtime.codec import Codec
from valle.styles import StyleShift
from valle.synthesis.speech import Speech, SpokenPhoneme, SpokenSentence, SpokenWord
from valle.synthesis.utterance import Utterance
from valle.text.segmentation import Sentence
from valle.text.tokens import Skipped
from valle.watermark.embed import WatermarkEmbedder


class Timeline:
    """Times of the phonemes and words of a stream, from the symbol of each frame.

    A phoneme or word is available from `take` once its end is known.
    """

    def __init__(self, frame_rate: float) -> None:
        """Create the timeline of a stream with `frame_rate` frames per second."""
        self._frame_rate = frame_rate
        self._frames = 0
        self._sentence: Sentence | None = None
        self._symbol = -1  # index of the last frame's symbol in the sentence, -1 for none
        self._symbol_start = 0  # frame
        self._word = -1
        self._word_start = 0  # frame
        self._first_word_frame = self._last_word_frame = 0  # of the latest sentence
        self._phonemes: list[SpokenPhoneme] = []
        self._words: list[SpokenWord] = []

    def begin(self, sentence: Sentence) -> None:
        """Begin a sentence: the next frames belong to it."""
        self._sentence = sentence
        self._first_word_frame = self._last_word_frame = self._frames

    @property
    def word_span(self) -> tuple[float, float]:
        """When the first word of the latest sentence begins and the last one ends, in seconds."""
        return self._first_word_frame / self._frame_rate, self._last_word_frame / self._frame_rate

    @property
    def trailing_frames(self) -> int:
        """Frames since the last word of the latest sentence."""
        return self._frames - self._last_word_frame

    def feed(self, frame_symbol: Iterable[int]) -> None:
        """Add frames of the sentence, given the index in `sentence.phonemes` of each."""
        for symbol in frame_symbol:
            if symbol != self._symbol:
                self._enter(int(symbol))
            self._frames += 1

    def end(self) -> None:
        """End the sentence, with its last phoneme and word."""
        self._enter(-1)

    def add_pause(self, frames: int) -> None:
        """Add frames that belong to no sentence."""
        self._frames += frames

    def take(self) -> tuple[list[SpokenPhoneme], list[SpokenWord]]:
        """Return the phonemes and words that have ended since the last call."""
        taken = self._phonemes, self._words
        self._phonemes, self._words = [], []
        return taken

    def copy(self) -> Timeline:
        """Return a timeline that continues independently from here."""
        branch = copy(self)
        branch._phonemes, branch._words = self._phonemes[:], self._words[:]
        return branch

    def _enter(self, symbol: int) -> None:
        """Enter a symbol with the coming frame, or none (-1); what this ends is noted."""
        assert self._sentence is not None
        now = self._frames / self._frame_rate
        if self._symbol >= 0:
            phoneme = self._sentence.phonemes[self._symbol]
            start = self._symbol_start / self._frame_rate
            self._phonemes.append(
                SpokenPhoneme(
                    phoneme.symbol, phoneme.stress, start, now, phoneme.start, phoneme.end
                )
            )
        word = self._word
        if symbol < 0:
            word = -1
        elif self._sentence.phonemes[symbol].word >= 0:
            word = self._sentence.phonemes[symbol].word
        # A pause ends a word unless the word continues after it, as numbers of several words do.
        elif not self._word_continues_after(symbol):
            word = -1
        if word != self._word:
            if self._word < 0 and self._last_word_frame <= self._first_word_frame:
                self._first_word_frame = self._frames
            if self._word >= 0:
                self._last_word_frame = self._frames
                text = self._sentence.words[self._word].text
                self._words.append(SpokenWord(text, self._word_start / self._frame_rate, now))
            self._word, self._word_start = word, self._frames
        self._symbol, self._symbol_start = symbol, self._frames

    def _word_continues_after(self, border: int) -> bool:
        assert self._sentence is not None
        following = self._sentence.phonemes[border + 1 : border + 2]
        return self._word >= 0 and any(phoneme.word == self._word for phoneme in following)


class StreamAssembler:
    """Decodes a stream of codes, watermarks it, and cuts it into pieces of whole frames.

    `feed`, `report` and `add_pause` yield pieces and `finish` returns the last one; what the other
    methods are given becomes part of the next piece.
    """

    def __init__(
        self,
        codec: Codec,
        embedding: Embedding,
        watermark: WatermarkEmbedder,
        provenance: dict[str, Any],
    ) -> None:
        """Create the assembler of one stream.

        Args:
            codec: Decodes the codes.
            embedding: Speaker embedding [192] of the voice.
            watermark: Watermarks the decoded samples.
            provenance: What every piece states about where it came from.
        """
        self._codec = codec
        self._decoder = codec.stream(embedding, watermark)
        self._provenance = provenance
        self._timeline = Timeline(codec.sample_rate / codec.hop)
        self._pending_audio = np.zeros(0, np.float32)  # less than a frame
        self._pending_codes: Codes = np.zeros((0, codec.codebooks), np.int64)  # in no piece yet
        self._sentence_audio: list[Samples] = []  # decoded since its beginning
        self._sentence_blocks: list[tuple[Codes, Ints]] = []  # of one that is said in a style
        self._sentence_frames = 0
        self._utterance: Utterance | None = None
        self._check: Check | None = None
        self._sentences: list[SpokenSentence] = []  # that ended, in no piece yet
        self._skipped: list[Skipped] = []

    @property
    def trailing_frames(self) -> int:
        """Frames of silence since the last word."""
        return self._timeline.trailing_frames

    def go_on_after(self, before: StreamAssembler) -> None:
        """Continue the times of an assembler that has finished, as another voice takes over."""
        self._timeline = before._timeline
        self._check, self._sentences = before._check, before._sentences
        self._skipped = before._skipped

    def skip(self, skipped: list[Skipped]) -> None:
        """Report parts of the text that are not spoken."""
        self._skipped += skipped

    def begin(self, utterance: Utterance) -> None:
        """Begin a sentence: what is fed next belongs to it."""
        self._timeline.begin(utterance.sentence)
        self._utterance = utterance
        self._sentence_audio, self._sentence_frames = [], 0
        self._sentence_blocks = []
        if utterance.shift is not None:
            self._decoder.begin_style(utterance.shift)

    def feed(self, codes: Codes, frame_symbol: Ints) -> Iterator[Speech]:
        """Add frames of the sentence.

        Args:
            codes: [frames, codebooks].
            frame_symbol: [frames] the index in the sentence's phonemes of each frame's symbol.

        Yields:
            At most one piece, once it has a whole frame of audio.
        """
        self._sentence_frames += len(codes)
        if self._shift is not None:  # how many frames it lasts is known at its end
            self._sentence_blocks.append((codes, frame_symbol))
        else:
            self._timeline.feed(frame_symbol)
            self._pending_codes = np.concatenate((self._pending_codes, codes))
        yield from self._decode(codes)

    def peek_sentence(self) -> Samples:
        """Return the sentence so far, [frames * hop], without its style.

        That includes the samples that the decoder would hold back until more codes come.
        """
        if self._shift is not None:
            return self._decoder.peek_unstyled()
        samples = np.concatenate([*self._sentence_audio, self._decoder.peek()])
        return samples[len(samples) - self._sentence_frames * self._codec.hop :]

    def end(self, check: Check) -> None:
        """End the sentence, with the recognizer's check of it."""
        if self._shift is not None:
            self._end_style(self._shift.rate)
        self._timeline.end()
        self._check = check
        assert self._utterance is not None
        utterance = self._utterance.completed()
        sentence, written = utterance.sentence, utterance.written
        start, end = self._timeline.word_span
        self._sentences.append(
            SpokenSentence(
                number=utterance.index + 1,
                count=utterance.count,
                text=written.text if written else sentence.text,
                text_start=written.start if written else sentence.start,
                begins_paragraph=bool(written and written.begins_paragraph),
                start=start,
                end=end,
                check=check,
                speed=utterance.speed,
                voice=self._provenance["voice"],
            )
        )

    def report(self) -> Iterator[Speech]:
        """Yield a piece without sound if a sentence has ended that no piece has told of.

        The piece that would tell of it comes with the next sentence, which may be long in coming.
        """
        if self._sentences:
            yield self._make_piece(np.zeros(0, np.float32))

    def add_pause(self, codes: Codes) -> Iterator[Speech]:
        """Add codes [frames, codebooks] between sentences, and yield as `feed` does."""
        self._timeline.add_pause(len(codes))
        self._pending_codes = np.concatenate((self._pending_codes, codes))
        yield from self._decode(codes)

    def finish(self) -> Speech:
        """Return the last piece; the assembler takes no codes afterwards."""
        return self._make_piece(np.concatenate((self._pending_audio, self._decoder.finish())))

    def copy(self) -> StreamAssembler:
        """Return an assembler that continues independently from here."""
        branch = copy(self)
        branch._decoder = self._decoder.copy()
        branch._timeline = self._timeline.copy()
        branch._sentence_audio = self._sentence_audio[:]
        branch._sentence_blocks = self._sentence_blocks[:]
        branch._skipped = self._skipped[:]
        branch._sentences = self._sentences[:]
        return branch

    @property
    def _shift(self) -> StyleShift | None:
        """The style of the latest sentence."""
        return self._utterance.shift if self._utterance else None

    def _end_style(self, rate: float) -> None:
        """Say how long the sentence lasts at its rate, and when each of its sounds comes then."""
        frames = max(min(1, self._sentence_frames), round(self._sentence_frames / rate))
        self._decoder.end_style(frames)
        if self._sentence_blocks:
            at = np.arange(frames) * self._sentence_frames // frames
            codes, frame_symbol = (
                np.concatenate(p) for p in zip(*self._sentence_blocks, strict=True)
            )
            self._timeline.feed(frame_symbol[at])
            self._pending_codes = np.concatenate((self._pending_codes, codes[at]))

    def _decode(self, codes: Codes) -> Iterator[Speech]:
        audio = self._decoder.feed(codes)
        self._sentence_audio.append(audio)
        audio = np.concatenate((self._pending_audio, audio))
        complete = len(audio) - len(audio) % self._codec.hop
        self._pending_audio = audio[complete:]
        if complete:
            yield self._make_piece(audio[:complete])

    def _make_piece(self, audio: Samples) -> Speech:
        """Return `audio` as a piece, with its codes and all that waits to be reported."""
        frames = len(audio) // self._codec.hop
        codes, self._pending_codes = self._pending_codes[:frames], self._pending_codes[frames:]
        check, self._check = self._check, None
        skipped, self._skipped = self._skipped, []
        sentences, self._sentences = self._sentences, []
        phonemes, words = self._timeline.take()
        rate = self._codec.sample_rate
        return Speech(
            audio, rate, codes, phonemes, words, check, skipped, self._provenance, sentences
        )
