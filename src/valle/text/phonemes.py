"""Words to phonemes with stress: IPA to the symbols that the models read, and espeak in context."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from valle.arrays import Ints
from valle.text.edit_distance import align, phoneme_cost
from valle.text.espeak import phonemize
from valle.text.homographs import choose_pronunciations
from valle.text.pronunciations import find_loan_word, split_prefix
from valle.text.symbols import CONSONANTS, SYMBOLS, VOWELS
from valle.text.tokens import Token

_IDS = {symbol: index for index, symbol in enumerate(SYMBOLS)}

# IPA that American English lacks, as the nearest sounds it has. espeak's own units outside
# SYMBOLS ("ɔːɹ", "aɪɚ", "əl") need no entry: they are read as two symbols.
# fmt: off
_NEAREST = {
    "a": "ɑː", "ɑ": "ɑː", "aː": "ɑː", "ɒ": "ɑː", "ɒː": "ɑː", "æː": "æ", "ɶ": "æ", "ɐː": "ɑː",
    "e": "eɪ", "eː": "eɪ", "ɛː": "ɛ", "ɛɪ": "eɪ", "o": "oʊ", "oː": "oʊ", "əʊ": "oʊ",
    "oːɹ": "ɔː ɹ", "oɹ": "ɔː ɹ", "eɹ": "ɛ ɹ", "eə": "ɛ ə", "ɑɪ": "aɪ", "oɪ": "ɔɪ", "ɑʊ": "aʊ",
    "u": "uː", "ɯ": "uː", "ʉ": "uː", "ʉː": "uː", "y": "uː", "yː": "uː", "ʏ": "ʊ", "ɵ": "ʊ",
    "ɜ": "ɜː", "ɝ": "ɜː", "ɝː": "ɜː", "ɚː": "ɜː", "ø": "ɜː", "øː": "ɜː", "œ": "ɜː", "ɞ": "ɜː",
    "ɪː": "iː", "ɨ": "ᵻ", "ɘ": "ə", "ɤ": "ʌ", "ʌː": "ʌ", "ɫ": "l", "ɬ": "l", "ɮ": "l", "ɭ": "l",
    "g": "ɡ", "r": "ɹ", "ɻ": "ɹ", "ʀ": "ɹ", "ʁ": "ɹ", "ɽ": "ɾ", "ɺ": "ɾ", "ʎ": "l j", "ɲ": "n j",
    "x": "k", "χ": "k", "c": "k", "q": "k", "ɣ": "ɡ", "ɢ": "ɡ", "ɟ": "dʒ", "ʝ": "j", "ɥ": "j",
    "ç": "ʃ", "ɕ": "ʃ", "ʂ": "ʃ", "ʑ": "ʒ", "ʐ": "ʒ", "ʧ": "tʃ", "ʤ": "dʒ", "ɦ": "h", "ħ": "h",
    "ʈ": "t", "ɖ": "d", "ɳ": "n", "ɴ": "ŋ", "ɱ": "m", "β": "v", "ʋ": "v", "ɸ": "f", "ʍ": "w",
    "ɰ": "w", "ʙ": "b", "ɓ": "b", "ɗ": "d", "ɠ": "ɡ", "n̩": "ə n", "m̩": "ə m", "l̩": "ə l",
}
# fmt: on
_SYMBOLS_OF: dict[str, tuple[str, ...]] = {
    **{symbol: (symbol,) for symbol in (*VOWELS, *CONSONANTS)},
    **{unicodedata.normalize("NFD", ipa): tuple(to.split()) for ipa, to in _NEAREST.items()},
}
_IPA_CHARACTERS = frozenset("".join(_SYMBOLS_OF)) | frozenset("ˈˌ'. ")
_MAX_IPA_LENGTH = max(map(len, _SYMBOLS_OF))
_STRESS_MARKS = {"ˈ": 2, "'": 2, "ˌ": 1}
_TIES = str.maketrans("", "", "\u0361\u035c\u203f")

_MAX_CLAUSE_WORDS = 40  # espeak splits longer clauses by itself, and the count must match
_UNREDUCED = {"ɾ": "t", "ʔ": "t"}  # what a t becomes between other sounds

Phone = tuple[str, int]
"""A symbol of `SYMBOLS` and its stress: 0 none, 1 secondary, 2 primary."""
Pronunciation = tuple[Phone, ...]
"""The phones of a word; empty if it has no sound."""


@dataclass(frozen=True)
class Phoneme:
    """One symbol of `SYMBOLS` with its stress and its place in the source.

    `stress` is 0 none, 1 secondary, 2 primary. `start`, `end` is the span in the source of the
    word (of the punctuation for a border; empty where a border was inserted). `word` is the
    index into `Sentence.words`, -1 for borders.
    """

    symbol: str
    stress: int
    start: int
    end: int
    word: int


@dataclass
class PronouncedToken:
    """A token with its sounds: one pronunciation for each of the `spoken` words.

    Words without a sound are left out of both lists; borders have none.
    """

    token: Token
    spoken: list[str] = field(default_factory=list)
    pronunciations: list[Pronunciation] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Symbols it takes in a sentence, with a word border after each word."""
        return sum(len(pronunciation) + 1 for pronunciation in self.pronunciations)


def phonemes_to_ids(phonemes: Iterable[Phoneme]) -> tuple[Ints, Ints]:
    """Return ids [S] into `SYMBOLS` (0 for a symbol that is not in it) and stress [S]."""
    phonemes = list(phonemes)
    ids = np.array([_IDS.get(phoneme.symbol, 0) for phoneme in phonemes], np.int64)
    return ids, np.array([phoneme.stress for phoneme in phonemes], np.int64)


@lru_cache(maxsize=65536)
def parse_ipa(*units: str) -> Pronunciation:
    """Convert IPA to symbols with stress.

    Each unit is read from its own beginning. A stress mark belongs to the next
    vowel. Sounds that English lacks become the nearest ones; anything that is not a sound is left
    out, so the result may be empty.
    """
    phones: list[Phone] = []
    stress = 0
    for unit in units:
        unit = unicodedata.normalize("NFD", unit).translate(_TIES)
        at = 0
        while at < len(unit):
            if unit[at] in _STRESS_MARKS:
                stress = _STRESS_MARKS[unit[at]]
                at += 1
                continue
            for size in range(min(_MAX_IPA_LENGTH, len(unit) - at), 0, -1):
                if unit[at : at + size] in _SYMBOLS_OF:
                    break
            else:
                at += 1
                continue
            for symbol in _SYMBOLS_OF[unit[at : at + size]]:
                # "ˈʊɹ ɹ" (insurance) is one r, not two
                if symbol == "ɹ" and phones and phones[-1][0] == "ɹ":
                    continue
                phones.append((symbol, stress if symbol in VOWELS else 0))
                if symbol in VOWELS:
                    stress = 0
            at += size
    return tuple(phones)


def find_unknown_ipa(ipa: str) -> str:
    """Return the first character of a string that is not a part of IPA, or ""."""
    text = unicodedata.normalize("NFD", ipa).translate(_TIES)
    return next((char for char in text if char not in _IPA_CHARACTERS), "")


def pronounce_tokens(
    tokens: Iterable[Token], language: str, lexicon: Mapping[str, Pronunciation] | None = None
) -> Iterator[PronouncedToken]:
    """Add sounds to tokens; the words between two borders are one clause to espeak.

    Words of `lexicon`, in small letters, have the pronunciation that they have there.
    """
    tokens = list(tokens)
    homographs = choose_pronunciations(tokens)
    clause: list[tuple[Token, str]] = []
    for index, token in enumerate(tokens):
        if token.kind == "word":
            clause.append((token, homographs.get(index, "")))
            continue
        yield from _pronounce_clause(clause, language, lexicon or {})
        clause = []
        if token.kind == "ipa":
            spoken = [part for part in token.spoken[0].split() if parse_ipa(part)]
            yield PronouncedToken(token, spoken, [parse_ipa(part) for part in spoken])
        else:
            yield PronouncedToken(token)
    yield from _pronounce_clause(clause, language, lexicon or {})


def _pronounce_clause(
    tokens: Sequence[tuple[Token, str]], language: str, lexicon: Mapping[str, Pronunciation]
) -> Iterator[PronouncedToken]:
    words = [word for token, _ in tokens for word in token.spoken]
    pronunciations = iter(pronounce(words, language))
    for token, ipa in tokens:
        pronounced = PronouncedToken(token)
        for word in token.spoken:
            pronunciation = next(pronunciations)
            if user_phones := find_user_pronunciation(word, lexicon):
                pronunciation = user_phones
            elif known := ipa or find_loan_word(word):
                pronunciation = parse_ipa(known)
            elif (parts := split_prefix(word))[0]:
                pronunciation = parse_ipa(parts[0]) + _pronounce_isolated(parts[1], language)
            if pronunciation:
                pronounced.spoken.append(word)
                pronounced.pronunciations.append(pronunciation)
        yield pronounced


def find_user_pronunciation(word: str, lexicon: Mapping[str, Pronunciation]) -> Pronunciation:
    """Return the pronunciation of a word in a lexicon, also with "'s"; empty if it has none."""
    key = word.lower()
    stem = key.removesuffix("'s")
    if not lexicon or stem not in lexicon:
        return ()
    if stem == key:
        return lexicon[stem]
    last = lexicon[stem][-1][0]
    if last in ("s", "z", "ʃ", "ʒ", "tʃ", "dʒ"):
        return (*lexicon[stem], ("ᵻ", 0), ("z", 0))
    return (*lexicon[stem], ("s" if last in ("p", "t", "k", "f", "θ") else "z", 0))


def pronounce(words: Sequence[str], language: str) -> list[Pronunciation]:
    """Pronounce each word of a clause as it is in that clause.

    On their own, function words would be stressed and "the" would never be "ði"; but espeak joins
    some words ("of the" is one), so what does not match is split where it matches best the words
    pronounced on their own.
    """
    if len(words) > _MAX_CLAUSE_WORDS:
        starts = range(0, len(words), _MAX_CLAUSE_WORDS)
        parts = [words[start : start + _MAX_CLAUSE_WORDS] for start in starts]
        return [pronunciation for part in parts for pronunciation in pronounce(part, language)]
    joined = [parse_ipa(*units) for units in phonemize(" ".join(words), language)] if words else []
    isolated = [_pronounce_isolated(word, language) for word in words]
    in_context: list[Pronunciation] = []
    used = 0  # of `joined`
    while used < len(joined):
        # Of the counts whose consonants agree, the one with as many sounds: "was a", which espeak
        # joins, has the consonants of "was" but a sound more.
        candidates = []
        for count in (1, 2, 3):
            group = tuple(isolated[len(in_context) : len(in_context) + count])
            phones = sum(group, ())
            if len(group) == count and _consonants(joined[used]) == _consonants(phones):
                candidates.append((abs(len(phones) - len(joined[used])), count, group))
        if not candidates:
            break
        _, count, group = min(candidates)
        in_context += [joined[used]] if count == 1 else _split_words(joined[used], group)
        used += 1
    remaining = tuple(phone for phones in joined[used:] for phone in phones)
    if len(in_context) < len(words):
        in_context += _split_words(remaining, tuple(isolated[len(in_context) :]))
    elif remaining:
        in_context[-1] += remaining
    # a single capital is the name of the letter, which espeak takes for the article
    return [
        letter if word == "A" else pronunciation
        for word, pronunciation, letter in zip(words, in_context, isolated, strict=True)
    ]


@lru_cache(maxsize=65536)
def _pronounce_isolated(word: str, language: str) -> Pronunciation:
    """Pronounce a word on its own; empty if espeak gives no sound for it."""
    return parse_ipa(*(unit for units in phonemize(word, language) for unit in units))


@lru_cache(maxsize=65536)
def _consonants(phones: Pronunciation) -> tuple[str, ...]:
    """Return what a word keeps when it is reduced, or joined with its neighbor."""
    # r comes and goes with the next word ("hour is")
    return tuple(
        _UNREDUCED.get(symbol, symbol)
        for symbol, _ in phones
        if symbol not in VOWELS and symbol != "ɹ"
    )


@lru_cache(maxsize=4096)
def _split_words(phones: Pronunciation, isolated: tuple[Pronunciation, ...]) -> list[Pronunciation]:
    """Split `phones` into as many words as `isolated` has, by the least edit distance to them."""
    word_of = [index for index, word in enumerate(isolated) for _ in word]
    edits = align(
        [_UNREDUCED.get(symbol, symbol) for word in isolated for symbol, _ in word],
        [_UNREDUCED.get(symbol, symbol) for symbol, _ in phones],
        phoneme_cost,
    )
    words: list[list[Phone]] = [[] for _ in isolated]
    owner = word_of[0] if word_of else 0
    for expected, index in edits:
        if expected >= 0:
            owner = word_of[expected]
        if index >= 0:
            words[owner].append(phones[index])
    # a word that is left without a sound keeps the pronunciation it has on its own
    return [tuple(word) or alone for word, alone in zip(words, isolated, strict=True)]
