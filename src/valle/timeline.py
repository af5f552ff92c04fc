"""From the symbol that each frame is at to phonemes and words with their times."""

from __future__ import annotations

from collections.abc import Iterable

from valle.speech import SpokenPhoneme, SpokenWord
from valle.text import Sentence


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
