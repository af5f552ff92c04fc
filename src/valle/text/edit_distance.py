"""Edit distance (Levenshtein) between sequences of symbols, and the alignment behind it.

One implementation for the whole project: phoneme error rates, matching recognized phonemes with a
sentence, and splitting the phonemes of a clause into its words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from valle.arrays import Floats
from valle.text.symbols import VOWELS

SubstitutionCost = Callable[[str, str], float]


def unit_cost(a: str, b: str) -> float:
    """Return the cost of a substitution in the Levenshtein distance: 0 if equal, otherwise 1."""
    return 0.0 if a == b else 1.0


def phoneme_cost(a: str, b: str) -> float:
    """Return the cost of a substitution of phonemes.

    It is 0 if they are equal, 0.5 if both are vowels or both are not, and otherwise 1.5. That is
    below 2, so a substitution is always cheaper than a deletion and an insertion.
    """
    if a == b:
        return 0.0
    return 0.5 if (a in VOWELS) == (b in VOWELS) else 1.5


def edit_distance(
    reference: Sequence[str],
    hypothesis: Sequence[str],
    substitution: SubstitutionCost = unit_cost,
) -> float:
    """Return the least total cost of edits that turn `reference` into `hypothesis`.

    Deletions and insertions cost 1 each.
    """
    return float(_edit_costs(reference, hypothesis, substitution, 1.0)[-1, -1])


def align(
    reference: Sequence[str],
    hypothesis: Sequence[str],
    substitution: SubstitutionCost = unit_cost,
    deletion: float = 1.0,
) -> list[tuple[int, int]]:
    """Align two sequences at the least edit distance.

    Ties are broken from the end: a pair before a deletion, a deletion before an insertion.

    Args:
        reference: The expected symbols.
        hypothesis: The observed symbols.
        substitution: Cost of a pair: `unit_cost` or `phoneme_cost`.
        deletion: Cost of a reference symbol without a partner; infinity forbids it, and then
            `reference` must not be longer than `hypothesis`. An insertion costs 1.

    Returns:
        The edits in order, as pairs (index in `reference`, index in `hypothesis`); the second is -1
        for a deletion, the first is -1 for an insertion.
    """
    costs = _edit_costs(reference, hypothesis, substitution, deletion)
    edits: list[tuple[int, int]] = []
    i, j = len(reference), len(hypothesis)
    while i or j:
        if i and j:
            pair = costs[i - 1, j - 1] + substitution(reference[i - 1], hypothesis[j - 1])
            if costs[i, j] == pair:
                i, j = i - 1, j - 1
                edits.append((i, j))
                continue
        if i and costs[i, j] == costs[i - 1, j] + deletion:
            i -= 1
            edits.append((i, -1))
        else:
            j -= 1
            edits.append((-1, j))
    return edits[::-1]


def _edit_costs(
    reference: Sequence[str],
    hypothesis: Sequence[str],
    substitution: SubstitutionCost,
    deletion: float,
) -> Floats:
    """Return edit distances between all prefixes, [len(reference) + 1, len(hypothesis) + 1].

    In float32 they are exact: all costs are multiples of 0.5.
    """
    symbols = {symbol: index for index, symbol in enumerate(dict.fromkeys(hypothesis))}
    columns = np.array([symbols[symbol] for symbol in hypothesis], np.int64)
    substitutions = {
        symbol: np.array([substitution(symbol, other) for other in symbols], np.float32)
        for symbol in set(reference)
    }
    insertions = np.arange(len(hypothesis) + 1, dtype=np.float32)
    costs = np.empty((len(reference) + 1, len(hypothesis) + 1), np.float32)
    costs[0] = insertions
    for i, symbol in enumerate(reference, start=1):
        row = costs[i - 1] + np.float32(deletion)
        paired = costs[i - 1, :-1] + substitutions[symbol][columns]
        np.minimum(row[1:], paired, out=row[1:])
        # Insertions run along the row: row[j] = min over k <= j of row[k] + (j - k).
        costs[i] = np.minimum.accumulate(row - insertions) + insertions
    return costs
