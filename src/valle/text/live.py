"""Text that comes word by word: sentences that begin before they are complete.

The AR model reads a few phonemes ahead and no more, so a sentence may be spoken while its end is
still being written. Its last words are held back, since what follows a word may change how it is
read ("3" and "3.50", "the" before a vowel).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from valle.errors import TextError, UsageError
from valle.text.delivery import Passage
from valle.text.markup_tags import TagReader
from valle.text.open_sentence import OpenSentence
from valle.text.passages import Segment, read_passage
from valle.text.reading import PLAIN_ENGLISH, Reading
from valle.text.segmentation import (
    MAX_PHONEMES,
    Sentence,
    shift_sentence,
    shift_skipped,
    split_complete,
)

HELD_WORDS = 2
_CLOSE_AT_COMMA = MAX_PHONEMES - 50  # phonemes of a sentence whose end does not come
_CLOSE = MAX_PHONEMES - 20


class LiveReader:
    """Reads the sentences of a text that comes in parts."""

    def __init__(
        self,
        parts: Iterable[str],
        language: str,
        reading: Reading = PLAIN_ENGLISH,
        early: bool = True,
    ) -> None:
        """Read a text.

        Args:
            parts: Its parts as they come.
            language: Only "en-us" is known.
            reading: How it is to be read.
            early: Whether sentences begin before they are complete.
        """
        self._parts = iter(parts)
        self._language = language
        self._reading = reading
        self._early = early
        self._tags = TagReader()
        self._closed: deque[Passage] = deque()  # complete passages, not read yet
        self._ended = False
        self._analyzed_until = 0  # so that nothing is analyzed again before another word has come

    def __iter__(self) -> Iterator[Segment]:
        """Yield sentences; the next one is read when an open one is complete.

        Raises:
            TextError: Nothing in the whole text can be spoken, or a tag is wrong.
            UsageError: A part is not text, or the language is not known.
        """
        spoken = False
        while self._closed or not self._ended:
            for segment in self._read_closed() if self._closed else self._read_open():
                spoken = spoken or segment.sentence is not None
                yield segment
            if not self._closed and not self._ended:
                self._pull()
        if not spoken:
            raise TextError("there is nothing in this text to speak; give some English words")

    def _pull(self) -> None:
        """Wait for the next part."""
        part = next(self._parts, None)
        if part is None:
            self._ended = True
            self._closed.extend(self._tags.close())
        elif not isinstance(part, str):
            raise UsageError(f"text comes in chunks of str, not {type(part).__name__}")
        else:
            self._closed.extend(self._tags.feed(part))

    def _read_closed(self) -> Iterator[Segment]:
        passage = self._closed.popleft()
        yield from read_passage(passage, self._language, self._reading)

    def _read_open(self) -> Iterator[Segment]:
        """Yield the complete sentences of the passage that goes on, then the one that has begun."""
        passage = self._tags.open_passage
        sentences, skipped, end = split_complete(passage.text, self._language, self._reading)
        for index, sentence in enumerate(sentences):
            moved = [shift_skipped(part, passage.start) for part in skipped] if index == 0 else []
            yield Segment(shift_sentence(sentence, passage.start), moved, passage.delivery)
        self._tags.drop(passage.start + end)
        passage = self._tags.open_passage
        if not self._early or passage.delivery.rate != 1.0:
            return
        analyzed = self._analyze(passage, passage.start)
        if analyzed is None or len(analyzed.words) <= HELD_WORDS:
            return
        opened = OpenSentence(analyzed.start, self._extend)
        opened.add(analyzed, HELD_WORDS)
        yield Segment(opened.sentence, [], passage.delivery, open=opened)
        while not opened.is_complete:  # whoever took it has not waited for its end
            opened.extend()

    def _extend(self, opened: OpenSentence) -> None:
        """Take the next part, and give an open sentence what is known of it by now."""
        self._pull()
        if self._closed:
            self._finish(opened, self._closed.popleft(), is_closed=True)
            return
        passage = self._tags.open_passage
        if split_complete(passage.text, self._language, self._reading)[0]:
            self._finish(opened, passage, is_closed=False)
            return
        analyzed = self._analyze(passage, opened.end)
        if analyzed is None:
            return
        opened.add(analyzed, HELD_WORDS)
        phonemes = opened.sentence.phonemes
        ends_clause = any(p.symbol == "," for p in phonemes[_CLOSE_AT_COMMA:])
        if ends_clause or len(phonemes) > _CLOSE:
            self._complete(opened, None, opened.end, passage)
            self._tags.drop(opened.end)

    def _analyze(self, passage: Passage, spoken_until: int) -> Sentence | None:
        """Return the first sentence of a passage that goes on; None if no word has come."""
        size = len(passage.text)
        while size and not passage.text[size - 1].isspace():
            size -= 1  # the last word may go on
        if passage.start + size <= self._analyzed_until:
            return None
        self._analyzed_until = passage.start + size
        segments = self._read(replace(passage, text=passage.text[:size]), spoken_until)
        return next((s.sentence for s in segments if s.sentence is not None), None)

    def _read(self, passage: Passage, spoken_until: int) -> list[Segment]:
        """Return the sentences of a passage, the first of which was given out up to a position."""
        segments = list(read_passage(passage, self._language, self._reading))
        first = next((s.sentence for s in segments if s.sentence is not None), None)
        if first and any(word.start < spoken_until < word.end for word in first.words):
            # A word that was given out is read together with the next one by now: leave it.
            rest = passage.text[spoken_until - passage.start :]
            passage = replace(passage, text=rest, start=spoken_until)
            segments = list(read_passage(passage, self._language, self._reading))
        return segments

    def _finish(self, opened: OpenSentence, passage: Passage, is_closed: bool) -> None:
        """Complete a sentence; what follows it in the passage is read next."""
        segments = self._read(passage, opened.end)
        spoken = [s for s in segments if s.sentence is not None]
        first = spoken[0].sentence if spoken else None
        if first is not None and not opened.add(first, 0):
            first = None  # there was no room for all of it
        passage_end = passage.start + len(passage.text)
        end = passage_end if first else opened.end
        if first and len(spoken) > 1 and spoken[1].sentence is not None:
            end = max(opened.end, spoken[1].sentence.start)
        opened.skipped = [part for s in segments for part in s.skipped if part.start < end]
        self._complete(opened, first, end, passage)
        if not is_closed:
            self._tags.drop(end)
        elif end < passage_end:
            rest = passage.text[end - passage.start :]
            self._closed.appendleft(replace(passage, text=rest, start=end))
        else:
            opened.pause_after = segments[-1].pause_after if segments else passage.pause

    def _complete(
        self, opened: OpenSentence, analyzed: Sentence | None, end: int, passage: Passage
    ) -> None:
        if analyzed is not None:
            end = max(opened.end, analyzed.start + len(analyzed.text))
        text = passage.text[opened.sentence.start - passage.start : end - passage.start]
        opened.complete(analyzed.phonemes[-1] if analyzed is not None else None, text)
