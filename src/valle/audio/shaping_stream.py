"""A style for parts of a stream of speech: the rest passes through as it is."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from valle.arrays import Samples
from valle.audio.shaping import shape_speech
from valle.styles import StyleShift


@dataclass(frozen=True)
class _Part:
    """A part of the stream that is changed, in samples of its input."""

    start: int
    shift: StyleShift
    end: int | None = None
    length: int = 0
    """Samples of the result."""


class ShapingStream:
    """Changes parts of a stream, each once all of its samples have come.

    The places of the parts may be known before their samples come.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._parts: tuple[_Part, ...] = ()
        self._pending = np.zeros(0, np.float32)
        self._position = 0  # of the first pending sample in the input

    def begin(self, start: int, shift: StyleShift) -> None:
        """Begin a part at sample `start` of the input."""
        self._parts = (*self._parts, _Part(start, shift))

    def end(self, end: int, length: int) -> None:
        """End it before sample `end`; it becomes `length` samples."""
        *others, last = self._parts
        self._parts = (*others, replace(last, end=end, length=length))

    def feed(self, samples: Samples) -> Samples:
        """Add samples [N] of the input, and return those of the output that are complete."""
        self._pending = np.concatenate((self._pending, samples))
        pieces = [np.zeros(0, np.float32)]
        while self._parts:
            part = self._parts[0]
            if part.start > self._position:
                pieces.append(self._take(part.start))
            end = part.end
            if end is None or self._position < part.start or end > self._end:
                return np.concatenate(pieces)
            whole = self._take(end)[:, None]
            shaped = shape_speech(whole, self._sample_rate, part.shift, part.length)
            pieces.append(shaped[:, 0])
            self._parts = self._parts[1:]
        pieces.append(self._take(self._end))
        return np.concatenate(pieces)

    def peek_part(self, following: Samples) -> Samples:
        """Return the latest part as it is in the input, as if only `following` came after it."""
        part = self._parts[-1]
        start = part.start - self._position
        samples = np.concatenate((self._pending, following))
        return samples[start : None if part.end is None else part.end - self._position]

    def copy(self) -> ShapingStream:
        """Return an independent stream in the same state."""
        return copy(self)  # its arrays and tuples are replaced, never changed

    @property
    def _end(self) -> int:
        return self._position + len(self._pending)

    def _take(self, end: int) -> Samples:
        count = max(0, min(end, self._end) - self._position)
        taken, self._pending = self._pending[:count], self._pending[count:]
        self._position += count
        return taken
