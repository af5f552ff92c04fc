"""Length of each sentence and of the pauses between them, by the speed or duration asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from valle.options import SpeakOptions
from valle.synthesis.utterance import Utterance

PAUSE_SECONDS = 0.2  # between sentences, in addition to the pause that each may end with


def schedule(
    utterances: Iterable[Utterance], options: SpeakOptions, frame_rate: float
) -> Iterator[Utterance]:
    """Set the pause before each utterance and the frames that it has to take.

    Speed and duration stretch sentences and pauses alike.

    Args:
        utterances: The sentences of a text. They are consumed one by one, except for a target
            duration, which needs all of them first.
        options: Their `speed` and `duration` are used.
        frame_rate: Frames per second.

    Yields:
        The same utterances with `pause_frames` and `target_frames`.
    """
    pause = PAUSE_SECONDS * frame_rate
    if options.duration is None:
        for index, utterance in enumerate(utterances):
            target = None
            if options.speed != 1.0:
                target = round(float(utterance.expected_frames.sum()) / options.speed)
            pause_frames = round(pause / options.speed) if index else 0
            yield replace(utterance, pause_frames=pause_frames, target_frames=target)
        return
    utterances = list(utterances)
    lengths = np.array(
        [
            (pause if index else 0.0, utterance.expected_frames.sum())
            for index, utterance in enumerate(utterances)
        ]
    )
    # Ends are rounded rather than lengths, so that rounding errors do not accumulate.
    ends = np.cumsum(lengths) * (options.duration * frame_rate / lengths.sum())
    fitted = np.diff(np.rint(ends).astype(int), prepend=0).reshape(-1, 2)
    for utterance, (pause_frames, target) in zip(utterances, fitted, strict=True):
        yield replace(utterance, pause_frames=int(pause_frames), target_frames=int(target))
