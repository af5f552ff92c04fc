"""Speaking cues so that they fit, each once if possible.

How long a cue is at its own pace is known from the AR model alone. What is at most 8 % too slow is
spoken at that pace, and its samples are compressed in time; the rest is spoken for a length. The
recognizer gets 0.20 of the phonemes wrong in speech at its own pace and in the same speech
compressed by 4 %, 0.22 at 8 %; in speech for a given length 0.25 at 1.1 times the pace, and fewer
if what is less clear than the film's median is spoken again. Compression also makes the pace exact.

Paces are compared by the times of words. How much of them is loud enough to be heard differs from
take to take by up to 0.1 s, which is a tenth of a short cue.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from valle.dubbing.fitting import MAX_COMPRESSION, Floats, Slot, plan_rates
from valle.dubbing.speaking import CueLength, CueRequest, CueSpeaker, CueSpeech

_USUAL_COMPRESSION = 1.055  # of what is spoken for a length, which is met within some percent
_LEAST_COMPRESSION = 0.97  # what came out a little too short is made longer
_LONGER = 1.03  # times as long as asked, from which on the phonemes left no choice
_IMPROVEMENTS = 2  # times that what is too long or less clear than most is spoken again
_MORE_ERRORS = 0.03  # phoneme error rate over the film's median at which a cue is spoken again

Result = TypeVar("Result")
Progress = Callable[[str, int, int], None]
"""Called with what is done now, how much of it is done, and how much there is."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Report nothing."""
    del stage, done, total


@dataclass(frozen=True, eq=False)
class PacedCue:
    """A cue at the pace that fits."""

    natural_word_seconds: float
    """From its first word to the end of its last one, at its own pace."""
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
    rates = plan_rates(np.array([length.seconds for length in lengths]), slots, max_rate)
    natural = np.array([length.word_seconds for length in lengths])
    tried = [
        replace(request, seconds=_find_length(length, goal))
        for request, length, goal in zip(requests, lengths, (natural / rates).tolist(), strict=True)
    ]
    chosen = _run(speaker.speak_all, tried, "speaking cues", progress)
    usual_errors = float(np.median([speech.phoneme_error_rate for speech in chosen]))
    for _ in range(_IMPROVEMENTS):
        wanted = _plan_words(natural, chosen, slots, max_rate)
        again: dict[int, CueRequest] = {}
        for i, (request, speech) in enumerate(zip(tried, chosen, strict=True)):
            better = _try_again(request, speech, float(wanted[i]), usual_errors)
            if better is not None:
                again[i] = tried[i] = better
        spoken = _run(speaker.speak_all, list(again.values()), "improving cues", progress)
        for i, speech in zip(again, spoken, strict=True):
            chosen[i] = min(chosen[i], speech, key=lambda each: _rank(each, wanted[i]))
    wanted = _plan_words(natural, chosen, slots, max_rate)
    return [
        PacedCue(own, speech, _limit_factor(speech.word_seconds / goal) if goal < own else 1.0)
        for own, speech, goal in zip(natural.tolist(), chosen, wanted.tolist(), strict=True)
    ]


def _plan_words(
    natural: Floats, takes: Sequence[CueSpeech], slots: Sequence[Slot], max_rate: float
) -> Floats:
    """Return how long the words of each cue [cues] are to last, in seconds.

    Args:
        natural: [cues] how long they last at their own pace.
        takes: [cues] from which it is known how much of the words is heard.
        slots: [cues].
        max_rate: See `plan_rates`.
    """
    heard = np.array([take.seconds / take.word_seconds for take in takes])
    return natural / plan_rates(natural * heard, slots, max_rate)


def _find_length(spoken: CueLength | CueSpeech, wanted: float) -> float | None:
    """Return the seconds to ask for so that the words last about `wanted`; None for its own."""
    if _is_close(spoken.word_seconds, wanted):
        return None
    return spoken.total_seconds * _USUAL_COMPRESSION * wanted / spoken.word_seconds


def _try_again(
    request: CueRequest, speech: CueSpeech, wanted: float, usual_errors: float
) -> CueRequest | None:
    """Return what to speak in place of `speech`, or None where it is good enough."""
    asked = request.seconds
    if not _is_close(speech.word_seconds, wanted):
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
    """Return whether what takes some seconds can be played so that it takes `wanted`."""
    factor = seconds / wanted
    return _limit_factor(factor) == factor


def _limit_factor(factor: float) -> float:
    return float(np.clip(factor, _LEAST_COMPRESSION, MAX_COMPRESSION))


def _rank(speech: CueSpeech, wanted: float) -> tuple[int, bool, float]:
    """Return a sort key, lower is better: wrong words first, then the length, then phonemes."""
    wrong = len(speech.missing) + len(speech.repeated)
    return wrong, not _is_close(speech.word_seconds, wanted), speech.phoneme_error_rate
