"""A text, whole or in chunks as it arrives, split into sentences of phonemes.

Every symbol keeps the span of the source it came from, so timings lead back to the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from valle.errors import TextError, UsageError
from valle.text.markup import find_open_mark
from valle.text.normalization import normalize
from valle.text.phonemes import Phoneme, PronouncedToken, pronounce_tokens
from valle.text.reading import PLAIN_ENGLISH, Reading
from valle.text.symbols import START
from valle.text.tokens import Skipped, Token

MAX_PENDING = 2000  # characters held back while the end of a sentence is awaited
MAX_PHONEMES = 180  # symbols of a sentence, about 15 s
_EMPTY_LENGTH = 2  # symbols of a sentence without words: the start and the last border

_MAY_END = re.compile(r"[.!?…]\S{0,40}\s|\n\s{0,40}\n")
_KEPT = 50  # characters that are kept of a stream without words, for what follows
# a long sentence without a comma is split before one of these
_CONJUNCTIONS = frozenset(
    "and but or nor because which that who when while where if as since although though until "
    "unless before after than then so for with from in to".split()
)


@dataclass(frozen=True)
class Word:
    """A written word: `text` = source[start:end]; `spoken` holds the words spoken for it."""

    text: str
    start: int
    end: int
    spoken: str


@dataclass(frozen=True)
class Sentence:
    """What is spoken in one go: `text` begins at `start` of the source."""

    text: str
    start: int
    phonemes: list[Phoneme]
    words: list[Word]


@dataclass(frozen=True)
class TextSegment:
    """A sentence (None at the end of a text), and what around it cannot be spoken.

    Spans count from the beginning of the whole text.
    """

    sentence: Sentence | None
    skipped: list[Skipped]


def split_sentences(
    text: str,
    language: str = "en-us",
    max_phonemes: int = MAX_PHONEMES,
    reading: Reading = PLAIN_ENGLISH,
) -> tuple[list[Sentence], list[Skipped]]:
    """Split a text into sentences with their phonemes.

    Args:
        text: Any Unicode string; `[[...]]` is IPA and spoken as given.
        language: Only "en-us" is known.
        max_phonemes: Symbols that a sentence may have; a longer one is split at a comma or between
            words.
        reading: Whether marks are text, and the user's lexicon.

    Returns:
        The sentences, and the stretches of `text` that cannot be spoken. Spans count characters of
        `text`.

    Raises:
        TextError: Nothing in `text` can be spoken.
        UsageError: The language is not known.
        ValueError: `max_phonemes` is below 3.
    """
    if language != "en-us":
        raise UsageError(f"language {language!r} is not known; this version speaks 'en-us'")
    if max_phonemes < 3:
        raise ValueError(f"max_phonemes is {max_phonemes}; a sentence has at least 3 symbols")
    tokens, skipped = normalize(text, reading.plain, reading.lexicon)
    items = list(pronounce_tokens(tokens, language, reading.lexicon))
    for item in items:
        if not item.token.is_border and not item.pronunciations:
            start, end = item.token.start, item.token.end
            skipped.append(Skipped(start, end, text[start:end], "no sound in it"))
    groups = _group_tokens(text, items, max_phonemes)
    sentences = [_build_sentence(text, group) for group in groups]
    if not sentences:
        raise TextError(_explain_no_speech(text, skipped))
    return sentences, sorted(skipped, key=lambda part: part.start)


def _group_tokens(
    text: str, items: Iterable[PronouncedToken], max_phonemes: int
) -> Iterator[list[PronouncedToken]]:
    """Group tokens into sentences, each with a border at its end if one is known."""
    group: list[PronouncedToken] = []
    length = _EMPTY_LENGTH
    for item in items:
        if item.token.is_border:
            if not group:
                continue
            if not group[-1].token.is_border:
                group.append(item)
            if item.token.spoken[0] != ",":
                group[-1] = item
                yield group
                group, length = [], _EMPTY_LENGTH
            continue
        for piece in _split_token(item, max_phonemes - 2):
            # one more than `max_phonemes`: the border after the last word ends the sentence
            while group and length + piece.length > max_phonemes + 1:
                split = _choose_split(group)
                yield group[:split]
                group = group[split:]
                length = _EMPTY_LENGTH + sum(item.length for item in group)
            group.append(piece)
            length += piece.length
    if group:
        last = group[-1].token
        if not last.is_border or text[last.end - 1 : last.end] in (")", "]", "}"):
            group.append(PronouncedToken(Token("border", (".",), last.end, last.end)))
        yield group


def _build_sentence(text: str, items: list[PronouncedToken]) -> Sentence:
    """Build a sentence of words, commas between them, and at most one border at the end."""
    start = items[0].token.start
    phonemes = [Phoneme(START, 0, start, start, -1)]
    words: list[Word] = []
    border: tuple[str, int, int] | None = None
    for item in items:
        token = item.token
        if token.is_border:
            border = (token.spoken[0], token.start, token.end)
            continue
        if words:
            gap = min(words[-1].end, token.start)  # one word may be in two pieces
            symbol, border_start, border_end = border or (" ", gap, token.start)
            phonemes.append(Phoneme(symbol, 0, border_start, border_end, -1))
        border = None
        for index, pronunciation in enumerate(item.pronunciations):
            if index:
                phonemes.append(Phoneme(" ", 0, token.start, token.start, -1))
            phonemes += [
                Phoneme(symbol, stress, token.start, token.end, len(words))
                for symbol, stress in pronunciation
            ]
        spoken = " ".join(item.spoken)
        words.append(Word(text[token.start : token.end], token.start, token.end, spoken))
    end = max(items[-1].token.end, words[-1].end)
    symbol, border_start, border_end = border or (",", end, end)
    phonemes.append(Phoneme(symbol, 0, border_start, border_end, -1))
    return Sentence(text[start:end], start, phonemes, words)


def _split_token(item: PronouncedToken, room: int) -> Iterator[PronouncedToken]:
    """Split a token into pieces of at most `room` symbols; nearly always it is one piece."""
    if item.length <= room + 1:
        if item.pronunciations:
            yield item
        return
    piece = PronouncedToken(item.token)
    for word, pronunciation in zip(item.spoken, item.pronunciations, strict=True):
        for at in range(0, len(pronunciation), room):
            part = pronunciation[at : at + room]
            if piece.pronunciations and piece.length + len(part) > room:
                yield piece
                piece = PronouncedToken(item.token)
            piece.spoken.append(word)
            piece.pronunciations.append(part)
    yield piece


def _choose_split(items: list[PronouncedToken]) -> int:
    """Return how many tokens of a sentence that is too long make a sentence of their own."""
    fewest = max(1, 2 * len(items) // 5)
    for at in range(len(items), fewest - 1, -1):
        if items[at - 1].token.is_border:
            return at
    for at in range(len(items) - 1, fewest, -1):
        token = items[at].token
        if token.kind == "word" and token.spoken[0] in _CONJUNCTIONS:
            return at
    return len(items)


def _explain_no_speech(text: str, skipped: list[Skipped]) -> str:
    if not text.strip():
        return "the text is empty; give some English words"
    why = f" ({skipped[0].why})" if skipped else ""
    return f"there is nothing in this text to speak{why}; give some English words"


def stream_sentences(
    text: str | Iterable[str], language: str, reading: Reading = PLAIN_ENGLISH
) -> Iterator[TextSegment]:
    """Yield the sentences of a text, or of its chunks, each as soon as it is known to be complete.

    That is known when the next sentence has begun, or the chunks end.

    Raises:
        TextError: Nothing in the whole text can be spoken.
        UsageError: A chunk is not text.
    """
    if isinstance(text, str):
        yield from _locate(*split_sentences(text, language, reading=reading), 0)
        return
    pending, offset, spoken = "", 0, False
    for chunk in text:
        if not isinstance(chunk, str):
            raise UsageError(f"text comes in chunks of str, not {type(chunk).__name__}")
        pending += chunk
        if len(pending) <= MAX_PENDING and not any(char.isalnum() for char in chunk):
            continue  # no sentence begins
        complete, skipped, end = split_complete(pending, language, reading)
        yield from _locate(complete, skipped, offset)
        if skipped and not complete:
            yield TextSegment(None, [shift_skipped(part, offset) for part in skipped])
        spoken = spoken or bool(complete)
        pending, offset = pending[end:], offset + end
    try:
        yield from _locate(*split_sentences(pending, language, reading=reading), offset)
    except TextError:
        if not spoken:
            raise
        skipped = [shift_skipped(part, offset) for part in normalize(pending, reading.plain)[1]]
        if skipped:
            yield TextSegment(None, skipped)


def split_complete(
    pending: str, language: str, reading: Reading
) -> tuple[list[Sentence], list[Skipped], int]:
    """Return the sentences that no further text can change, their skipped parts and their end."""
    is_long = len(pending) > MAX_PENDING
    if not is_long and not _MAY_END.search(pending):
        return [], [], 0
    try:
        sentences, skipped = split_sentences(pending, language, reading=reading)
    except TextError:
        if not is_long:
            return [], [], 0
        end = len(pending) - _KEPT
        skipped = normalize(pending, reading.plain)[1]
        return [], [part for part in skipped if part.end <= end], end
    # A long sentence is split by its whole length, so its parts wait for its end.
    complete = len(sentences) - 1
    # So does what is inside a mark that a later chunk may close, or is inside the same link.
    open_mark = len(pending) if reading.plain else find_open_mark(pending)
    while (
        complete > 0
        and not is_long
        and (
            sentences[complete - 1].phonemes[-1].symbol == ","
            or sentences[complete].start > open_mark
            or sentences[complete].start < sentences[complete - 1].words[-1].end
        )
    ):
        complete -= 1
    end = sentences[complete].start if complete else 0
    return sentences[:complete], [part for part in skipped if part.start < end], end


def _locate(
    sentences: list[Sentence], skipped: list[Skipped], offset: int
) -> Iterator[TextSegment]:
    """Yield sentences with spans that count from the beginning of the whole text."""
    for index, sentence in enumerate(sentences):
        moved = [shift_skipped(part, offset) for part in skipped] if index == 0 else []
        yield TextSegment(shift_sentence(sentence, offset), moved)


def shift_sentence(sentence: Sentence, offset: int) -> Sentence:
    """Return a sentence whose spans count from `offset` characters before."""
    if offset == 0:
        return sentence
    return replace(
        sentence,
        start=sentence.start + offset,
        phonemes=[
            replace(phoneme, start=phoneme.start + offset, end=phoneme.end + offset)
            for phoneme in sentence.phonemes
        ],
        words=[
            replace(word, start=word.start + offset, end=word.end + offset)
            for word in sentence.words
        ],
    )


def shift_skipped(skipped: Skipped, offset: int) -> Skipped:
    """Return a skipped part whose span counts from `offset` characters before."""
    return replace(skipped, start=skipped.start + offset, end=skipped.end + offset)
