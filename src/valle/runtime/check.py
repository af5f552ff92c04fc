"""Check the phonemes recognized in an output: missing words, repeated words, wrong phonemes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valle.arrays import Bools, Ints
from valle.text.edit_distance import align, edit_distance
from valle.text.symbols import BLANK, BORDERS, PAUSE


@dataclass(frozen=True)
class Check:
    """How well the phonemes recognized in an output match those of its text."""

    phoneme_error_rate: float
    """Edits per phoneme of the text; 0 is perfect."""
    missing: tuple[str, ...]
    """Words that are deleted: at most a third of their phonemes is recognized. Words of a single
    phoneme are left out: one lost phoneme is more often an error of the recognizer."""
    repeated: tuple[str, ...]
    """Words that are spoken twice in a row."""
    worst: str
    """The word with the largest share of wrong phonemes; "" if all are right."""
    score: float
    """0 to 1, the mean probability of the text's phonemes over the frames aligned with them."""
    phonemes: int
    """How many phonemes the text has."""

    @property
    def passed(self) -> bool:
        """False if a word is missing or repeated.

        Single wrong phonemes do not count: a recognizer that itself gets two in five wrong would
        have every sentence generated again.
        """
        return not (self.missing or self.repeated)

    @classmethod
    def join(cls, checks: Sequence[Check]) -> Check | None:
        """Combine the checks of consecutive sentences, weighted by phonemes; None for none."""
        if not checks:
            return None
        share = np.array([check.phonemes for check in checks]) / sum(c.phonemes for c in checks)
        return cls(
            float(share @ [check.phoneme_error_rate for check in checks]),
            tuple(word for check in checks for word in check.missing),
            tuple(word for check in checks for word in check.repeated),
            max(checks, key=lambda check: check.phoneme_error_rate).worst,
            float(share @ [check.score for check in checks]),
            sum(check.phonemes for check in checks),
        )


def compare(
    symbols: Sequence[str], words: Sequence[str], recognized: Sequence[str], score: float
) -> Check:
    """Compare the symbols of a text with those recognized in its output.

    Args:
        symbols: The phonemes and borders of the text, without stress.
        words: The word of each symbol; "" for borders.
        recognized: The recognized symbols.
        score: Becomes `Check.score`.
    """
    reference, spans = _split_into_words(symbols, words)
    hypothesis = _only_phonemes(recognized)
    is_match, positions = match_symbols(reference, hypothesis)
    missing, repeated, worst, worst_share = [], [], "", 0.0
    for word, start, end in spans:
        length = end - start
        wrong_share = float(1.0 - is_match[start:end].mean())
        if length > 1 and (positions[start:end] >= 0).sum() <= length / 3:
            missing.append(word)
        # Everything recognized between the neighboring words belongs to this word.
        before, after = positions[:start], positions[end:]
        low = int(before.max(initial=-1)) + 1
        high = int(after[after >= 0].min(initial=len(hypothesis)))
        recognized_here = hypothesis[low:high]
        if length > 1 and len(recognized_here) >= 1.6 * length:
            phonemes = reference[start:end]
            spoken_once = edit_distance(phonemes, recognized_here)
            spoken_twice = edit_distance(phonemes + phonemes, recognized_here)
            if spoken_twice < spoken_once and spoken_twice <= 2 * length / 3:
                repeated.append(word)
                wrong_share = max(wrong_share, 1.0)
        if wrong_share > worst_share:
            worst, worst_share = word, wrong_share
    error_rate = phoneme_error_rate(symbols, recognized)
    return Check(error_rate, tuple(missing), tuple(repeated), worst, score, len(reference))


def phoneme_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Return the edits that turn `reference` into `hypothesis`, per phoneme of `reference`.

    Borders, pauses and blanks count in neither. 0 is perfect; more than 1 is possible.
    """
    expected, recognized = _only_phonemes(reference), _only_phonemes(hypothesis)
    return edit_distance(expected, recognized) / max(1, len(expected))


def match_symbols(reference: Sequence[str], hypothesis: Sequence[str]) -> tuple[Bools, Ints]:
    """Align two sequences of symbols with the fewest edits.

    Returns:
        [reference] whether each symbol of the reference is matched by an equal one, and [reference]
        the index of its partner in the hypothesis, -1 if it is deleted.
    """
    is_match = np.zeros(len(reference), bool)
    positions = np.full(len(reference), -1, np.int64)
    for i, j in align(reference, hypothesis):
        if i >= 0 and j >= 0:
            is_match[i], positions[i] = reference[i] == hypothesis[j], j
    return is_match, positions


def _only_phonemes(symbols: Sequence[str]) -> list[str]:
    return [s for s in symbols if s not in BORDERS and s not in (PAUSE, BLANK)]


def _split_into_words(
    symbols: Sequence[str], words: Sequence[str]
) -> tuple[list[str], list[tuple[str, int, int]]]:
    """Return the phonemes alone, and the words with their spans of phonemes."""
    phonemes: list[str] = []
    spans: list[tuple[str, int, int]] = []
    inside_word = False
    for symbol, word in zip(symbols, words, strict=True):
        if symbol in BORDERS:
            inside_word = False
            continue
        phonemes.append(symbol)
        if inside_word and spans[-1][0] == word:
            spans[-1] = (word, spans[-1][1], len(phonemes))
        else:
            spans.append((word, len(phonemes) - 1, len(phonemes)))
        inside_word = True
    return phonemes, spans
