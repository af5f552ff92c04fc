"""Speaking cues so that they fit: at their own pace first, then again where that is too slow.

What is at most 8 % too slow is not spoken again: its samples are compressed in time. The recognizer
gets 0.20 of the phonemes wrong in speech at its own pace and in the same speech compressed by 4 %,
0.22 at 8 %; in speech for a given length 0.25 at 1.1 times the pace, and fewer if it is the better
of two candidates; a second one is made where the first is less clear than at the own pace.
Compression also makes the pace exact.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from valle.dubbing.fitting import MAX_COMPRESSION, Floats, Slot, plan_rates
from valle.dubbing.speaking import CueRequest, CueSpeaker, CueSpeech

_USUAL_COMPRESSION = 1.055  # of what is spoken for a length, which is met within some percent
_LEAST_COMPRESSION = 0.97  # what came out a little too short is made longer
_LONGER = 1.03  # times as long as asked, from which on the phonemes left no choice
_ROUNDS = 2

Progress = Callable[[str, int, int], None]
"""Called with what is done now, how much of it is done, and how much there is."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total


@dataclass(frozen=True, eq=False)
class PacedCue:
    """A cue at its own pace, and at the pace that fits."""

    natural: CueSpeech
    speech: CueSpeech
    factor: float
    """How many times as fast the samples of `speech` are to be played."""


def speak_in_time(
    speaker: CueSpeaker,
    requests: Sequence[CueRequest],
    slots: Sequence[Slot],
    max_rate: float,
    progress: Progress,
) -> list[PacedCue]:
    """Speak cues as fast as their slots ask for.

    Args:
        speaker: Speaks them.
        requests: [cues] without a length.
        slots: [cues].
        max_rate: How many times as fast as usual a cue may be, before the gap after it is used.
        progress: Called after every cue.

    Raises:
        Error: What `CueSpeaker.speak` raises.
    """
    first_takes = [replace(request, is_first_take=True) for request in requests]
    natural = _speak(speaker, first_takes, "speaking cues", progress)
    lengths, wanted = _plan(natural, slots, max_rate)
    # What is spoken again for a length need not be right the first time.
    wrong = [
        i
        for i, speech in enumerate(natural)
        if (speech.missing or speech.repeated) and _find_factor(speech, wanted[i]) is not None
    ]
    better = _speak(speaker, [requests[i] for i in wrong], "speaking cues again", progress)
    for i, speech in zip(wrong, better, strict=True):
        natural[i] = speech
    lengths, wanted = _plan(natural, slots, max_rate)
    chosen = list(natural)
    asked = np.array([speech.total_seconds for speech in natural])
    for number in range(_ROUNDS):
        again = [
            i
            for i, speech in enumerate(chosen)
            if _find_factor(speech, wanted[i]) is None
            # What took longer than it was asked to cannot be any faster.
            and (number == 0 or speech.total_seconds <= asked[i] * _LONGER)
        ]
        for i in again:
            asked[i] *= _USUAL_COMPRESSION * wanted[i] / chosen[i].seconds
        timed = [
            replace(
                requests[i],
                seconds=float(asked[i]),
                usual_errors=natural[i].phoneme_error_rate,
            )
            for i in again
        ]
        stage = "speaking faster cues" if number == 0 else "correcting lengths"
        for i, speech in zip(again, _speak(speaker, timed, stage, progress), strict=True):
            if number == 0 or _rank(speech, wanted[i]) < _rank(chosen[i], wanted[i]):
                chosen[i] = speech
    return [
        PacedCue(own, speech, _limit_factor(speech.seconds / seconds) if seconds < length else 1.0)
        for own, speech, seconds, length in zip(natural, chosen, wanted, lengths, strict=True)
    ]


def _plan(
    natural: Sequence[CueSpeech], slots: Sequence[Slot], max_rate: float
) -> tuple[Floats, Floats]:
    """Return how long cues are, and how long they are wanted, each [cues] in seconds."""
    lengths = np.array([speech.seconds for speech in natural])
    return lengths, lengths / plan_rates(lengths, slots, max_rate)


def _speak(
    speaker: CueSpeaker, requests: Sequence[CueRequest], stage: str, progress: Progress
) -> list[CueSpeech]:
    spoken: dict[int, CueSpeech] = {}
    if requests:
        progress(stage, 0, len(requests))
    for index, speech in speaker.speak_all(requests):
        spoken[index] = speech
        progress(stage, len(spoken), len(requests))
    return [spoken[index] for index in range(len(requests))]


def _find_factor(speech: CueSpeech, wanted: float) -> float | None:
    """Return how many times as fast samples are played to last `wanted` seconds, if allowed."""
    factor = speech.seconds / wanted
    return factor if _limit_factor(factor) == factor else None


def _limit_factor(factor: float) -> float:
    return float(np.clip(factor, _LEAST_COMPRESSION, MAX_COMPRESSION))


def _rank(speech: CueSpeech, wanted: float) -> tuple[int, float]:
    """Return a sort key, lower is better: wrong words first, then the length."""
    wrong = len(speech.missing) + len(speech.repeated)
    return wrong, abs(speech.seconds / wanted / _USUAL_COMPRESSION - 1)
