"""The monotonic pointer: which symbol each frame is at, so that no word is lost or repeated.

Frames walk through the symbols of a sentence in order (after VALL-E R, Han et al. 2024). After each
frame the pointer stays, advances to the next symbol, or skips it; only a border (a pause or
punctuation mark) may be skipped. So every phoneme gets at least one frame, a maximum bounds the
frames on each symbol, and the sentence ends when the pointer passes its last symbol.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from valle.arrays import Bools, Ints
from valle.errors import TextError, UsageError

STAY, ADVANCE, SKIP = 0, 1, 2
TRANSITIONS = 3
FRAMES_ON_SYMBOL_BINS = 32  # the AR model reads "frames already on this symbol" as 0 to 31 or more
MAX_FRAMES_PHONEME, MAX_FRAMES_BORDER = 50, 75  # 1 s on a phoneme, 1.5 s of silence


class Pointer:
    """Walks through the symbols of one sentence: `move` after each frame.

    Attributes:
        index: The symbol that the next frame is at.
        frames_on_symbol: How many frames have been generated at that symbol.
        frames: How many frames have been generated in all.
        done: Whether the pointer has passed the last symbol.
        still_coming: The most symbols that may still be added; it must not pass those it has.
    """

    def __init__(
        self,
        borders: Sequence[bool] | Bools,
        max_frames_phoneme: int = MAX_FRAMES_PHONEME,
        max_frames_border: int = MAX_FRAMES_BORDER,
        limit: int | None = None,
    ) -> None:
        """Start at the first symbol.

        Args:
            borders: [symbols] True for the symbols that may be skipped.
            max_frames_phoneme: The most frames on one phoneme.
            max_frames_border: The most frames on one border.
            limit: The most frames of the whole sentence. Transitions that would leave too few for
                the remaining phonemes are then not allowed.

        Raises:
            TextError: There are no symbols.
            UsageError: The limit is below one frame per phoneme, or a maximum is below 1.
        """
        optional = [bool(border) for border in borders]
        if not optional:
            raise TextError("there is nothing to say: the sentence has no phonemes")
        if min(max_frames_phoneme, max_frames_border) < 1:
            raise UsageError("the most frames on a symbol must be 1 or more")
        self._max_frames_by_kind = (max_frames_phoneme, max_frames_border)
        self.extend(optional)
        if limit is not None and limit < self._min_frames_left[0]:
            raise UsageError(
                f"{limit} frames are too few for this sentence: its phonemes need at least "
                f"{self._min_frames_left[0]}; ask for a longer duration or a lower speed"
            )
        self._limit = limit
        self.index = 0
        self.frames_on_symbol = 0
        self.frames = 0
        self.done = False

    def extend(self, borders: Sequence[bool] | Bools, still_coming: int = 0) -> None:
        """Set the symbols, of which those that it has already are the beginning.

        Args:
            borders: [symbols] as at the start.
            still_coming: The most symbols that may be added later. Frames are kept for them.
        """
        self._optional = [bool(border) for border in borders]
        self._max_frames = [self._max_frames_by_kind[border] for border in self._optional]
        self._min_frames_left = [
            frames + still_coming for frames in _min_frames_left(self._optional)
        ]
        self.still_coming = still_coming

    def allowed_transitions(self) -> tuple[bool, bool, bool]:
        """Return whether stay, advance and skip may follow the next frame; at least one may."""
        after = self.index + 1
        may_stay = self.frames_on_symbol + 1 < self._max_frames[self.index]
        may_skip = after < len(self._optional) and self._optional[after]
        if self._limit is None:
            return may_stay, True, may_skip
        frames_left = self._limit - self.frames - 1
        needed = self._min_frames_left
        return (
            may_stay and needed[self.index] <= frames_left,
            needed[after] <= frames_left,
            may_skip and needed[after + 1] <= frames_left,
        )

    def ending_transitions(self) -> tuple[bool, bool, bool]:
        """Return whether stay, advance and skip would pass the last symbol."""
        symbols_left = len(self._optional) - self.index
        return False, symbols_left <= ADVANCE, symbols_left <= SKIP

    def move(self, transition: int) -> None:
        """Count the frame just generated, then stay, advance or skip.

        Raises:
            ValueError: The transition is not allowed here.
        """
        if (
            self.done
            or not 0 <= transition < TRANSITIONS
            or not self.allowed_transitions()[transition]
        ):
            raise ValueError(f"transition {transition} is not allowed at symbol {self.index}")
        self.frames += 1
        self.frames_on_symbol = self.frames_on_symbol + 1 if transition == STAY else 0
        self.index += transition
        self.done = self.index >= len(self._optional)


def _min_frames_left(optional: list[bool]) -> list[int]:
    """For each symbol, and for the end, the fewest frames from there to the end."""
    count = len(optional)
    min_frames = [0] * (count + 1)
    for index in reversed(range(count)):
        after = min_frames[index + 1]
        if index + 1 < count and optional[index + 1]:
            after = min(after, min_frames[index + 2])
        min_frames[index] = 1 + after
    return min_frames


def measure_durations(frame_symbol: Ints, symbols: int) -> Ints:
    """Count the frames at each symbol.

    Args:
        frame_symbol: [frames] the index of the symbol of each frame.
        symbols: How many symbols there are.

    Returns:
        [symbols] int64.
    """
    return np.bincount(frame_symbol, minlength=symbols).astype(np.int64)


def count_frames_on_symbol(frame_symbol: Ints) -> Ints:
    """Count the frames already at the same symbol when each frame begins.

    Args:
        frame_symbol: [frames] the index of the symbol of each frame.

    Returns:
        [frames] int64, 0 at the first frame of a symbol; not clipped to `FRAMES_ON_SYMBOL_BINS`.
    """
    frames = np.arange(len(frame_symbol), dtype=np.int64)
    is_first = np.ones(len(frame_symbol), dtype=bool)
    is_first[1:] = frame_symbol[1:] != frame_symbol[:-1]
    return frames - np.maximum.accumulate(np.where(is_first, frames, 0))


def extract_transitions(frame_symbol: Ints, borders: Sequence[bool] | Bools) -> Ints:
    """Return the transition after each frame: what the AR model learns from an alignment.

    Args:
        frame_symbol: [frames] the index of the symbol of each frame.
        borders: [symbols] True for the symbols that may be skipped.

    Returns:
        [frames] int64: `STAY`, `ADVANCE` or `SKIP`.

    Raises:
        ValueError: The alignment does not start at symbol 0, goes back, or leaves a phoneme
            without a frame; it is not fit for training.
    """
    optional = np.asarray(borders, dtype=bool)
    path = np.append(frame_symbol, len(optional))
    steps = np.diff(path)
    if not len(frame_symbol) or frame_symbol[0] != 0:
        raise ValueError("an alignment starts at symbol 0 with its first frame")
    if steps.min() < STAY or steps.max() > SKIP or steps[-1] == STAY:
        raise ValueError("an alignment moves forward by at most two symbols per frame, to the end")
    skipped = frame_symbol[steps == SKIP] + 1
    if not optional[skipped].all():
        raise ValueError("an alignment gives every phoneme a frame; only borders may be skipped")
    return steps.astype(np.int64)
