"""Sentences of a text with directions: each with how it is spoken, and the pause after it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from valle.errors import TextError
from valle.text.delivery import Delivery, DirectedText, Passage
from valle.text.normalization import normalize
from valle.text.open_sentence import OpenSentence
from valle.text.reading import PLAIN_ENGLISH, Reading
from valle.text.segmentation import (
    Sentence,
    shift_sentence,
    shift_skipped,
    split_sentences,
)
from valle.text.tokens import Skipped


@dataclass(frozen=True)
class Segment:
    """A sentence (None where there is none), and what around it cannot be spoken.

    Spans count from the beginning of the whole text.
    """

    sentence: Sentence | None
    skipped: list[Skipped] = field(default_factory=list)
    delivery: Delivery = field(default_factory=Delivery)
    pause_after: float | None = None
    """Seconds of silence; None for the usual pause."""
    open: OpenSentence | None = None
    """The sentence, where it is not complete yet."""


def read_passages(
    directed: DirectedText, language: str, reading: Reading = PLAIN_ENGLISH
) -> Iterator[Segment]:
    """Yield the sentences of a text with directions, in order.

    Raises:
        TextError: Nothing in it can be spoken.
        UsageError: The language is not known.
    """
    spoken = False
    is_single = len(directed.passages) == 1  # then the error says why nothing can be spoken
    for passage in directed.passages:
        for segment in read_passage(passage, language, reading, may_be_empty=not is_single):
            spoken = spoken or segment.sentence is not None
            yield segment
    if not spoken:
        raise TextError("there is nothing in this text to speak; give some English words")


def read_passage(
    passage: Passage,
    language: str,
    reading: Reading = PLAIN_ENGLISH,
    may_be_empty: bool = True,
) -> Iterator[Segment]:
    """Yield the sentences of one passage, or a segment without one where it has none.

    Raises:
        TextError: There is none, and `may_be_empty` is False.
        UsageError: The language is not known.
    """
    try:
        sentences, skipped = split_sentences(passage.text, language, reading=reading)
    except TextError:
        if not may_be_empty:
            raise
        sentences, skipped = [], normalize(passage.text, reading.plain)[1]
    skipped = [shift_skipped(part, passage.start) for part in skipped]
    if not sentences:
        if skipped or passage.pause is not None:
            yield Segment(None, skipped, passage.delivery, passage.pause)
        return
    pause = passage.pause
    if passage.continues:
        sentences[-1] = continue_sentence(sentences[-1])
        if pause is None and passage.text.rstrip()[-1:].isalnum():
            pause = 0.0  # the sentence goes on, in another way
    for index, sentence in enumerate(sentences):
        yield Segment(
            shift_sentence(sentence, passage.start),
            skipped if index == 0 else [],
            passage.delivery,
            pause if index == len(sentences) - 1 else None,
        )


def continue_sentence(sentence: Sentence) -> Sentence:
    """Return a sentence whose last border, if it is not written there, does not end it."""
    last = sentence.phonemes[-1]
    if last.symbol != "." or last.end > last.start:
        return sentence
    return replace(sentence, phonemes=[*sentence.phonemes[:-1], replace(last, symbol=",")])
