"""The symbols that the models read, and the classes that the recognizer tells apart."""

from __future__ import annotations

UNKNOWN = "<unknown>"
START = "^"  # the first symbol of every sentence
# Symbols that are not phonemes: the start, the border between two words, and punctuation.
BORDERS: frozenset[str] = frozenset((START, " ", ",", ".", "?", "!"))
_VOWELS = "æ ʌ ɐ ə ɚ ɛ ɪ i iː ᵻ ɑː ɔ ɔː ʊ uː ɜː eɪ aɪ ɔɪ aʊ oʊ".split()
VOWELS: frozenset[str] = frozenset(_VOWELS)
CONSONANTS = "p b t d k ɡ ɾ ʔ tʃ dʒ f v θ ð s z ʃ ʒ h m n ŋ l ɹ j w".split()
# The order is part of the bundle format: a trained model's embedding rows follow it.
SYMBOLS: tuple[str, ...] = (UNKNOWN, START, " ", ",", ".", "?", "!", *_VOWELS, *CONSONANTS)

BLANK = "<blank>"
PAUSE = "<pause>"
LISTENER_SYMBOLS: tuple[str, ...] = (
    BLANK,
    PAUSE,
    *(symbol for symbol in SYMBOLS if symbol != UNKNOWN and symbol not in BORDERS),
)
