"""A sentence that is given out while it is still being written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from valle.text.phonemes import Phoneme
from valle.text.segmentation import MAX_PHONEMES, Sentence
from valle.text.tokens import Skipped


class OpenSentence:
    """A sentence whose words are still coming. Once given out, a word stays as it is.

    Attributes:
        sentence: As much of it as is known; its lists of phonemes and words grow.
        end: Where its last word ends in the whole text, in characters.
        likely: The phonemes that most likely come next: those of the first word held back.
        is_complete: Whether all of it has come.
        skipped: What of it cannot be spoken, once it is complete.
        pause_after: Seconds of silence that the text asks for after it, once it is complete.
    """

    def __init__(self, start: int, read_more: Callable[[OpenSentence], None]) -> None:
        """Begin a sentence.

        Args:
            start: Where it begins in the whole text, in characters.
            read_more: Waits for more text, and calls `add` or `complete`.
        """
        self._read_more = read_more
        self.sentence = Sentence("", start, [], [])
        self.end = start
        self.likely: list[Phoneme] = []
        self.is_complete = False
        self.skipped: list[Skipped] = []
        self.pause_after: float | None = None

    @property
    def still_coming(self) -> int:
        """The most phonemes that may still come."""
        return 0 if self.is_complete else MAX_PHONEMES - len(self.sentence.phonemes)

    def extend(self) -> None:
        """Wait until there are more words, or the sentence is complete."""
        known = len(self.sentence.words)
        while not self.is_complete and len(self.sentence.words) == known:
            self._read_more(self)

    def add(self, analyzed: Sentence, held: int) -> bool:
        """Add words.

        Args:
            analyzed: The sentence, or the rest of it, as it is read by now.
            held: How many of its last words are held back.

        Returns:
            Whether there was room for all others.
        """
        words, room = analyzed.words, MAX_PHONEMES - 1 - len(self.sentence.phonemes)
        first = next((i for i, word in enumerate(words) if word.start >= self.end), len(words))
        wanted = last = max(first, len(words) - held)
        begin = _find_border(analyzed, first)
        while last > first and _find_border(analyzed, last) - begin > room:
            last -= 1
        following = _find_border(analyzed, min(last + 1, len(words)))
        self.likely = analyzed.phonemes[_find_border(analyzed, last) : following]
        if last == first:
            return last == wanted
        added = analyzed.phonemes[begin : _find_border(analyzed, last)]
        shift = len(self.sentence.words) - first
        if self.sentence.words and first == 0:
            added[0] = replace(added[0], symbol=" ")  # the rest, read by itself, has a beginning
        self.sentence.phonemes.extend(
            replace(p, word=p.word + shift if p.word >= 0 else -1) for p in added
        )
        self.sentence.words.extend(words[first:last])
        self.end = words[last - 1].end
        return last == wanted

    def complete(self, border: Phoneme | None, text: str) -> None:
        """Set the border at its end, and its text."""
        comma = Phoneme(",", 0, self.end, self.end, -1)
        is_later = border is not None and border.start >= self.end
        self.sentence.phonemes.append(border if border is not None and is_later else comma)
        self.sentence = replace(self.sentence, text=text)
        self.likely = []
        self.is_complete = True


def _find_border(sentence: Sentence, word: int) -> int:
    """Return the index in the phonemes of the border before a word, or at the end."""
    if word >= len(sentence.words):
        return len(sentence.phonemes) - 1
    return next(i for i, phoneme in enumerate(sentence.phonemes) if phoneme.word == word) - 1
