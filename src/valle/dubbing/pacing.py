"""Speaking cues so that they fit, each once if possible.

How long a cue is at its own pace is known from the AR model alone. What is at most 8 % too slow is
spoken at that pace, and its samples are compressed in time; the rest is spoken for a length. The
recognizer gets 0.20 of the phonemes wrong in speech at its own pace and in the same speech
compressed by 4 %, 0.22 at 8 %; in speech for a given length 0.25 at 1.1 times the pace, and fewer
if what is less clear than the film's median is spoken again. Compression also makes the pace exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from valle.dubbing.fitting import MAX_COMPRESSION, Slot, plan_rates
from valle.dubbing.speaking import CueLength, CueRequest, CueSpeaker, CueSpeech

_USUAL_COMPRESSION = 1.055  # of what is spoken for a length, which is met within some percent
_LEAST_COMPRESSION = 0.97  # what came out a little too short is made longer
_LONGER = 1.03  # times as long as asked, from which on the phonemes left no choice
_MORE_ERRORS = 0.06  # phoneme error rate over the film's median at which a cue is spoken again

Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""Called with what is done now, how much of it is done, and how much there is."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total


@dataclass(frozen=True, eq=False)
class PacedCue:
    """A cue at the pace that fits."""

    natural_seconds: float
    """How long its sound is at its own pace."""
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
        Error: What `CueSpeaker` raises.
    """
    lengths = _run(speaker.measure_all, requests, "measuring cues", progress)
    natural = np.array([length.seconds for length in lengths])
    wanted = natural / plan_rates(natural, slots, max_rate)
    tried = [
        replace(request, seconds=_find_length(length, goal))
        for request, length, goal in zip(requests, lengths, wanted.tolist(), strict=True)
    ]
    chosen = _run(speaker.speak_all, tried, "speaking cues", progress)
    for i, (request, speech) in enumerate(zip(tried, chosen, strict=True)):
        # Now it is known how much of its words is heard.
        heard = max(0.5 * natural[i], lengths[i].word_seconds - speech.fading)
        natural[i] = speech.seconds if request.seconds is None else heard
    wanted = natural / plan_rates(natural, slots, max_rate)
    usual_errors = float(np.median([speech.phoneme_error_rate for speech in chosen]))
    again: dict[int, CueRequest] = {}
    for i, (request, speech) in enumerate(zip(tried, chosen, strict=True)):
        better = _try_again(request, speech, float(wanted[i]), usual_errors)
        if better is not None:
            again[i] = better
    spoken = _run(speaker.speak_all, list(again.values()), "improving cues", progress)
    for i, speech in zip(again, spoken, strict=True):
        chosen[i] = min(chosen[i], speech, key=lambda each: _rank(each, wanted[i]))
    return [
        PacedCue(own, speech, _limit_factor(speech.seconds / goal) if goal < own else 1.0)
        for own, speech, goal in zip(natural.tolist(), chosen, wanted.tolist(), strict=True)
    ]


def _find_length(spoken: CueLength | CueSpeech, wanted: float) -> float | None:
    """Return the seconds to ask for so that the sound lasts about `wanted`; None for its own."""
    if _is_close(spoken.seconds, wanted):
        return None
    return spoken.total_seconds * _USUAL_COMPRESSION * wanted / spoken.seconds


def _try_again(
    request: CueRequest, speech: CueSpeech, wanted: float, usual_errors: float
) -> CueRequest | None:
    """Return what to speak in place of `speech`, or None where it is good enough."""
    asked = request.seconds
    if not _is_close(speech.seconds, wanted):
        # What took longer than it was asked to cannot be any faster.
        if asked is not None and speech.total_seconds > asked * _LONGER:
            return None
        return replace(request, seconds=_find_length(speech, wanted))
    if asked is not None and speech.phoneme_error_rate > usual_errors + _MORE_ERRORS:
        return replace(request, attempt=request.attempt + 1)
    return None


def _run(
    work: Callable[[Sequence[CueRequest]], Iterator[tuple[int, Result]]],
    requests: Sequence[CueRequest],
    stage: str,
    progress: Progress,
) -> list[Result]:
    """Return the results of `work` in the order of the requests, and report how many there are."""
    done: dict[int, Result] = {}
    if requests:
        progress(stage, 0, len(requests))
        for index, result in work(requests):
            done[index] = result
            progress(stage, len(done), len(requests))
    return [done[index] for index in range(len(requests))]


def _is_close(seconds: float, wanted: float) -> bool:
    """Return whether samples of some seconds can be played so that they last `wanted`."""
    factor = seconds / wanted
    return _limit_factor(factor) == factor


def _limit_factor(factor: float) -> float:
    return float(np.clip(factor, _LEAST_COMPRESSION, MAX_COMPRESSION))


def _rank(speech: CueSpeech, wanted: float) -> tuple[int, bool, float]:
    """Return a sort key, lower is better: wrong words first, then the length, then phonemes."""
    wrong = len(speech.missing) + len(speech.repeated)
    return wrong, not _is_close(speech.seconds, wanted), speech.phoneme_error_rate
