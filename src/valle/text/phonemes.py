"""Text to the symbols the models read: phonemes with stress, and borders.

Every symbol keeps the span of the source it came from, so timings lead back to the text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from valle.errors import TextError, UsageError
from valle.text.espeak import ipa_words
from valle.text.normalization import Skipped, Token, normalise
from valle.text.symbols import CONSONANTS, START, SYMBOLS, VOWELS

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}

# IPA that American English lacks, as the nearest sounds it has. espeak's own units outside of
# SYMBOLS ("ɔːɹ", "aɪɚ", "əl") need no entry: they are read as two symbols.
_NEAREST = {
    **{"a": "ɑː", "ɑ": "ɑː", "aː": "ɑː", "ɒ": "ɑː", "ɒː": "ɑː", "æː": "æ", "ɶ": "æ", "ɐː": "ɑː"},
    **{"e": "eɪ", "eː": "eɪ", "ɛː": "ɛ", "ɛɪ": "eɪ", "o": "oʊ", "oː": "oʊ", "əʊ": "oʊ"},
    **{"oːɹ": "ɔː ɹ", "oɹ": "ɔː ɹ", "eɹ": "ɛ ɹ", "eə": "ɛ ə", "ɑɪ": "aɪ", "oɪ": "ɔɪ", "ɑʊ": "aʊ"},
    **{"u": "uː", "ɯ": "uː", "ʉ": "uː", "ʉː": "uː", "y": "uː", "yː": "uː", "ʏ": "ʊ", "ɵ": "ʊ"},
    **{"ɜ": "ɜː", "ɝ": "ɜː", "ɝː": "ɜː", "ɚː": "ɜː", "ø": "ɜː", "øː": "ɜː", "œ": "ɜː", "ɞ": "ɜː"},
    **{"ɪː": "iː", "ɨ": "ᵻ", "ɘ": "ə", "ɤ": "ʌ", "ʌː": "ʌ", "ɫ": "l", "ɬ": "l", "ɮ": "l", "ɭ": "l"},
    **{
        "g": "ɡ",
        "r": "ɹ",
        "ɻ": "ɹ",
        "ʀ": "ɹ",
        "ʁ": "ɹ",
        "ɽ": "ɾ",
        "ɺ": "ɾ",
        "ʎ": "l j",
        "ɲ": "n j",
    },
    **{"x": "k", "χ": "k", "c": "k", "q": "k", "ɣ": "ɡ", "ɢ": "ɡ", "ɟ": "dʒ", "ʝ": "j", "ɥ": "j"},
    **{"ç": "ʃ", "ɕ": "ʃ", "ʂ": "ʃ", "ʑ": "ʒ", "ʐ": "ʒ", "ʧ": "tʃ", "ʤ": "dʒ", "ɦ": "h", "ħ": "h"},
    **{"ʈ": "t", "ɖ": "d", "ɳ": "n", "ɴ": "ŋ", "ɱ": "m", "β": "v", "ʋ": "v", "ɸ": "f", "ʍ": "w"},
    **{"ɰ": "w", "ʙ": "b", "ɓ": "b", "ɗ": "d", "ɠ": "ɡ", "n̩": "ə n", "m̩": "ə m", "l̩": "ə l"},
}
_SOUNDS: dict[str, tuple[str, ...]] = {
    **{symbol: (symbol,) for symbol in (*VOWELS, *CONSONANTS)},
    **{unicodedata.normalize("NFD", ipa): tuple(to.split()) for ipa, to in _NEAREST.items()},
}
_LONGEST = max(map(len, _SOUNDS))
_STRESS = {"ˈ": 2, "'": 2, "ˌ": 1}
_TIES = str.maketrans("", "", "\u0361\u035c\u203f")

_CLAUSE = 40  # words; espeak cuts longer clauses by itself, and the count must fit
# a long sentence without a comma is cut before one of these
_CONJUNCTIONS = frozenset(
    "and but or nor because which that who when while where if as since although though until "
    "unless before after than then so for with from in to".split()
)

_PLAIN = {"ɾ": "t", "ʔ": "t"}  # what a t becomes between others

Sound = tuple[str, int]  # symbol, stress


@dataclass(frozen=True)
class Phoneme:
    """One symbol of `SYMBOLS` with its stress and its place in the source.

    `stress` is 0 none, 1 secondary, 2 primary. `start`, `end` is the span in the source of the
    word (of the punctuation for a border; empty where a border was put in). `word` is the index
    into `Sentence.words`, -1 for borders.
    """

    symbol: str
    stress: int
    start: int
    end: int
    word: int


@dataclass(frozen=True)
class Word:
    """A written word: `text` = source[start:end]; `spoken` is what is said for it."""

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


@dataclass
class _Item:
    """A word to say or a border, before it has its place in a sentence."""

    token: Token
    spoken: list[str] = field(default_factory=list)
    said: list[tuple[Sound, ...]] = field(default_factory=list)  # for each spoken word

    @property
    def length(self) -> int:
        return sum(len(sounds) + 1 for sounds in self.said)


def symbol_ids(phonemes: Iterable[Phoneme]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids [S] into `SYMBOLS` (0 for a symbol not in it) and stress [S]."""
    phonemes = list(phonemes)
    ids = np.array([_IDS.get(phoneme.symbol, 0) for phoneme in phonemes], np.int64)
    return ids, np.array([phoneme.stress for phoneme in phonemes], np.int64)


@lru_cache(maxsize=65536)
def parse_ipa(*units: str) -> tuple[Sound, ...]:
    """The symbols and stresses of IPA; each unit is read from its own beginning.

    A stress mark belongs to the next vowel. Sounds that English lacks become the nearest ones;
    what is no sound is left out, so the result may be empty.
    """
    sounds: list[Sound] = []
    stress = 0
    for unit in units:
        unit = unicodedata.normalize("NFD", unit).translate(_TIES)
        at = 0
        while at < len(unit):
            if unit[at] in _STRESS:
                stress = _STRESS[unit[at]]
                at += 1
                continue
            for size in range(min(_LONGEST, len(unit) - at), 0, -1):
                if unit[at : at + size] in _SOUNDS:
                    break
            else:
                at += 1
                continue
            for symbol in _SOUNDS[unit[at : at + size]]:
                # "ˈʊɹ ɹ" (insurance) is one r, not two
                if symbol == "ɹ" and sounds and sounds[-1][0] == "ɹ":
                    continue
                sounds.append((symbol, stress if symbol in VOWELS else 0))
                if symbol in VOWELS:
                    stress = 0
            at += size
    return tuple(sounds)


@lru_cache(maxsize=65536)
def _alone(word: str, language: str) -> tuple[Sound, ...]:
    """A word said by itself; without a sound it is spelled."""
    return parse_ipa(*(unit for said in ipa_words(word, language) for unit in said))


def _in_context(words: Sequence[str], language: str) -> list[tuple[Sound, ...]]:
    """Sounds of each word of a clause, as they are in that clause.

    Said alone, function words would be stressed and "the" would never be "ði"; but espeak joins
    some words ("of the" is one), so what does not agree is cut where it agrees best with the
    words said alone.
    """
    if len(words) > _CLAUSE:
        parts = [words[at : at + _CLAUSE] for at in range(0, len(words), _CLAUSE)]
        return [sounds for part in parts for sounds in _in_context(part, language)]
    said = [parse_ipa(*units) for units in ipa_words(" ".join(words), language)]
    alone = [_alone(word, language) for word in words]
    done: list[tuple[Sound, ...]] = []
    used = 0  # of `said`
    while used < len(said):
        # Of the counts whose consonants agree, the one with as many sounds: "was a", which espeak
        # joins, has the consonants of "was" but a sound more.
        fits = []
        for count in (1, 2, 3):
            own = tuple(alone[len(done) : len(done) + count])
            if len(own) == count and _consonants(said[used]) == _consonants(sum(own, ())):
                fits.append((abs(sum(map(len, own)) - len(said[used])), count, own))
        if not fits:
            break
        _, count, own = min(fits)
        done += [said[used]] if count == 1 else _cut(said[used], own)
        used += 1
    left = tuple(sound for sounds in said[used:] for sound in sounds)
    if len(done) < len(words):
        done += _cut(left, tuple(alone[len(done) :]))
    elif left:
        done[-1] += left
    # by a single capital the letter is meant, which espeak takes for the article
    return [
        own if word == "A" else sounds for word, sounds, own in zip(words, done, alone, strict=True)
    ]


@lru_cache(maxsize=65536)
def _consonants(sounds: tuple[Sound, ...]) -> tuple[str, ...]:
    """What a word keeps when it is reduced, or joined with its neighbour."""
    # r comes and goes with the next word ("hour is")
    return tuple(_PLAIN.get(s, s) for s, _ in sounds if s not in VOWELS and s != "ɹ")


@lru_cache(maxsize=4096)
def _cut(
    sounds: tuple[Sound, ...], alone: tuple[tuple[Sound, ...], ...]
) -> list[tuple[Sound, ...]]:
    """Cut `sounds` in as many parts as `alone` has, by the least edit distance to all of them."""
    reference = [(symbol, index) for index, part in enumerate(alone) for symbol, _ in part]
    rows, columns = len(reference) + 1, len(sounds) + 1
    cost = np.zeros((rows, columns), np.float32)
    cost[:, 0], cost[0] = np.arange(rows), np.arange(columns)
    for i in range(1, rows):
        for j in range(1, columns):
            cost[i, j] = min(
                cost[i - 1, j - 1] + _distance(reference[i - 1][0], sounds[j - 1][0]),
                cost[i - 1, j] + 1,
                cost[i, j - 1] + 1,
            )
    parts: list[list[Sound]] = [[] for _ in alone]
    i, j = rows - 1, columns - 1
    while j > 0:
        owner = reference[max(i, 1) - 1][1] if reference else 0
        if i > 0 and cost[i, j] == cost[i - 1, j - 1] + _distance(
            reference[i - 1][0], sounds[j - 1][0]
        ):
            i, j = i - 1, j - 1
            parts[owner].insert(0, sounds[j])
        elif i > 0 and cost[i, j] == cost[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
            parts[owner].insert(0, sounds[j])
    # a word that was left without a sound is said as it is alone
    return [tuple(part) or own for part, own in zip(parts, alone, strict=True)]


def _distance(a: str, b: str) -> float:
    a, b = _PLAIN.get(a, a), _PLAIN.get(b, b)
    return 0.0 if a == b else 0.5 if (a in VOWELS) == (b in VOWELS) else 1.5


def _say(tokens: list[Token], language: str) -> Iterator[_Item]:
    """Items with sounds; the words between two borders are one clause to espeak."""
    clause: list[_Item] = []

    def flush() -> Iterator[_Item]:
        words = [word for item in clause for word in item.token.spoken]
        said = iter(_in_context(words, language)) if words else iter(())
        for item in clause:
            for word in item.token.spoken:
                if sounds := next(said):
                    item.spoken.append(word)
                    item.said.append(sounds)
            yield item
        clause.clear()

    for token in tokens:
        if token.kind == "word":
            clause.append(_Item(token))
            continue
        yield from flush()
        if token.kind == "ipa":
            parts = [part for part in token.spoken[0].split() if parse_ipa(part)]
            yield _Item(token, parts, [parse_ipa(part) for part in parts])
        else:
            yield _Item(token)
    yield from flush()


def _sentence(text: str, items: list[_Item]) -> Sentence:
    """Items (words, commas between them, at most one border at the end) to a sentence."""
    start = items[0].token.start
    phonemes = [Phoneme(START, 0, start, start, -1)]
    words: list[Word] = []
    border: tuple[str, int, int] | None = None
    for item in items:
        token = item.token
        if token.kind == "border":
            border = (token.spoken[0], token.start, token.end)
            continue
        if words:
            left = min(words[-1].end, token.start)  # one word may be in two pieces
            symbol, left, right = border or (" ", left, token.start)
            phonemes.append(Phoneme(symbol, 0, left, right, -1))
        border = None
        for index, sounds in enumerate(item.said):
            if index:
                phonemes.append(Phoneme(" ", 0, token.start, token.start, -1))
            phonemes += [
                Phoneme(symbol, stress, token.start, token.end, len(words))
                for symbol, stress in sounds
            ]
        words.append(
            Word(text[token.start : token.end], token.start, token.end, " ".join(item.spoken))
        )
    end = max(items[-1].token.end, words[-1].end)
    symbol, left, right = border or (",", end, end)
    phonemes.append(Phoneme(symbol, 0, left, right, -1))
    return Sentence(text[start:end], start, phonemes, words)


def to_sentences(
    text: str, language: str = "en-us", max_phonemes: int = 180
) -> tuple[list[Sentence], list[Skipped]]:
    """Sentences to speak, and what of `text` cannot be said.

    Each sentence has at most `max_phonemes` symbols (180 are about 15 s); a longer one is cut at
    a comma or between words. `[[...]]` is IPA and spoken as given. Spans count characters of
    `text`. Takes any Unicode string; raises TextError only when nothing remains to be said, and
    UsageError for a language other than "en-us".
    """
    if language != "en-us":
        raise UsageError(f"language {language!r} is not known; this version speaks 'en-us'")
    if max_phonemes < 3:
        raise ValueError(f"max_phonemes is {max_phonemes}; a sentence has at least 3 symbols")
    tokens, skipped = normalise(text)
    sentences: list[Sentence] = []
    items: list[_Item] = []
    length = 2  # "^" and the last border
    for item in _say(tokens, language):
        token = item.token
        if token.kind == "border":
            if not items:
                continue
            if items[-1].token.kind != "border":
                items.append(item)
            if token.spoken[0] != ",":
                items[-1] = item
                sentences.append(_sentence(text, items))
                items, length = [], 2
            continue
        if not item.said:
            why = "no sound in it"
            skipped.append(Skipped(token.start, token.end, text[token.start : token.end], why))
        for piece in _pieces(item, max_phonemes - 2):
            while items and length + piece.length > max_phonemes + 1:
                cut = _cut_place(items)
                sentences.append(_sentence(text, items[:cut]))
                items = items[cut:]
                length = 2 + sum(kept.length for kept in items)
            items.append(piece)
            length += piece.length
    if items:
        last = items[-1].token
        if last.kind != "border" or text[last.end - 1 : last.end] in (")", "]", "}"):
            items.append(_Item(Token("border", (".",), last.end, last.end)))
        sentences.append(_sentence(text, items))
    if not sentences:
        raise TextError(_nothing(text, skipped))
    return sentences, sorted(skipped, key=lambda part: part.start)


def _nothing(text: str, skipped: list[Skipped]) -> str:
    if not text.strip():
        return "the text is empty; give some English words"
    why = f" ({skipped[0].why})" if skipped else ""
    return f"there is nothing in this text to say{why}; give some English words"


def _pieces(item: _Item, room: int) -> Iterator[_Item]:
    """The item in pieces of at most `room` symbols; nearly always the item itself."""
    if item.length <= room + 1:
        if item.said:
            yield item
        return
    piece = _Item(item.token)
    for word, sounds in zip(item.spoken, item.said, strict=True):
        for at in range(0, len(sounds), room):
            part = sounds[at : at + room]
            if piece.said and piece.length + len(part) > room:
                yield piece
                piece = _Item(item.token)
            piece.spoken.append(word)
            piece.said.append(part)
    yield piece


def _cut_place(items: list[_Item]) -> int:
    """How many items of a sentence that has grown too long make a sentence of their own."""
    least = max(1, 2 * len(items) // 5)
    for at in range(len(items), least - 1, -1):
        if items[at - 1].token.kind == "border":
            return at
    for at in range(len(items) - 1, least, -1):
        if items[at].token.kind == "word" and items[at].token.spoken[0] in _CONJUNCTIONS:
            return at
    return len(items)
