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
from valle.espeak import ipa_words
from valle.normalise import Skipped, Token, normalise

UNKNOWN = "<unknown>"
START = "^"
ENDS = frozenset(".?!,")  # what a sentence may end with
BORDERS: frozenset[str] = ENDS | {START, " "}
_VOWELS = "æ ʌ ɐ ə ɚ ɛ ɪ i iː ᵻ ɑː ɔ ɔː ʊ uː ɜː eɪ aɪ ɔɪ aʊ oʊ".split()
VOWELS: frozenset[str] = frozenset(_VOWELS)
_CONSONANTS = "p b t d k ɡ ɾ ʔ tʃ dʒ f v θ ð s z ʃ ʒ h m n ŋ l ɹ j w".split()
# The order is part of the bundle format: a trained model's embedding rows follow it.
SYMBOLS: tuple[str, ...] = (UNKNOWN, START, " ", ",", ".", "?", "!", *_VOWELS, *_CONSONANTS)
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
    **{"g": "ɡ", "r": "ɹ", "ɻ": "ɹ", "ʀ": "ɹ", "ʁ": "ɹ", "ɽ": "ɾ", "ɺ": "ɾ", "ʎ": "l j", "ɲ": "n j"},
    **{"x": "k", "χ": "k", "c": "k", "q": "k", "ɣ": "ɡ", "ɢ": "ɡ", "ɟ": "dʒ", "ʝ": "j", "ɥ": "j"},
    **{"ç": "ʃ", "ɕ": "ʃ", "ʂ": "ʃ", "ʑ": "ʒ", "ʐ": "ʒ", "ʧ": "tʃ", "ʤ": "dʒ", "ɦ": "h", "ħ": "h"},
    **{"ʈ": "t", "ɖ": "d", "ɳ": "n", "ɴ": "ŋ", "ɱ": "m", "β": "v", "ʋ": "v", "ɸ": "f", "ʍ": "w"},
    **{"ɰ": "w", "ʙ": "b", "ɓ": "b", "ɗ": "d", "ɠ": "ɡ", "n̩": "ə n", "m̩": "ə m", "l̩": "ə l"},
}
_SOUNDS: dict[str, tuple[str, ...]] = {
    **{symbol: (symbol,) for symbol in (*VOWELS, *_CONSONANTS)},
    **{unicodedata.normalize("NFD", ipa): tuple(to.split()) for ipa, to in _NEAREST.items()},
}
_LONGEST = max(map(len, _SOUNDS))
_STRESS = {"ˈ": 2, "'": 2, "ˌ": 1}
_TIES = str.maketrans("", "", "\u0361\u035c\u203f")

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
    some words, so where the count does not fit, the clause's sounds are cut where they agree
    best with those of the words said alone.
    """
    said = [parse_ipa(*units) for units in ipa_words(" ".join(words), language)]
    alone = [_alone(word, language) for word in words]
    fits = len(said) == len(words) and all(
        abs(len(a) - len(b)) <= 2 and bool(a) == bool(b) for a, b in zip(said, alone, strict=True)
    )
    return said if fits else _cut([sound for sounds in said for sound in sounds], alone)


def _cut(sounds: list[Sound], alone: list[tuple[Sound, ...]]) -> list[tuple[Sound, ...]]:
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
    return 0.0 if a == b else 0.5 if (a in VOWELS) == (b in VOWELS) else 1.5


def _say(tokens: list[Token], language: str) -> Iterator[_Item]:
    """Items with sounds; the words between two borders are one clause to espeak."""
    clause: list[_Item] = []

    def flush() -> Iterator[_Item]:
        words = [word for item in clause for word in item.token.spoken]
        said = iter(_in_context(words, language)) if words else iter(())
        for item in clause:
            item.said = [sounds for _ in item.token.spoken if (sounds := next(said))]
            yield item
        clause.clear()

    for token in tokens:
        if token.kind == "word":
            clause.append(_Item(token))
            continue
        yield from flush()
        if token.kind == "ipa":
            said = [parse_ipa(part) for part in token.spoken[0].split()]
            yield _Item(token, [sounds for sounds in said if sounds])
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
            symbol, left, right = border or (" ", words[-1].end, token.start)
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
            Word(text[token.start : token.end], token.start, token.end, " ".join(token.spoken))
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
    tokens, skipped = normalise(text)
    sentences: list[Sentence] = []
    items: list[_Item] = []
    length = 2  # "^" and the last border
    for item in _say(tokens, language):
        token = item.token
        if token.kind == "border":
            if not items:
                continue
            last = items[-1]
            if last.token.kind != "border":
                items.append(item)
            if token.spoken[0] != ",":
                items[-1] = item
                sentences.append(_sentence(text, items))
                items, length = [], 2
            continue
        if not item.said:
            why = "no sound in it"
            skipped.append(Skipped(token.start, token.end, text[token.start : token.end], why))
            continue
        if items and length + item.length > max_phonemes:
            commas = [i for i, it in enumerate(items) if it.token.kind == "border"]
            cut = commas[-1] + 1 if commas and commas[-1] > len(items) // 3 else len(items)
            sentences.append(_sentence(text, items[:cut]))
            items = items[cut:]
            length = 2 + sum(it.length for it in items)
        items.append(item)
        length += item.length
    if items:
        if items[-1].token.kind != "border":
            end = items[-1].token.end
            items.append(_Item(Token("border", (".",), end, end)))
        sentences.append(_sentence(text, items))
    if not sentences:
        raise TextError("there is nothing in this text to say; give some English words")
    return sentences, sorted(skipped, key=lambda part: part.start)
