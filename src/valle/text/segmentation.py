"""A text, whole or in pieces as it comes, sentence by sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from valle.errors import TextError, UsageError
from valle.text.normalization import Skipped, normalise
from valle.text.phonemes import Sentence, to_sentences

LONGEST_WAIT = 2000  # characters kept back in the hope of a sentence's end

_MAY_END = re.compile(r"[.!?…]\S*\s|\n\s*\n")


@dataclass(frozen=True)
class Utterance:
    """A sentence (None: none is left), and what around it cannot be said.

    Spans count from the beginning of the whole text.
    """

    sentence: Sentence | None
    skipped: list[Skipped]


def utterances(text: str | Iterable[str], language: str) -> Iterator[Utterance]:
    """The sentences of a text, or of pieces of one, each as soon as it is known to be complete.

    That is known when the next sentence has begun, or the pieces end.

    Raises TextError when there is nothing to say in all of it, UsageError for what is no text.
    """
    if isinstance(text, str):
        yield from _pairs(*to_sentences(text, language), 0)
        return
    waiting, offset, said = "", 0, False
    for piece in text:
        if not isinstance(piece, str):
            raise UsageError(f"text comes in pieces of str, not {type(piece).__name__}")
        waiting += piece
        ready, skipped, end = _complete(waiting, language)
        yield from _pairs(ready, skipped, offset)
        said = said or bool(ready)
        waiting, offset = waiting[end:], offset + end
    try:
        yield from _pairs(*to_sentences(waiting, language), offset)
    except TextError:
        if not said:
            raise
        skipped = [_moved_skip(part, offset) for part in normalise(waiting)[1]]
        if skipped:
            yield Utterance(None, skipped)


def _complete(waiting: str, language: str) -> tuple[list[Sentence], list[Skipped], int]:
    """The sentences that no further text can change, what was skipped up to there, and where."""
    if not _MAY_END.search(waiting) and len(waiting) <= LONGEST_WAIT:
        return [], [], 0
    try:
        sentences, skipped = to_sentences(waiting, language)
    except TextError:
        return [], [], 0
    # A long sentence is cut in parts by its whole length, so parts wait for its end.
    ready = len(sentences) - 1
    while (
        ready > 0
        and len(waiting) <= LONGEST_WAIT
        and sentences[ready - 1].phonemes[-1].symbol == ","
    ):
        ready -= 1
    end = sentences[ready].start if ready else 0
    return sentences[:ready], [part for part in skipped if part.start < end], end


def _pairs(sentences: list[Sentence], skipped: list[Skipped], offset: int) -> Iterator[Utterance]:
    for index, sentence in enumerate(sentences):
        found = [_moved_skip(part, offset) for part in skipped] if index == 0 else []
        yield Utterance(_moved(sentence, offset), found)


def _moved(sentence: Sentence, by: int) -> Sentence:
    if by == 0:
        return sentence
    return replace(
        sentence,
        start=sentence.start + by,
        phonemes=[replace(p, start=p.start + by, end=p.end + by) for p in sentence.phonemes],
        words=[replace(w, start=w.start + by, end=w.end + by) for w in sentence.words],
    )


def _moved_skip(skipped: Skipped, by: int) -> Skipped:
    return replace(skipped, start=skipped.start + by, end=skipped.end + by)
