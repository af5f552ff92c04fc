"""Whether a recording is marked, where, and what the mark says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import best_excerpt, resample
from valle.watermark import error_correction
from valle.watermark.embed import VERSION, Payload, key_number, payload_places
from valle.watermark.grid import (
    BANDS,
    GRID,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE,
    PUBLISHED_KEY,
    places,
)
from valle.watermark.search import (
    FRAMES_PER_SECOND,
    NEUTRAL,
    RATE,
    Analysis,
    Hit,
    Warp,
    count_tests,
    spectrogram,
)

FALSE_ALARMS = 1e-7
"""The greatest chance that a recording without a mark is said to have one."""

# A speed that is off by 0.25 % costs half of the score in 3 s, a pitch off by 1.5 % a quarter.
_SPEEDS = [1 + half_percents / 200 for half_percents in range(-20, 21)]
WARPS: tuple[Warp, ...] = (
    *(Warp(speed, speed) for speed in _SPEEDS if abs(speed - 1) > 0.015),  # played faster or slower
    *(Warp(speed, 1.0) for speed in _SPEEDS if speed != 1),  # tempo alone
    *(Warp(1.0, 1 + percents / 100) for percents in (-9, -6, -3, 3, 6, 9)),  # pitch alone
)
_NEARBY = [1 + step / 2000 for step in range(-5, 6)]  # speeds between those of WARPS

_CHUNK, _OVERLAP = 30.0, 12.0  # seconds that are searched at once, and that two chunks share
_AGAIN = 0.7  # of the score that was found there, which another cut of the recording must reach
_WARPED = 15.0  # seconds in which other speeds and pitches are looked for
_SMOOTHED = 25  # columns over which it is told whether speech is marked
_SURE = 12.0  # nats that a marked stretch must show by itself
_TOUCHING = 0.3  # seconds between spans that are one
# The payload must fit so well that a word of noise alone would seldom be taken for one.
_READABLE = error_correction.BITS * math.log(2) + math.log(100)


@dataclass(frozen=True)
class Span:
    """A stretch that is marked."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    payload: Payload | None
    """What the owner's key read here; None without a key, or where it cannot be read."""


@dataclass(frozen=True)
class Detection:
    """What was found of the mark."""

    found: bool
    chance: float
    """A bound: so likely at most does a recording without a mark look as much like one."""
    score: float
    """The best S**2 of all tests, in nats."""
    needed: float
    """What a test at the speed and pitch that speech is made at had to reach, in nats."""
    spans: tuple[Span, ...]
    warp: Warp | None
    """The speed and pitch at which it was found."""


def detect(
    samples: NDArray[np.float32], sample_rate: int, owner_key: bytes | None = None
) -> Detection:
    """Look for the mark in `samples` [N]; with the owner's key, read the payload too.

    All tests that a search could make are counted, whether or not it came to them; half of the
    allowed chance of a false alarm goes to those at the speed and pitch that speech is made at,
    half to all others, which are made on the best 15 s only, and only where the mark was not
    found before.
    """
    samples = resample(samples, sample_rate, RATE)
    chunks = list(_chunks(len(samples)))
    count = 2 * max(1, sum(count_tests(end - start) for start, end in chunks))
    needed = least = math.log(count / FALSE_ALARMS)
    best, warp = 0.0, NEUTRAL
    spans: list[Span] = []
    for start, end in chunks:
        analysis = Analysis(spectrogram(samples[start:end]))
        hits = analysis.hits(least)
        best = max(best, *(hit.score for hit in hits))
        spans += _spans(analysis, hits, least, start / RATE, owner_key)
    chance = min(1.0, count * math.exp(-best))
    if not spans:
        warp, score, warped_chance = _warped(samples)
        if warped_chance <= FALSE_ALARMS:
            best, least = score, min(least, _AGAIN * score)
            for start, end in chunks:
                analysis = Analysis(spectrogram(samples[start:end]), warp)
                spans += _spans(analysis, analysis.hits(least), least, start / RATE, owner_key)
        chance = min(chance, warped_chance)
    found = chance <= FALSE_ALARMS
    spans = _merged(spans)
    return Detection(found, chance, best, needed, tuple(spans), warp if found else None)


def _warped(samples: NDArray[np.float32]) -> tuple[Warp, float, float]:
    """The warp at which the mark stands out most, its score, and the chance of it."""
    first, last = best_excerpt(samples, RATE, _WARPED)
    powers = spectrogram(samples[first:last])
    count = 2 * max(1, sum(count_tests(last - first, warp) for warp in WARPS))

    def best_score(warp: Warp) -> float:
        return max(hit.score for hit in Analysis(powers, warp).hits())

    scores = {warp: best_score(warp) for warp in WARPS}
    warp = max(WARPS, key=lambda warp: scores[warp])
    chance = min(1.0, count * math.exp(-scores[warp]))
    if chance > FALSE_ALARMS:
        return warp, scores[warp], chance
    # What is found is found; a speed in between only makes spans and payload clearer.
    near = [Warp(warp.speed * factor, warp.pitch) for factor in _NEARBY]
    return max(near, key=best_score), scores[warp], chance


def _chunks(length: int) -> Iterator[tuple[int, int]]:
    step, overlap = round(_CHUNK * RATE), round(_OVERLAP * RATE)
    for start in range(0, max(1, length - overlap), step):
        yield start, min(length, start + step + overlap)


def _spans(
    analysis: Analysis, hits: list[Hit], least: float, offset: float, owner_key: bytes | None
) -> Iterator[Span]:
    """The spans of a chunk that begins `offset` seconds into the recording."""
    taken = np.zeros(len(analysis.cells), bool)
    for hit in sorted(hits, reverse=True):
        if hit.score < least:
            break
        positions = analysis.positions(hit.phase)
        if taken[positions[hit.first : hit.first + hit.columns]].any():
            continue
        shifts = (hit.shift + np.arange(len(positions))) % PERIOD
        for first, last in _runs(analysis, hit, positions, shifts):
            chosen = slice(first, last)
            start = positions[first]
            end = positions[last - 1] + round(analysis.column)
            taken[start:end] = True
            payload = None
            if owner_key is not None:
                payload = _read(analysis.cells[positions[chosen]], shifts[chosen], owner_key)
            yield Span(
                offset + float(start) / FRAMES_PER_SECOND,
                offset + float(end) / FRAMES_PER_SECOND,
                payload,
            )


def _runs(
    analysis: Analysis, hit: Hit, positions: NDArray[np.int64], shifts: NDArray[np.int64]
) -> Iterator[tuple[int, int]]:
    """The stretches of columns that are marked as the hit's are: first, and one after the last."""
    angles = places(PUBLISHED_KEY, "presence")[shifts] * (2 * np.pi / GRID)
    cells = np.where(PRESENCE[shifts], analysis.cells[positions], 0)
    scores = (cells * np.exp(-1j * angles)).real.sum(axis=1)
    weights = np.abs(cells).sum(axis=1)
    squares = (np.abs(cells) ** 2).sum(axis=1)
    own = slice(hit.first, hit.first + hit.columns)
    # Unmarked columns have a mean score of 0, those of the hit one that is in part of the weight.
    share = float(scores[own].sum() / weights[own].sum())
    sums = np.convolve(scores - share / 2 * weights, np.ones(_SMOOTHED))
    marked = sums[_SMOOTHED // 2 :][: len(positions)] > 0
    if not marked[own].any():
        marked[own] = True  # the test says so
    edges = np.flatnonzero(np.diff(np.pad(marked.astype(np.int8), 1)))
    for first, last in edges.reshape(-1, 2):
        score = max(0.0, float(scores[first:last].sum()))
        if score**2 >= _SURE * float(squares[first:last].sum()):
            yield int(first), int(last)


def _read(
    cells: NDArray[np.complex64], shifts: NDArray[np.int64], owner_key: bytes
) -> Payload | None:
    """The payload in columns [n, BANDS] of the pattern's columns `shifts`; None if it is unsure."""
    index = np.full((PAYLOAD_PERIOD, BANDS), -1)
    index[~PRESENCE[:PAYLOAD_PERIOD]] = np.arange(error_correction.SYMBOLS)
    index = index[shifts % PAYLOAD_PERIOD]
    angles = payload_places(owner_key)[shifts] * (2 * np.pi / GRID)
    values = (cells * np.exp(-1j * angles))[index >= 0]
    symbols = np.zeros(error_correction.SYMBOLS, complex)
    np.add.at(symbols, index[index >= 0], values)
    payload = Payload.from_bits(error_correction.decode(symbols.real))
    fit = float(symbols.real @ error_correction.encode(payload.bits))
    # The same bound as for the mark: a symbol heard more than once is one angle with more weight.
    sure = max(0.0, fit) ** 2 >= _READABLE * float((np.abs(symbols) ** 2).sum())
    known = payload.version == VERSION and payload.key == key_number(owner_key)
    return payload if sure and known else None


def _merged(spans: list[Span]) -> list[Span]:
    """Spans in order, those that touch and do not contradict each other as one."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        before = merged[-1] if merged else None
        payloads = {one.payload for one in (before, span) if one and one.payload}
        if before and span.start <= before.end + _TOUCHING and len(payloads) < 2:
            end = max(before.end, span.end)
            merged[-1] = Span(before.start, end, before.payload or span.payload)
        else:
            merged.append(span)
    return merged
