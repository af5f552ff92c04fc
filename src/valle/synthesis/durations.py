"""Pauses between sentences, and their lengths at another speed or for a duration.

A pause is all the silence between the last word of a sentence and the first word of the next one.
A voice has silence of its own there, at the end and the beginning of sentences; what that lacks is
added, and what it has too much is cut. At another speed or for a duration, everything is stretched
alike from the lengths that the sentences have by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Codes, Ints
from valle.errors import UsageError
from valle.options import SpeakOptions
from valle.synthesis.utterance import BorderLimits, Utterance

LEAD_FRAMES = 2  # of silence, at most, that a sentence after another keeps before its first word
CLAUSE_PAUSE = 0.25  # seconds, at most, between the parts of a sentence too long to speak at once

FrameCounts = NDArray[np.float64]


def schedule(
    utterances: Iterable[Utterance],
    options: SpeakOptions,
    frame_rate: float,
    measure: Callable[[Utterance], Ints],
) -> Iterator[Utterance]:
    """Set the pause before each utterance, the silence that it keeps, and its length.

    Args:
        utterances: The sentences of a text. They are consumed one by one, except for a target
            duration, which needs all of them first.
        options: Their `pause`, `speed` and `duration` are used.
        frame_rate: Frames per second.
        measure: Returns the frames [symbols] that an utterance takes by itself. It is called only
            for another speed or a duration.

    Yields:
        The same utterances with `pause_frames` and `borders`, or with `added_frames` and
        `target_frames`.

    Raises:
        UsageError: The text does not fit into the duration.
    """
    paused = _set_pauses(utterances, options, frame_rate)
    if options.duration is not None:
        natural = list(_measure_lengths(paused, measure))
        total = sum(
            added + measured.sum() / utterance.delivery.rate
            for added, measured, utterance in natural
        )
        frames = options.duration * frame_rate
        planned = list(_stretch(natural, frames / float(total)))
        shortest = sum((u.added_frames or 0) + (u.target_frames or 0) for u in planned)
        if shortest > round(frames):
            raise UsageError(
                f"--duration {options.duration:g} is too short for this text: its phonemes need "
                f"{shortest / frame_rate:.1f} s or more"
            )
        yield from planned
    elif options.speed != 1.0:
        yield from _stretch(_measure_lengths(paused, measure), 1 / options.speed)
    else:
        for utterance in paused:
            yield utterance if utterance.delivery.rate == 1.0 else _set_rate(utterance, measure)


@dataclass(frozen=True)
class NaturalLength:
    """How long a text is if no length is asked for, as its sentences are first generated."""

    seconds: float
    """All of it."""
    lead: float
    """Seconds of silence before its first word."""
    trail: float
    """Seconds of silence after its last word."""
    sentences: int


def measure_text(
    utterances: Iterable[Utterance],
    options: SpeakOptions,
    frame_rate: float,
    measure: Callable[[Utterance], Ints],
) -> NaturalLength:
    """Measure a text without making its sound; see `schedule` for the arguments."""
    paused = _set_pauses(utterances, options, frame_rate)
    parts = [(added, frames) for added, frames, _ in _measure_lengths(paused, measure)]
    if not parts:
        return NaturalLength(0.0, 0.0, 0.0, 0)
    total = sum(added + float(frames.sum()) for added, frames in parts)
    first, last = parts[0][1][0], parts[-1][1][-1]
    return NaturalLength(
        total / frame_rate, float(first) / frame_rate, float(last) / frame_rate, len(parts)
    )


def _set_rate(utterance: Utterance, measure: Callable[[Utterance], Ints]) -> Utterance:
    """Set the length of an utterance at its own rate; the pause before it stays as it is."""
    ((_, measured, unlimited),) = _measure_lengths([utterance], measure)
    (planned,) = _stretch([(0, measured, unlimited)], 1.0)
    return replace(planned, added_frames=None)


def _set_pauses(
    utterances: Iterable[Utterance], options: SpeakOptions, frame_rate: float
) -> Iterator[Utterance]:
    """Set `pause_frames` and `borders`: no pause is shorter than the silence that is kept."""
    sentence, paragraph = (options.pause[kind] * frame_rate for kind in ("sentence", "paragraph"))
    clause = min(sentence, CLAUSE_PAUSE * frame_rate)
    previous: Utterance | None = None
    for index, utterance in enumerate(utterances):
        # Only now: the sentence before may not have been complete when it began.
        after_clause = previous is not None and _ends_clause(previous)
        previous = utterance
        pause = sentence if index else 0.0
        if utterance.pause_before is not None:
            pause = utterance.pause_before * frame_rate
        elif index and utterance.written is not None and utterance.written.begins_paragraph:
            pause = paragraph
        elif index and after_clause:
            pause = clause
        ends_clause = utterance.opened is None and _ends_clause(utterance)
        shortest = clause if ends_clause else min(sentence, paragraph)
        if utterance.pause_after is not None:
            shortest = min(shortest, utterance.pause_after * frame_rate)
        yield replace(
            utterance,
            pause_frames=round(pause),
            borders=BorderLimits(
                lead=min(LEAD_FRAMES, round(pause)) if index else None,
                trail=max(0, round(shortest) - LEAD_FRAMES),
            ),
        )


def _ends_clause(utterance: Utterance) -> bool:
    """Return whether an utterance ends within a sentence."""
    return utterance.sentence.phonemes[-1].symbol == ","


def _measure_lengths(
    utterances: Iterable[Utterance], measure: Callable[[Utterance], Ints]
) -> Iterator[tuple[int, FrameCounts, Utterance]]:
    """Yield the frames added before each utterance, [symbols] those that it takes, and itself."""
    trail = 0
    for utterance in utterances:
        frames = measure(utterance).astype(np.float64)
        limits = utterance.borders
        assert limits is not None
        if limits.lead is not None:
            frames[0] = min(frames[0], limits.lead)
        frames[-1] = min(frames[-1], limits.trail)
        added = max(0, utterance.pause_frames - (limits.lead or 0) - trail)
        trail = int(frames[-1])
        yield added, frames, replace(utterance, borders=None)


def _stretch(
    natural: Iterable[tuple[int, FrameCounts, Utterance]], factor: float
) -> Iterator[Utterance]:
    """Set `added_frames` and `target_frames`.

    Ends are rounded rather than lengths, so that no error accumulates. A sentence has at least one
    frame per phoneme; what that takes too long is saved in the pauses and sentences after it.
    """
    end, frames = 0.0, 0
    for added, measured, utterance in natural:
        end += added * factor
        added_frames = max(0, round(end) - frames)
        frames += added_frames
        natural_frames = float(measured.sum()) / utterance.delivery.rate
        end += natural_frames * factor
        phonemes = int((~utterance.symbols.borders).sum())
        target = max(1, phonemes, round(end) - frames)
        frames += target
        yield replace(
            utterance,
            expected_frames=_plan_symbols(
                measured, utterance.expected_frames, factor / utterance.delivery.rate
            ),
            added_frames=added_frames,
            target_frames=target,
            speed=natural_frames / target,
        )


def _plan_symbols(measured: FrameCounts, expected: FrameCounts, factor: float) -> FrameCounts:
    """Return the share of each symbol [symbols] in a sentence that is stretched by `factor`.

    Shorter sentences follow what is expected of the voice, longer ones what was measured: the
    recognizer gets 0.38 of the phonemes wrong at 1.25 times the speed (0.43 as measured; 0.38 at
    the usual speed), and 0.45 at 0.8 times (0.47 as expected). The borders are always as measured,
    so that pauses keep their share.
    """
    inner = slice(1, -1)
    if factor >= 1.0 or not expected[inner].sum():
        return measured
    plan = measured.copy()
    plan[inner] = expected[inner] * (measured[inner].sum() / expected[inner].sum())
    return plan


def trim_borders(
    blocks: Iterable[tuple[Codes, Ints]], utterance: Utterance
) -> Iterator[tuple[Codes, Ints]]:
    """Yield blocks without the silence at the ends of the sentence that is over its limits.

    Args:
        blocks: Codes [frames, codebooks] of the sentence, and [frames] the symbol of each frame.
        utterance: Its `borders` are the limits.
    """
    limits = utterance.borders
    if limits is None:
        yield from blocks
        return
    trail = 0
    leading = limits.lead is not None
    pending: tuple[Codes, Ints] | None = None
    for codes, symbols in blocks:
        if leading:
            if pending is not None:
                codes = np.concatenate((pending[0], codes))
                symbols = np.concatenate((pending[1], symbols))
            lead = len(symbols) if not symbols.any() else int((symbols != 0).argmax())
            cut = max(0, lead - (limits.lead or 0))
            codes, symbols = codes[cut:], symbols[cut:]
            if not symbols.any():  # the last of these frames are those to keep
                pending = codes, symbols
                continue
            leading = False
        at_end = symbols == len(utterance.sentence.phonemes) - 1  # more may have come meanwhile
        keep = ~at_end | (trail + np.cumsum(at_end) <= limits.trail)
        trail += int(at_end.sum())
        if keep.any():
            yield codes[keep], symbols[keep]
