"""Chance: which code a frame gets, when the pointer moves, and how a wanted length is kept.

All chance comes from one numpy Generator, so the same seed gives the same speech.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.errors import UsageError
from valle.runtime.pointer import ADVANCE, SKIP, STAY, Pointer

Floats = NDArray[np.floating[Any]]

GAIN = 0.5  # log-odds of moving, for each frame that the pointer is behind its plan
LANDING = 20  # frames before the wanted end from which the plan is kept ever more strictly
TYPICAL_PHONEME, TYPICAL_BORDER = 4.5, 2.0  # frames, before a voice has shown its own
TRUST = 3.0  # a symbol's own mean counts as much as the voice's once it was heard this often
LONGEST_EXPECTED = 25  # frames; a longer one in a prompt is a hesitation or a pause


@dataclass(frozen=True)
class Sampling:
    """How codes and moves are drawn.

    temperature: 0 takes the likeliest code and the median length of each symbol. top_p: codes are
    drawn from the likeliest ones that together hold this share. window, repetition: a code that
    already has more than this share of the last ``window`` frames is drawn anew from all codes
    (repetition-aware sampling, VALL-E 2), which is the way out of a loop. UsageError out of range.
    """

    temperature: float = 0.9
    top_p: float = 0.8
    window: int = 10
    repetition: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 <= self.temperature < float("inf"):
            raise UsageError(f"temperature {self.temperature} must be 0 or above")
        if not 0.0 < self.top_p <= 1.0:
            raise UsageError(f"top_p {self.top_p} must be above 0 and at most 1")
        if self.window < 0 or not 0.0 <= self.repetition <= 1.0:
            raise UsageError("the repetition window must be 0 or above, its share 0 to 1")


def sample(
    logits: Floats, sampling: Sampling, rng: np.random.Generator, recent: Sequence[int] = ()
) -> int:
    """One code drawn from logits [codes]; ``recent``: the codes before it, latest last."""
    if sampling.temperature == 0.0:
        return int(logits.argmax())
    odds = logits - logits.max()
    odds /= sampling.temperature
    np.exp(odds, odds)
    mass = odds.cumsum(dtype=np.float64)
    code = _draw(mass, rng)
    # To draw anew until the code is among the likeliest is to draw among them, without sorting:
    # it is one of them when all that are likelier hold less than the share.
    share = sampling.top_p * mass.item(-1)
    while sampling.top_p < 1.0 and odds.dot(odds > odds[code]) >= share:
        code = _draw(mass, rng)
    window = recent[-sampling.window :] if sampling.window else ()
    if window and window.count(code) > sampling.repetition * len(window):
        code = _draw(mass, rng)
    return code


def _draw(mass: NDArray[np.float64], rng: np.random.Generator) -> int:
    """An index drawn by cumulative weights [n]."""
    return min(int(mass.searchsorted(rng.random() * mass.item(-1), "right")), len(mass) - 1)


class Pace:
    """A plan for how far the pointer is at each frame, so that a sentence takes ``wanted`` frames.

    expected [symbols]: frames that each symbol would take by itself (see ``expected_frames``);
    the plan stretches them all alike. It is kept by a bias, not by force, so that sounds still
    differ in length as the model wants; only the very end is exact.
    """

    def __init__(self, wanted: int, expected: Floats) -> None:
        if wanted < 1 or not len(expected):
            raise UsageError("a sentence cannot take less than one frame; ask for a longer one")
        self.wanted = wanted
        ends = np.cumsum(np.maximum(expected, 1e-3))
        self._ends: list[float] = (ends * (wanted / ends[-1])).tolist()

    def bias(self, index: int, frames: int) -> float:
        """What to add to the log-odds of leaving symbol ``index`` after ``frames`` frames."""
        strictness = GAIN * max(1.0, LANDING / max(1, self.wanted - frames))
        return strictness * (frames - self._ends[index])


class MoveSampler:
    """Draws the pointer's move after each frame, within its grammar.

    One number is drawn on entering a symbol, and the pointer moves on when the chance of still
    being there has fallen below it. That is the same as a draw each frame, but makes temperature 0
    meaningful (the median stay; the likeliest move each frame would nearly always be to stay) and
    lower temperatures steadier. With a ``pace``, give the pointer the pace's length as its limit.
    """

    def __init__(
        self,
        pointer: Pointer,
        sampling: Sampling,
        rng: np.random.Generator,
        pace: Pace | None = None,
    ) -> None:
        self._pointer = pointer
        self._spread = min(1.0, sampling.temperature)
        self._rng = rng
        self._pace = pace
        self._threshold = self._remaining = 1.0

    def next(self, logits: Floats | Sequence[float]) -> int:
        """Move the pointer after a frame whose move logits [3] these are, and return the move."""
        pointer = self._pointer
        if pointer.stay == 0:
            self._threshold = self._quantile()
            self._remaining = 1.0
        options = pointer.allowed()
        bias = 0.0
        if self._pace is not None:
            bias = self._pace.bias(pointer.index, pointer.frames + 1)
            if pointer.frames + 1 < self._pace.wanted:
                # Too early to end: wait on what is left, unless the grammar forces the end.
                ending = pointer.ending()
                early = [may and not ends for may, ends in zip(options, ending, strict=True)]
                options = (early[STAY], early[ADVANCE], early[SKIP]) if any(early) else options
        may_stay, may_advance, may_skip = options
        stay = float(logits[STAY]) if may_stay else -math.inf
        advance = float(logits[ADVANCE]) + bias if may_advance else -math.inf
        skip = float(logits[SKIP]) + bias if may_skip else -math.inf
        highest = max(stay, advance, skip)
        stays = math.exp(stay - highest)
        advances, skips = math.exp(advance - highest), math.exp(skip - highest)
        leaves = advances + skips
        self._remaining *= stays / (stays + leaves)
        move = STAY
        if leaves > 0.0 and (self._remaining <= self._threshold or not may_stay):
            move = SKIP if may_skip and self._quantile() * leaves >= advances else ADVANCE
        pointer.move(move)
        return move

    def _quantile(self) -> float:
        """Uniform in 0..1 at temperature 1 and above, drawn together to 0.5 below."""
        return 0.5 + self._spread * (self._rng.random() - 0.5)


def expected_frames(
    symbols: Ints,
    borders: NDArray[np.bool_],
    voice_symbols: Ints,
    voice_borders: NDArray[np.bool_],
    voice_durations: Ints,
) -> NDArray[np.float64]:
    """Frames that each of ``symbols`` [S] takes when this voice says it, [S].

    Means over the voice's own prompt (ids, border flags and durations in frames, all [R], 0 for a
    border passed over), leaning on its mean over all phonemes (or borders) where a symbol is rare.
    The prompt's first and last symbols are left out: their silences are the recording's, not the
    speaker's. Its sum is the natural length of a sentence, from which ``speed`` is reckoned.
    """
    inner = slice(1, max(1, len(voice_symbols) - 1))
    ids, flags = voice_symbols[inner], voice_borders[inner]
    lengths = np.minimum(voice_durations[inner], LONGEST_EXPECTED).astype(np.float64)
    expected = np.empty(len(symbols), np.float64)
    for border, typical in ((False, TYPICAL_PHONEME), (True, TYPICAL_BORDER)):
        own = lengths[flags == border]
        usual = (own.sum() + TRUST * typical) / (len(own) + TRUST)
        for place in np.flatnonzero(borders == border):
            heard = lengths[ids == symbols[place]]
            expected[place] = (heard.sum() + TRUST * usual) / (len(heard) + TRUST)
    return expected
