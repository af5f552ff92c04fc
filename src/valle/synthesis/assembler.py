"""What is made, frame by frame, gathered into pieces of speech: samples, codes, words, times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Samples
from valle.runtime.check import Check
from valle.runtime.codec import Codec
from valle.synthesis.speech import Speech, SpokenPhoneme, SpokenWord
from valle.text.normalization import Skipped
from valle.text.phonemes import Sentence
from valle.watermark.embed import Marker


class Timeline:
    """Follows the frames of a stream; `take` gives what has ended since the last call."""

    def __init__(self, frame_rate: float) -> None:
        """`frame_rate` in frames a second."""
        self._rate = frame_rate
        self._frame = 0  # frames so far
        self._sentence: Sentence | None = None
        self._symbol = -1  # the symbol that the last frame was at, -1 for none
        self._began = 0  # its first frame
        self._word = -1
        self._word_began = 0
        self._phonemes: list[SpokenPhoneme] = []
        self._words: list[SpokenWord] = []

    def begin(self, sentence: Sentence) -> None:
        """The next frames are those of `sentence`."""
        self._sentence = sentence

    def feed(self, symbols: Iterable[int]) -> None:
        """Frames of the sentence; of each the index into `sentence.phonemes`."""
        for symbol in symbols:
            if symbol != self._symbol:
                self._move(int(symbol))
            self._frame += 1

    def end(self) -> None:
        """The sentence is over: its last phoneme and word end here."""
        self._move(-1)

    def wait(self, frames: int) -> None:
        """Frames that belong to no sentence."""
        self._frame += frames

    def take(self) -> tuple[list[SpokenPhoneme], list[SpokenWord]]:
        """Phonemes and words that have ended and were not given before."""
        taken = self._phonemes, self._words
        self._phonemes, self._words = [], []
        return taken

    def copy(self) -> Timeline:
        """Another timeline that goes on from here."""
        other = copy(self)
        other._phonemes, other._words = self._phonemes[:], self._words[:]
        return other

    def _move(self, symbol: int) -> None:
        """The coming frame is at `symbol`."""
        assert self._sentence is not None
        now = self._frame / self._rate
        if self._symbol >= 0:
            ended = self._sentence.phonemes[self._symbol]
            self._phonemes.append(
                SpokenPhoneme(
                    ended.symbol,
                    ended.stress,
                    self._began / self._rate,
                    now,
                    ended.start,
                    ended.end,
                )
            )
        word = self._word
        if symbol < 0:
            word = -1
        elif self._sentence.phonemes[symbol].word >= 0:
            word = self._sentence.phonemes[symbol].word
        # A pause ends a word, unless the word goes on behind it, as the parts of a number do.
        elif not self._goes_on(symbol):
            word = -1
        if word != self._word:
            if self._word >= 0:
                text = self._sentence.words[self._word].text
                self._words.append(SpokenWord(text, self._word_began / self._rate, now))
            self._word, self._word_began = word, self._frame
        self._symbol, self._began = symbol, self._frame

    def _goes_on(self, border: int) -> bool:
        assert self._sentence is not None
        following = self._sentence.phonemes[border + 1 : border + 2]
        return self._word >= 0 and any(after.word == self._word for after in following)


class Output:
    """Decodes one stream of codes in a voice (its embedding [192]), marks it, and cuts pieces in
    which audio and codes belong together.

    `feed`, `wait` and `finish` give the pieces; what the other calls note is in the next of them.
    """

    def __init__(
        self,
        codec: Codec,
        voice: NDArray[np.float32],
        marker: Marker,
        provenance: dict[str, Any],
    ) -> None:
        self._codec = codec
        self._stream = codec.stream(voice)
        self._marker = marker
        self._audio = np.zeros(0, np.float32)  # marked, but not a whole frame
        self._timeline = Timeline(codec.sample_rate / codec.hop)
        self._provenance = provenance
        self._codes: Codes = np.zeros((0, codec.codebooks), np.int64)  # not yet heard
        self._decoded: list[Samples] = []  # since the sentence began, not marked
        self._frames = 0  # of the sentence
        self._check: Check | None = None
        self._skipped: list[Skipped] = []

    def skip(self, skipped: list[Skipped]) -> None:
        """This of the text is not said."""
        self._skipped += skipped

    def begin(self, sentence: Sentence) -> None:
        """What is fed next belongs to `sentence`."""
        self._timeline.begin(sentence)
        self._decoded, self._frames = [], 0

    def feed(self, codes: Codes, symbols: NDArray[np.int64]) -> Iterator[Speech]:
        """Frames of the sentence: codes [n, codebooks], and [n] which of its symbols each is at."""
        self._timeline.feed(symbols)
        self._frames += len(codes)
        yield from self._decode(codes)

    def heard(self) -> Samples:
        """The sentence so far as the decoder gives it, [frames * hop]."""
        samples = np.concatenate([*self._decoded, self._stream.rest()])
        return samples[len(samples) - self._frames * self._codec.hop :]

    def end(self, check: Check) -> None:
        """The sentence is over."""
        self._timeline.end()
        self._check = check

    def wait(self, codes: Codes) -> Iterator[Speech]:
        """Frames between sentences: codes [n, codebooks]."""
        self._timeline.wait(len(codes))
        yield from self._decode(codes)

    def finish(self) -> Speech:
        """The last piece."""
        last = self._marker.feed(self._stream.finish())
        return self._piece(np.concatenate((self._audio, last, self._marker.finish())))

    def copy(self) -> Output:
        """Another output that goes on from here: to say what comes next one way, then another."""
        other = copy(self)
        other._stream = self._stream.copy()
        other._marker = copy(self._marker)
        other._timeline = self._timeline.copy()
        other._decoded, other._skipped = self._decoded[:], self._skipped[:]
        return other

    def _decode(self, codes: Codes) -> Iterator[Speech]:
        self._codes = np.concatenate((self._codes, codes))
        audio = self._stream.feed(codes)
        self._decoded.append(audio)
        audio = np.concatenate((self._audio, self._marker.feed(audio)))
        whole = len(audio) - len(audio) % self._codec.hop
        self._audio = audio[whole:]
        if whole:
            yield self._piece(audio[:whole])

    def _piece(self, audio: NDArray[np.float32]) -> Speech:
        heard = len(audio) // self._codec.hop
        codes, self._codes = self._codes[:heard], self._codes[heard:]
        check, self._check = self._check, None
        skipped, self._skipped = self._skipped, []
        phonemes, words = self._timeline.take()
        rate = self._codec.sample_rate
        return Speech(audio, rate, codes, phonemes, words, check, skipped, self._provenance)
