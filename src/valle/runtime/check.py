"""Whether the phonemes heard are those asked: lost words, doubled words, wrong phonemes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.text.symbols import BLANK, BORDERS, PAUSE


@dataclass(frozen=True)
class Check:
    """How well an output matches what was asked."""

    phoneme_error_rate: float
    """Edits as a share of the asked phonemes; 0 is perfect."""
    missing: tuple[str, ...]
    """Words of which (nearly) nothing was heard. Words of a single phoneme are left out: one lost
    sound is more often the listener's mistake than the speaker's."""
    doubled: tuple[str, ...]
    """Words heard twice in a row."""
    worst: str
    """The word with the largest share of wrong phonemes; "" when all are right."""
    score: float
    """0..1, the mean probability of the asked phonemes where they were aligned."""
    phonemes: int
    """How many phonemes were asked."""

    @property
    def passed(self) -> bool:
        """False when a word is lost or doubled.

        Single wrong phonemes do not count: a listener that itself hears two of five amiss would
        have every sentence said again.
        """
        return not (self.missing or self.doubled)

    @classmethod
    def joined(cls, checks: Sequence[Check]) -> Check | None:
        """One check for sentences that follow each other; None when there is none."""
        if not checks:
            return None
        share = np.array([check.phonemes for check in checks]) / sum(c.phonemes for c in checks)
        return cls(
            float(share @ [check.phoneme_error_rate for check in checks]),
            tuple(word for check in checks for word in check.missing),
            tuple(word for check in checks for word in check.doubled),
            max(checks, key=lambda check: check.phoneme_error_rate).worst,
            float(share @ [check.score for check in checks]),
            sum(check.phonemes for check in checks),
        )


def compare(
    symbols: Sequence[str], words: Sequence[str], heard: Sequence[str], score: float
) -> Check:
    """Compare asked symbols (with the word of each) with heard ones; see `Listener.check`."""
    wanted, spans = _by_word(symbols, words)
    got = _spoken(heard)
    matched, where = edit_path(wanted, got)
    missing, doubled, worst, worst_share = [], [], "", 0.0
    for word, start, end in spans:
        length = end - start
        hits = where[start:end] >= 0
        wrong = float(1.0 - matched[start:end].mean())
        if length > 1 and hits.sum() <= length / 3:
            missing.append(word)
        # Everything heard between the neighbouring words belongs to this word.
        before, after = where[:start], where[end:]
        low = int(before.max(initial=-1)) + 1
        high = int(after[after >= 0].min(initial=len(got)))
        around = got[low:high]
        if length > 1 and len(around) >= 1.6 * length:
            phonemes = wanted[start:end]
            once = _edit_table(phonemes, around)[-1, -1]
            twice = _edit_table(phonemes + phonemes, around)[-1, -1]
            if twice < once and twice <= 2 * length / 3:
                doubled.append(word)
                wrong = max(wrong, 1.0)
        if wrong > worst_share:
            worst, worst_share = word, wrong
    error_rate = phoneme_error_rate(wanted, got)
    return Check(error_rate, tuple(missing), tuple(doubled), worst, score, len(wanted))


def phoneme_error_rate(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Edits that turn `hypothesis` into `reference`, as a share of the phonemes of `reference`.

    Borders, pauses and blanks count in neither. 0 is perfect; more than 1 is possible.
    """
    wanted, heard = _spoken(reference), _spoken(hypothesis)
    return float(_edit_table(wanted, heard)[-1, -1]) / max(1, len(wanted))


def edit_path(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> tuple[NDArray[np.bool_], Ints]:
    """One best alignment: which reference symbols match, and their places there (-1: deleted)."""
    table = _edit_table(reference, hypothesis)
    matched = np.zeros(len(reference), bool)
    where = np.full(len(reference), -1, np.int64)
    i, j = len(reference), len(hypothesis)
    while i > 0 and j > 0:
        same = reference[i - 1] == hypothesis[j - 1]
        if table[i, j] == table[i - 1, j - 1] + (not same):
            i, j = i - 1, j - 1
            matched[i], where[i] = same, j
        elif table[i, j] == table[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return matched, where


def _spoken(symbols: Sequence[str]) -> list[str]:
    return [s for s in symbols if s not in BORDERS and s not in (PAUSE, BLANK)]


def _by_word(
    symbols: Sequence[str], words: Sequence[str]
) -> tuple[list[str], list[tuple[str, int, int]]]:
    """The phonemes alone, and of each word its text and its span among them."""
    phonemes: list[str] = []
    spans: list[tuple[str, int, int]] = []
    inside = False
    for symbol, word in zip(symbols, words, strict=True):
        if symbol in BORDERS:
            inside = False
            continue
        phonemes.append(symbol)
        if inside and spans[-1][0] == word:
            spans[-1] = (word, spans[-1][1], len(phonemes))
        else:
            spans.append((word, len(phonemes) - 1, len(phonemes)))
        inside = True
    return phonemes, spans


def _edit_table(reference: Sequence[str], hypothesis: Sequence[str]) -> Ints:
    """[len(reference)+1, len(hypothesis)+1] edit distances between all beginnings."""
    names: dict[str, int] = {}
    ref = np.array([names.setdefault(s, len(names)) for s in reference], np.int64)
    hyp = np.array([names.setdefault(s, len(names)) for s in hypothesis], np.int64)
    columns = np.arange(len(hyp) + 1)
    table = np.empty((len(ref) + 1, len(hyp) + 1), np.int64)
    table[0] = columns
    for i, symbol in enumerate(ref, start=1):
        row = table[i - 1] + 1
        np.minimum(row[1:], table[i - 1, :-1] + (hyp != symbol), out=row[1:])
        # Insertions run along the row: row[j] = min over k <= j of row[k] + (j - k).
        table[i] = np.minimum.accumulate(row - columns) + columns
    return table
