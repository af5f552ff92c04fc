"""Viterbi alignment of long recordings with scripts that are not quite what is said in them.

`valle.runtime.alignment.viterbi` gives every phoneme a frame. A film has music, noise and speech
that is not in its script, and a script has words that nobody says. So here a border also takes
frames of any other sound, and a path may leave out a word, or all up to a later sentence, at a
price.

The search is exact within a beam. It keeps the back pointers of a block of frames only until all
paths that are left agree on it, so memory does not grow with the recording.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Bools, Floats, Ints

BLOCK_FRAMES = 1500  # between two decisions on which symbols are still possible: 30 s
BEAM = 300.0  # nats below the best path, from where on a path is given up
AHEAD = 3000  # symbols after the best path that stay possible: three minutes of speech
WORD_PENALTY = 25.0  # nats for a word that is left out
JUMP_PENALTY = 75.0  # nats for all words up to a later sentence
LONG_FRAMES, LONG_PENALTY = 30, 4.0  # nats for each frame of a phoneme from the 31st on
_IMPOSSIBLE = np.float32(-1e30)
_STAY, _ADVANCE, _SKIP, _LEAVE_OUT, _JUMP = range(5)


@dataclass(frozen=True)
class ScriptGraph:
    """The symbols of a script, and the ways through them.

    Attributes:
        columns: [symbols] the column of the emissions that each symbol reads.
        borders: [symbols] True for borders; they may be skipped. The first and the last symbol are
            borders, and no two follow each other.
        sentences: [sentences] the border before each sentence, as an index; a path may jump there.
    """

    columns: Ints
    borders: Bools
    sentences: Ints


@dataclass(frozen=True)
class _Block:
    """The back pointers of a block of frames, for the symbols from `first` on."""

    first: int
    moves: NDArray[np.uint8]  # [frames, symbols]
    jumps: Ints  # [frames, sentences] the border that a jump to each sentence comes from
    targets: Ints  # [sentences] the border before each sentence in the window

    def trace(self, symbols: Ints, leaps: Ints) -> Iterator[Ints]:
        """Yield the symbol of each frame from the last to the first, for several paths at once.

        Args:
            symbols: [paths] the symbol of each path at the last frame.
            leaps: [all symbols] how far back the border before the previous word is.
        """
        for moves, jumps in zip(self.moves[::-1], self.jumps[::-1], strict=True):
            yield symbols
            move = moves[symbols - self.first]
            back = np.where(move == _LEAVE_OUT, leaps[symbols], np.minimum(move, _SKIP))
            before = symbols - back
            jumped = np.flatnonzero(move == _JUMP)
            if len(jumped):
                rows = np.searchsorted(self.targets, symbols[jumped])
                before[jumped] = jumps[rows]
            symbols = before
        yield symbols


class _Window:
    """The symbols from `low` to `high` that paths may reach in a block; places count from `low`."""

    def __init__(self, graph: ScriptGraph, low: int, high: int) -> None:
        self.low, self.high = low, high
        borders = graph.borders[low:high]
        self._is_phoneme = ~borders
        self._skippable = np.full(high - low, _IMPOSSIBLE, np.float32)
        self._skippable[2:][borders[1:-1]] = 0.0
        self._border_at = np.flatnonzero(borders)
        begin, end = np.searchsorted(graph.sentences, (low, high))
        self.targets: Ints = graph.sentences[begin:end] - low
        self._rank_of_target = np.searchsorted(self._border_at, self.targets)

    def choose_moves(
        self, padded: Floats, ages: NDArray[np.int32], jumps: Ints
    ) -> tuple[Floats, NDArray[np.uint8]]:
        """Return the best score with which each symbol is reached, and the move that reaches it.

        Args:
            padded: [2 + symbols] scores of the frame before, after two impossible ones; those of
                long phonemes are lowered in place.
            ages: [symbols] frames that the best path to each has spent there.
            jumps: [sentences] gets where a jump to each comes from.
        """
        stay, advance, skip = padded[2:], padded[1:-1], padded[:-2]
        stay[(ages >= LONG_FRAMES) & self._is_phoneme] -= np.float32(LONG_PENALTY)
        move = (advance > stay).astype(np.uint8)  # _STAY or _ADVANCE
        best = np.maximum(stay, advance)
        skipped = skip + self._skippable
        move[skipped > best] = _SKIP
        np.maximum(best, skipped, out=best)
        self._leave_words_out(stay, best, move)
        self._jump(stay, best, move, jumps)
        return best, move

    def _leave_words_out(self, stay: Floats, best: Floats, move: NDArray[np.uint8]) -> None:
        arrived = self._border_at[1:]
        score = stay[self._border_at[:-1]] - np.float32(WORD_PENALTY)
        better = score > best[arrived]
        best[arrived[better]], move[arrived[better]] = score[better], _LEAVE_OUT

    def _jump(self, stay: Floats, best: Floats, move: NDArray[np.uint8], jumps: Ints) -> None:
        at_borders = stay[self._border_at]
        running = np.maximum.accumulate(at_borders)
        score = running[self._rank_of_target] - np.float32(JUMP_PENALTY)
        for index in np.flatnonzero(score > best[self.targets]):
            target = self.targets[index]
            rank = int(at_borders[: self._rank_of_target[index] + 1].argmax())
            jumps[index] = self.low + self._border_at[rank]
            best[target], move[target] = score[index], _JUMP


class RobustViterbi:
    """Aligns the frames of a recording, block by block, with a script."""

    def __init__(self, graph: ScriptGraph) -> None:
        self._graph = graph
        positions = np.flatnonzero(graph.borders)
        self._leaps = np.zeros(len(graph.columns), np.int64)
        self._leaps[positions[1:]] = np.diff(positions)
        self._scores = np.full(len(graph.columns), _IMPOSSIBLE, np.float32)
        self._blocks: list[_Block] = []
        self._path: list[Ints] = []
        # Frames that the best path to each symbol has spent there. Other paths to it are lost, so
        # this bounds the length of phonemes only nearly as well as states for each frame would.
        self._ages = np.zeros(len(graph.columns), np.int32)
        self._started = False

    def feed(self, log_probs: Floats) -> None:
        """Add frames.

        Args:
            log_probs: [frames, columns] natural logarithms.
        """
        for start in range(0, len(log_probs), BLOCK_FRAMES):
            self._feed_block(log_probs[start : start + BLOCK_FRAMES])

    def finish(self) -> Ints:
        """Return the symbol of each frame, [all frames]; the path ends in any border or word.

        What follows the last symbol of the path is not in the recording.
        """
        if not self._started:
            return np.zeros(0, np.int64)
        # What is left out at the end costs as much as in the middle.
        last = len(self._scores) - 1
        ends = self._scores.copy()
        ends[:last] = np.where(self._graph.borders[:last], ends[:last] - JUMP_PENALTY, _IMPOSSIBLE)
        best = np.array([int(ends.argmax())])
        self._path += self._trace_back(best, len(self._blocks))[::-1]
        self._blocks = []
        return np.concatenate(self._path)

    def _feed_block(self, log_probs: Floats) -> None:
        window = _Window(self._graph, *self._choose_window())
        part = slice(window.low, window.high)
        emissions = log_probs[:, self._graph.columns[part]]
        frames, width = emissions.shape
        block = _Block(
            window.low,
            np.zeros((frames, width), np.uint8),
            np.zeros((frames, len(window.targets)), np.int64),
            window.low + window.targets,
        )
        # Padded with two impossible symbols, so that "one before" and "two before" are views.
        padded = np.full(width + 2, _IMPOSSIBLE, np.float32)
        scores, ages = padded[2:], self._ages[part]
        first = 0
        if self._started:
            scores[:] = self._scores[part]
        else:
            scores[:2] = emissions[0, :2]
            # The recording may begin with any sentence.
            later = window.targets[1:]
            scores[later] = emissions[0, later] - JUMP_PENALTY
            self._started, first = True, 1
        for t in range(first, frames):
            best, move = window.choose_moves(padded, ages, block.jumps[t])
            np.add(best, emissions[t], out=scores)
            ages += 1
            ages[move != _STAY] = 0
            block.moves[t] = move
        self._scores[:] = _IMPOSSIBLE
        self._scores[part] = scores
        self._blocks.append(block)
        self._commit()

    def _choose_window(self) -> tuple[int, int]:
        """Return the symbols that the next block may reach: the first, and the one after the last.

        Both ends are borders.
        """
        borders = np.flatnonzero(self._graph.borders)
        low, ahead = 0, AHEAD
        if self._started:
            best = float(self._scores.max())
            low = int(np.flatnonzero(self._scores > best - BEAM)[0])
            ahead += int(self._scores.argmax())
        low = int(borders[max(0, int(np.searchsorted(borders, low, "right")) - 1)])
        high = int(borders[min(len(borders) - 1, int(np.searchsorted(borders, ahead)))])
        return low, high + 1

    def _commit(self) -> None:
        """Write down the part of the path that all paths within the beam agree on."""
        alive = np.flatnonzero(self._scores > self._scores.max() - BEAM)
        symbols = alive
        for count in range(len(self._blocks), 0, -1):
            block = self._blocks[count - 1]
            for before in block.trace(symbols, self._leaps):
                symbols = before
            symbols = np.unique(symbols)
            if len(symbols) == 1 and count > 1:
                self._path += self._trace_back(symbols, count - 1)[::-1]
                self._blocks = self._blocks[count - 1 :]
                return

    def _trace_back(self, symbols: Ints, count: int) -> list[Ints]:
        """Return the path through the first blocks, the last block first."""
        parts = []
        for block in self._blocks[:count][::-1]:
            path = [int(symbol[0]) for symbol in block.trace(symbols, self._leaps)]
            symbols = np.array(path[-1:])
            parts.append(np.array(path[-2::-1], np.int64))
        return parts
