"""The pointer: which symbol each frame is at, and why no word is lost, repeated or endless.

Frames walk through a sentence's symbols in order. After each frame the pointer stays, advances, or
skips the next symbol; only a border (a pause or punctuation mark) may be skipped. So every phoneme
gets at least one frame, a longest stay bounds each symbol, and passing the last one is the end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.errors import TextError, UsageError

STAY, ADVANCE, SKIP = 0, 1, 2
MOVES = 3
STAYS = 32  # the AR model reads "frames already spent on this symbol" as 0..31, 31 meaning more


class Pointer:
    """Walks through one sentence: ``allowed()`` before each move, ``move(m)`` after each frame.

    borders [S] bool: the symbols that may be skipped. limit: frames the whole sentence may take;
    moves that would leave too few for the phonemes still to come are then not allowed. TextError
    for no symbols, UsageError when the limit is below one frame a phoneme.
    """

    def __init__(
        self,
        borders: Sequence[bool] | NDArray[np.bool_],
        max_stay_phoneme: int = 50,
        max_stay_border: int = 75,
        limit: int | None = None,
    ) -> None:
        optional = [bool(border) for border in borders]
        if not optional:
            raise TextError("there is nothing to say: the sentence has no phonemes")
        if min(max_stay_phoneme, max_stay_border) < 1:
            raise UsageError("the longest stay on a symbol must be at least one frame")
        self._optional = optional
        self._longest = [max_stay_border if border else max_stay_phoneme for border in optional]
        self._needed = _frames_needed(optional)
        if limit is not None and limit < self._needed[0]:
            raise UsageError(
                f"{limit} frames are too few for this sentence: its phonemes need at least "
                f"{self._needed[0]}; ask for a longer duration or a lower speed"
            )
        self._limit = limit
        self.index = 0  # the symbol that the coming frame is at
        self.stay = 0  # frames already spent on it
        self.frames = 0  # frames made so far
        self.done = False

    def allowed(self) -> tuple[bool, bool, bool]:
        """Which of stay, advance, skip may follow the coming frame; one at least may."""
        after = self.index + 1
        may_stay = self.stay + 1 < self._longest[self.index]
        may_skip = after < len(self._optional) and self._optional[after]
        if self._limit is None:
            return may_stay, True, may_skip
        left = self._limit - self.frames - 1
        return (
            may_stay and self._needed[self.index] <= left,
            self._needed[after] <= left,
            may_skip and self._needed[after + 1] <= left,
        )

    def ending(self) -> tuple[bool, bool, bool]:
        """Which of stay, advance, skip would pass the last symbol."""
        left = len(self._optional) - self.index
        return False, left <= ADVANCE, left <= SKIP

    def move(self, move: int) -> None:
        """Count the frame just made and move; ValueError for a move that is not allowed."""
        if self.done or not 0 <= move < MOVES or not self.allowed()[move]:
            raise ValueError(f"move {move} is not allowed at symbol {self.index}")
        self.frames += 1
        self.stay = self.stay + 1 if move == STAY else 0
        self.index += move
        self.done = self.index >= len(self._optional)


def _frames_needed(optional: list[bool]) -> list[int]:
    """For each symbol, and for the end, the fewest frames from being there to the end."""
    count = len(optional)
    needed = [0] * (count + 1)
    for index in reversed(range(count)):
        then = needed[index + 1]
        if index + 1 < count and optional[index + 1]:
            then = min(then, needed[index + 2])
        needed[index] = 1 + then
    return needed


def durations(frame_symbol: Ints, symbols: int) -> Ints:
    """Frames on each symbol, [symbols] int64, from frame_symbol [T] (index of each frame's)."""
    return np.bincount(frame_symbol, minlength=symbols).astype(np.int64)


def stays(frame_symbol: Ints) -> Ints:
    """Frames already spent on the symbol when each frame begins: [T] -> [T] int64, uncapped."""
    frames = np.arange(len(frame_symbol), dtype=np.int64)
    entered = np.ones(len(frame_symbol), dtype=bool)
    entered[1:] = frame_symbol[1:] != frame_symbol[:-1]
    return frames - np.maximum.accumulate(np.where(entered, frames, 0))


def moves(frame_symbol: Ints, borders: Sequence[bool] | NDArray[np.bool_]) -> Ints:
    """The move after each frame, [T] int64: what the AR model learns from an alignment.

    ValueError when the alignment breaks the grammar (a start past symbol 0, a step back, a phoneme
    without a frame): such an item is not fit for training.
    """
    optional = np.asarray(borders, dtype=bool)
    path = np.append(frame_symbol, len(optional))
    steps = np.diff(path)
    if not len(frame_symbol) or frame_symbol[0] != 0:
        raise ValueError("an alignment starts at symbol 0 with its first frame")
    if steps.min() < STAY or steps.max() > SKIP or steps[-1] == STAY:
        raise ValueError("an alignment goes forward by at most two symbols a frame, to the end")
    skipped = frame_symbol[steps == SKIP] + 1
    if not optional[skipped].all():
        raise ValueError("an alignment gives every phoneme a frame; only borders may be skipped")
    return steps.astype(np.int64)
