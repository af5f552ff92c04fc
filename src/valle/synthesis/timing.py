"""Speech at given times: each word begins when it began in a recording, in another voice.

Where the recording pauses, a phrase ends. Every phrase is an utterance that begins at its own time,
counted in frames from the beginning, so no error adds up. Within a phrase, each word takes as many
frames as it took in the recording, and its phonemes share them as this voice would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.runtime.transcript import TimedSentence, TimedTranscript
from valle.synthesis.utterance import Utterance
from valle.text.phonemes import Phoneme
from valle.text.segmentation import Sentence, Word
from valle.text.symbols import START

PHRASE_PAUSE = 0.25  # seconds of a pause at which a phrase ends
_LEAD, _TRAIL = 3, 5  # frames of silence at the ends of a phrase, where there is room
_FASTEST = 2.0  # frames per phoneme below which a word is given more time, where a pause has it


@dataclass(frozen=True)
class TimedPhrase:
    """What is said between two pauses, and when."""

    sentence: Sentence
    start: int
    """The frame of its first symbol."""
    frames: Ints
    """[phonemes] how many frames each symbol took; at least one for each phoneme."""


def split_phrases(transcript: TimedTranscript) -> list[TimedPhrase]:
    """Divide a transcript at its pauses, and at words that are not said."""
    pause = round(PHRASE_PAUSE * transcript.frame_rate)
    phrases: list[TimedPhrase] = []
    for timed in transcript.sentences:
        for first, last in _find_phrases(timed, pause):
            phrases.append(_cut_phrase(timed, first, last))
    neighbors: list[TimedPhrase | None] = [None, *phrases, None]
    return [
        _add_silence(phrase, previous, following)
        for phrase, previous, following in zip(phrases, neighbors[:-2], neighbors[2:], strict=True)
    ]


def keep_times(
    utterances: Iterable[Utterance], phrases: Iterable[TimedPhrase]
) -> Iterator[Utterance]:
    """Set the length of each utterance and of its symbols, and the silence before it.

    Args:
        utterances: One for each phrase.
        phrases: When they are said.
    """
    position = 0
    for utterance, phrase in zip(utterances, phrases, strict=True):
        added = max(0, phrase.start - position)
        target = int(phrase.frames.sum())
        natural = float(utterance.expected_frames.sum())
        position += added + target
        yield replace(
            utterance,
            expected_frames=_share_words(utterance, phrase),
            pause_frames=added,
            added_frames=added,
            borders=None,
            target_frames=target,
            is_timed=True,
            speed=natural / target,
            place=phrase.start,  # a change of the script leaves the phrases after it as they are
        )


def _find_phrases(timed: TimedSentence, pause: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last phoneme of each stretch of a sentence without a long pause."""
    first = last = None
    for index, phoneme in enumerate(timed.sentence.phonemes):
        if phoneme.word < 0 or not timed.frames[index]:
            continue
        if first is not None and last is not None:
            gap = timed.starts[index] - timed.starts[last] - timed.frames[last]
            left_out = any(p.word >= 0 for p in timed.sentence.phonemes[last + 1 : index])
            if gap >= pause or left_out:
                yield first, last
                first = None
        first = index if first is None else first
        last = index
    if first is not None and last is not None:
        yield first, last


def _cut_phrase(timed: TimedSentence, first: int, last: int) -> TimedPhrase:
    """Return the phonemes from `first` to `last` as a sentence of their own."""
    sentence = timed.sentence
    inner = sentence.phonemes[first : last + 1]
    kept = sorted({phoneme.word for phoneme in inner if phoneme.word >= 0})
    number = {word: index for index, word in enumerate(kept)}
    words: list[Word] = [sentence.words[word] for word in kept]
    start, end = words[0].start, words[-1].end
    following = sentence.phonemes[last + 1]
    symbol = following.symbol if following.symbol != " " else ","
    if last + 2 == len(sentence.phonemes):  # the phrase ends the sentence
        end = max(end, sentence.start + len(sentence.text))
    phonemes = [
        Phoneme(START, 0, start, start, -1),
        *(replace(p, word=number.get(p.word, -1)) for p in inner),
        Phoneme(symbol, 0, words[-1].end, words[-1].end, -1),
    ]
    text = sentence.text[start - sentence.start : end - sentence.start]
    frames = np.concatenate([[0], timed.frames[first : last + 1], [0]])
    return TimedPhrase(
        Sentence(text, start, phonemes, words), int(timed.starts[first]), frames.astype(np.int64)
    )


def _add_silence(
    phrase: TimedPhrase, previous: TimedPhrase | None, following: TimedPhrase | None
) -> TimedPhrase:
    """Give a phrase a little silence at its ends, in the pauses around it."""
    before = phrase.start - (0 if previous is None else previous.start + int(previous.frames.sum()))
    end = phrase.start + int(phrase.frames.sum())
    after = _LEAD + _TRAIL if following is None else following.start - end
    lead = min(_LEAD, max(1, before // 2))
    frames = phrase.frames.copy()
    frames[0], frames[-1] = lead, min(_TRAIL, max(1, after // 2))
    return replace(phrase, start=max(0, phrase.start - lead), frames=frames)


def _share_words(utterance: Utterance, phrase: TimedPhrase) -> NDArray[np.float64]:
    """Return the frames of each symbol [symbols]; phonemes share those of their word."""
    plan = phrase.frames.astype(np.float64)
    of_word = np.array([phoneme.word for phoneme in utterance.sentence.phonemes])
    for word in range(len(utterance.sentence.words)):
        at = np.flatnonzero(of_word == word)
        expected = utterance.expected_frames[at]
        plan[at] = expected * (plan[at].sum() / expected.sum())
    return plan
