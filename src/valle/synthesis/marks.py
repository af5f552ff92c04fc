"""When the marks of a text are reached in its speech."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from valle.synthesis.speech import Speech, SpokenMark
from valle.text.delivery import Mark
from valle.text.symbols import BORDERS


def time_marks(pieces: Iterable[Speech], marks: Iterable[Mark]) -> Iterator[Speech]:
    """Yield the pieces of a speech, each with the marks that are reached in its words.

    A mark is reached when the word after it begins, or where a pause follows it, when the word
    before it ends; after the last word, when the speech ends.

    Args:
        pieces: In order.
        marks: In order of the text.
    """
    waiting = deque(marks)
    last_end, samples = 0.0, 0
    piece = None
    for piece in pieces:
        samples += len(piece.audio)
        found = []
        for phoneme in piece.phonemes if waiting else ():
            if phoneme.symbol in BORDERS:
                continue
            while waiting and waiting[0].position <= phoneme.text_start:
                mark = waiting.popleft()
                found.append(
                    SpokenMark(mark.name, last_end if mark.before_pause else phoneme.start)
                )
            last_end = phoneme.end
        yield replace(piece, marks=found) if found else piece
    if piece is not None and waiting:
        end = samples / piece.sample_rate
        rest = [SpokenMark(mark.name, last_end if mark.before_pause else end) for mark in waiting]
        yield replace(
            piece,
            audio=piece.audio[:0],
            codes=piece.codes[:0],
            phonemes=[],
            words=[],
            check=None,
            skipped=[],
            sentences=[],
            marks=rest,
        )
