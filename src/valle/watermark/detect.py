"""Detection: whether a recording carries the watermark, where, and with what payload."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.audio.recording import find_best_excerpt, resample
from valle.watermark import error_correction
from valle.watermark.embed import VERSION, Payload, key_fingerprint
from valle.watermark.grid import (
    BANDS,
    PAYLOAD_PERIOD,
    PERIOD,
    PRESENCE_MASK,
    STEP_SIZES,
    derive_dither,
)
from valle.watermark.search import (
    FRAMES_PER_SECOND,
    NEUTRAL,
    RATE,
    Analysis,
    Hit,
    Warp,
    compute_spectrogram,
    count_tests,
    derive_angles,
    double_angles,
)

MAX_FALSE_POSITIVE_PROBABILITY = 1e-7
"""The largest probability with which a recording without a watermark is said to have one."""

# A speed that is off by 0.25 % costs half of the score in 3 s, a pitch off by 1.5 % a quarter.
_SPEEDS = [1 + half_percents / 200 for half_percents in range(-20, 21)]
_PLAYER_SPEEDS = (0.75, 0.8, 0.85, 1.15, 1.2, 1.25, 1.3, 1.4, 1.5)
WARPS: tuple[Warp, ...] = (
    *(Warp(speed, speed) for speed in _SPEEDS if abs(speed - 1) > 0.015),  # resampled
    *(Warp(speed, 1.0) for speed in _SPEEDS if speed != 1),  # tempo alone
    *(Warp(1.0, 1 + percents / 100) for percents in (-9, -6, -3, 3, 6, 9)),  # pitch alone
    # Farther off, what players, platforms and editors offer; between those, nothing is found.
    *(Warp(speed, speed) for speed in _PLAYER_SPEEDS),
    *(Warp(speed, 1.0) for speed in _PLAYER_SPEEDS),
    *(Warp(1.0, 2 ** (semitones / 12)) for semitones in (-2, -1, 1, 2)),
)
_FINE_FACTORS = [1 + step / 2000 for step in range(-5, 6)]  # speeds between those of WARPS

_CHUNK, _OVERLAP = 30.0, 12.0  # seconds searched at once, and shared by neighboring chunks
# Share of the best warp's score that a chunk must reach at that warp: other offsets score less.
_REPEAT_SHARE = 0.7
_WARP_SECONDS = 15.0  # of the excerpt in which other speeds and pitches are searched
_SMOOTHING = 25  # columns (1 s) over which columns are classified as watermarked or not
_MIN_RUN_SCORE = 12.0  # nats that a watermarked run must show by itself: p < 6e-6
_MERGE_GAP = 0.3  # seconds between spans that are merged
# With 2**32 payloads tried, a score of noise reaches this with a probability of 1 in 100 at most.
_READABLE_SCORE = error_correction.BITS * math.log(2) + math.log(100)


@dataclass(frozen=True)
class Span:
    """A watermarked part of a recording."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    payload: Payload | None
    """What the owner's key reads here; None without a key, or where it cannot be read."""


@dataclass(frozen=True)
class Detection:
    """The result of a search for the watermark."""

    found: bool
    false_positive_bound: float
    """Upper bound of the probability that a recording without a watermark scores this high."""
    score: float
    """The best S**2 of all tests, in nats."""
    threshold: float
    """The score that a test at the original speed and pitch must reach, in nats."""
    spans: tuple[Span, ...]
    warp: Warp | None
    """The speed and pitch at which it was found."""
    by_owner: bool = False
    """Whether only the owner's key found it: somebody removed the published half."""


def detect_watermark(
    samples: NDArray[np.float32], sample_rate: int, owner_key: bytes | None = None
) -> Detection:
    """Search `samples` [N] for the watermark, and read its payload with the owner's key.

    The bound counts all tests that a search could make, whether or not it made them. Half of the
    allowed false-positive probability goes to tests at the original speed and pitch, half to all
    others. Those are made on the best 15 s only, and only if the watermark was not found before.
    With an owner's key, as many tests search the half that nobody else can find or remove.
    """
    samples = resample(samples, sample_rate, RATE)
    chunks = list(_split_chunks(len(samples)))
    tests = 2 * max(1, sum(count_tests(end - start) for start, end in chunks))
    tests *= 1 if owner_key is None else 2
    threshold = math.log(tests / MAX_FALSE_POSITIVE_PROBABILITY)
    best, warp = 0.0, NEUTRAL
    spans: list[Span] = []
    by_owner = False
    for half in (None,) if owner_key is None else (None, owner_key):
        for start, end in chunks if not spans else ():
            analysis = Analysis(compute_spectrogram(samples[start:end]))
            hits = analysis.find_hits(threshold, half)
            best = max(best, *(hit.score for hit in hits))
            spans += _find_spans(analysis, hits, threshold, start / RATE, (owner_key, half))
            by_owner = bool(spans) and half is not None
    bound = min(1.0, tests * math.exp(-best))
    if not spans:
        warp, score, warped_bound = _search_warps(samples)
        if warped_bound <= MAX_FALSE_POSITIVE_PROBABILITY:
            best, least = score, min(threshold, _REPEAT_SHARE * score)
            for start, end in chunks:
                analysis = Analysis(compute_spectrogram(samples[start:end]), warp)
                hits = analysis.find_hits(least)
                spans += _find_spans(analysis, hits, least, start / RATE, (owner_key, None))
        bound = min(bound, warped_bound)
    found = bound <= MAX_FALSE_POSITIVE_PROBABILITY
    merged = tuple(_merge_spans(spans))
    return Detection(found, bound, best, threshold, merged, warp if found else None, by_owner)


def _search_warps(samples: NDArray[np.float32]) -> tuple[Warp, float, float]:
    """Return the warp with the best score, that score, and its false-positive bound."""
    first, last = find_best_excerpt(samples, RATE, _WARP_SECONDS)
    powers = compute_spectrogram(samples[first:last])
    tests = 2 * max(1, sum(count_tests(last - first, warp) for warp in WARPS))

    def best_score(warp: Warp) -> float:
        return max(hit.score for hit in Analysis(powers, warp).find_hits())

    scores = {warp: best_score(warp) for warp in WARPS}
    warp = max(WARPS, key=lambda warp: scores[warp])
    bound = min(1.0, tests * math.exp(-scores[warp]))
    if bound > MAX_FALSE_POSITIVE_PROBABILITY:
        return warp, scores[warp], bound
    # The decision is made; a speed in between only makes spans and payload clearer.
    candidates = [Warp(warp.speed * factor, warp.pitch) for factor in _FINE_FACTORS]
    return max(candidates, key=best_score), scores[warp], bound


def _split_chunks(length: int) -> Iterator[tuple[int, int]]:
    step, overlap = round(_CHUNK * RATE), round(_OVERLAP * RATE)
    for start in range(0, max(1, length - overlap), step):
        yield start, min(length, start + step + overlap)


def _find_spans(
    analysis: Analysis,
    hits: list[Hit],
    threshold: float,
    offset: float,
    by: tuple[bytes | None, bytes | None],
) -> Iterator[Span]:
    """Yield the spans of a chunk that begins `offset` seconds into the recording.

    `by` is the key that reads payloads, and the key of the half that the hits are of.
    """
    owner_key, half = by
    covered = np.zeros(len(analysis.cells), bool)
    for hit in sorted(hits, reverse=True):
        if hit.score < threshold:
            break
        positions = analysis.column_positions(hit.phase)
        if covered[positions[hit.first : hit.first + hit.columns]].any():
            continue
        shifts = (hit.shift + np.arange(len(positions))) % PERIOD
        for first, last in _find_runs(analysis, hit, half):
            run = slice(first, last)
            start = positions[first]
            end = positions[last - 1] + round(analysis.column)
            covered[start:end] = True
            payload = None
            if owner_key is not None:
                payload = _read_payload(analysis.cells[positions[run]], shifts[run], owner_key)
            yield Span(
                offset + float(start) / FRAMES_PER_SECOND,
                offset + float(end) / FRAMES_PER_SECOND,
                payload,
            )


def _find_runs(analysis: Analysis, hit: Hit, half: bytes | None) -> Iterator[tuple[int, int]]:
    """Yield runs of columns watermarked in step with the hit: the first, and one past the last."""
    positions = analysis.column_positions(hit.phase)
    shifts = (hit.shift + np.arange(len(positions))) % PERIOD
    pattern, mask = derive_angles(half)
    angles = pattern[shifts]
    cells = analysis.cells[positions] if half is None else double_angles(analysis.cells[positions])
    cells = np.where(mask[shifts], cells, 0)
    scores = (cells * np.exp(-1j * angles)).real.sum(axis=1)
    weights = np.abs(cells).sum(axis=1)
    squares = (np.abs(cells) ** 2).sum(axis=1)
    hit_columns = slice(hit.first, hit.first + hit.columns)
    # The mean score is 0 in columns without a watermark, and a share of the weight in the hit's.
    share = float(scores[hit_columns].sum() / weights[hit_columns].sum())
    smoothed = np.convolve(scores - share / 2 * weights, np.ones(_SMOOTHING))
    watermarked = smoothed[_SMOOTHING // 2 :][: len(positions)] > 0
    if not watermarked[hit_columns].any():
        watermarked[hit_columns] = True  # as the test itself says
    edges = np.flatnonzero(np.diff(np.pad(watermarked.astype(np.int8), 1)))
    for first, last in edges.reshape(-1, 2):
        score = max(0.0, float(scores[first:last].sum()))
        if score**2 >= _MIN_RUN_SCORE * float(squares[first:last].sum()):
            yield int(first), int(last)


def _read_payload(
    cells: NDArray[np.complex64], shifts: NDArray[np.int64], owner_key: bytes
) -> Payload | None:
    """Read the payload of columns [n, BANDS] at the pattern columns `shifts`; None if unsure."""
    index = np.full((PAYLOAD_PERIOD, BANDS), -1)
    index[~PRESENCE_MASK[:PAYLOAD_PERIOD]] = np.arange(error_correction.SYMBOLS)
    index = index[shifts % PAYLOAD_PERIOD]
    angles = derive_dither(owner_key, "payload")[shifts] * (2 * np.pi / STEP_SIZES)
    values = (cells * np.exp(-1j * angles))[index >= 0]
    symbols = np.zeros(error_correction.SYMBOLS, complex)
    np.add.at(symbols, index[index >= 0], values)
    payload = Payload.from_bits(error_correction.decode(symbols.real))
    fit = float(symbols.real @ error_correction.encode(payload.bits))
    # The bound of `search` holds: a symbol received several times is one angle with more weight.
    readable = max(0.0, fit) ** 2 >= _READABLE_SCORE * float((np.abs(symbols) ** 2).sum())
    expected = payload.version == VERSION and payload.key == key_fingerprint(owner_key)
    return payload if readable and expected else None


def _merge_spans(spans: list[Span]) -> list[Span]:
    """Sort spans and merge those that touch and do not contradict each other."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        last = merged[-1] if merged else None
        payloads = {
            candidate.payload for candidate in (last, span) if candidate and candidate.payload
        }
        if last and span.start <= last.end + _MERGE_GAP and len(payloads) < 2:
            merged[-1] = Span(last.start, max(last.end, span.end), last.payload or span.payload)
        else:
            merged.append(span)
    return merged
