"""Before speaking: how many frames each sentence is to take, and the pause before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Ints
from valle.options import SpeakOptions
from valle.text.phonemes import Sentence

PAUSE = 0.2  # seconds between sentences, beside the pause that each may end with


@dataclass(frozen=True)
class Symbols:
    """Symbols as the models read them, all [symbols]."""

    ids: Ints
    stress: Ints
    borders: NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """One sentence to say in a voice."""

    sentence: Sentence
    symbols: Symbols
    expected: NDArray[np.float64]  # [symbols] frames that each takes by itself in this voice


@dataclass(frozen=True)
class Slot:
    """A task in its place."""

    task: Task
    pause: int  # frames before it
    frames: int | None  # that it is to take; None leaves it to the model


def schedule(tasks: Iterable[Task], options: SpeakOptions, frame_rate: float) -> Iterator[Slot]:
    """Give every task its place, each as it comes; for a wanted duration, all must come first.

    `frame_rate` is in frames a second. Speed and duration stretch sentences and pauses alike.
    """
    pause = PAUSE * frame_rate
    if options.duration is None:
        own_speed = options.speed == 1.0
        for index, task in enumerate(tasks):
            frames = None if own_speed else round(float(task.expected.sum()) / options.speed)
            yield Slot(task, round(pause / options.speed) if index else 0, frames)
        return
    tasks = list(tasks)
    lengths = np.array([(pause if i else 0.0, task.expected.sum()) for i, task in enumerate(tasks)])
    # Ends are rounded, not lengths, so that rounding does not add up.
    ends = np.cumsum(lengths) * (options.duration * frame_rate / lengths.sum())
    fitted = np.diff(np.rint(ends).astype(int), prepend=0).reshape(-1, 2)
    for task, (before, frames) in zip(tasks, fitted, strict=True):
        yield Slot(task, int(before), int(frames))
