"""What a talk does without: filler words, and the excess of long pauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from valle.arrays import Bools, Samples
from valle.audio.levels import STEPS_PER_SECOND, compute_power, compute_sound_threshold
from valle.editing.changes import Change, normalize_word
from valle.editing.spans import MIN_SCORE, Span, Timeline
from valle.runtime.transcript import TimedTranscript

FILLERS = frozenset("um umm uhm uh uhh er err erm hm hmm mm mmm".split())
_MARGIN = 3  # frames of silence that stay on each side of a cut
_LEAST_CUT = 3  # frames that are worth a cut


def find_fillers(transcript: TimedTranscript, changes: Sequence[Change] = ()) -> list[Change]:
    """Return the changes that remove the filler words that were heard.

    Args:
        transcript: From `Model.align`; fillers are found where it has them.
        changes: Others that are made; fillers in their words are left to them.
    """
    taken = {word for change in changes for word in range(change.first, change.last)}
    return [
        Change(index, index + 1, "")
        for index, word in enumerate(transcript.words)
        if index not in taken
        and normalize_word(word.text) in FILLERS
        and word.start is not None
        and word.score >= MIN_SCORE
    ]


def shorten_pauses(
    timeline: Timeline, spans: Sequence[Span], mono: Samples, sample_rate: int, longest: float
) -> list[Span]:
    """Return spans, and in addition those that cut the excess out of long pauses between words.

    Only silence is cut: a laugh or music between words stays.

    Args:
        timeline: Of the recording.
        spans: Of other changes, in order. A pause next to a deletion is shortened with it; one
            next to new words is left as it is.
        mono: [N] the recording.
        sample_rate: In Hz.
        longest: Seconds that a pause may last.
    """
    power = compute_power(mono, sample_rate)
    quiet = power <= compute_sound_threshold(power)
    most = round(longest * STEPS_PER_SECOND)
    shortened = [_shorten_beside(span, quiet, most) for span in spans]
    cuts = []
    for word, (start, end) in timeline.find_gaps():
        if end - start <= most or any(s.start <= end and s.end >= start for s in spans):
            continue
        cut = _find_cut(quiet, start, end, end - start - most)
        if cut is not None:
            cuts.append(Span(*cut, 0, 0, [], Change(word, word, "")))
    return sorted([*shortened, *cuts], key=lambda span: span.start)


def _shorten_beside(span: Span, quiet: Bools, most: int) -> Span:
    """Return a deletion that takes the excess of the pause that it keeps with it."""
    if span.phonemes:
        return span
    if span.pause_after > most:
        extra = _count_quiet(quiet[span.end : span.end + span.pause_after - most])
        return replace(span, end=span.end + extra, pause_after=span.pause_after - extra)
    if span.pause_before > most:
        before = quiet[span.start - span.pause_before + most : span.start]
        extra = _count_quiet(before[::-1])
        return replace(span, start=span.start - extra, pause_before=span.pause_before - extra)
    return span


def _count_quiet(quiet: Bools) -> int:
    """Return how many of the first frames are quiet, all the way."""
    return int(np.argmin(np.append(quiet, False)))


def _find_cut(quiet: Bools, start: int, end: int, excess: int) -> tuple[int, int] | None:
    """Return the frames of the longest silence from `start` to `end` that are cut, or None."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet[start:end].astype(int), [0]])))
    runs = [(int(b - a), int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    if not runs:
        return None
    length, first, last = max(runs)
    cut = min(excess, length - 2 * _MARGIN)
    if cut < _LEAST_CUT:
        return None
    begin = start + (first + last - cut) // 2
    return begin, begin + cut
