"""Which recordings can be trained on, and why others cannot."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from valle.audio_format import SAMPLE_RATE
from valle.corpora.transcripts import transcript_ids

MIN_SECONDS = 0.5
MAX_SECONDS = 40.0
"""Longest recording with a transcript: what the models see at once."""
SEGMENT_SECONDS = (3.0, 20.0)
"""Lengths of the segments that a long recording without a transcript is cut into."""
_FILE_SECONDS = 24 * 3600.0
_MIN_LEVEL = -60.0  # dBFS: below it there is no speech
_MAX_CLIPPED = 0.02  # share of samples at full scale
_MIN_DYNAMICS = 6.0  # dB between loud and quiet parts: speech pauses, and noise does not
_FULL_SCALE = 0.999
_BLOCK = 0.02  # s
_PAUSE_BLOCKS = 11  # over which levels are averaged: longer than the closure of a plosive
_READ_SECONDS = 600.0  # of a long file that are in memory at once
_SYMBOLS_PER_SECOND = (1.0, 40.0)

_Part = tuple[float, float, NDArray[np.float32]]
"""Start and length in seconds, and samples at 16 kHz."""


@dataclass(frozen=True)
class Excerpt:
    """A part of a recording that can be trained on.

    Attributes:
        start: seconds from the beginning of the file.
        seconds: its length.
        sha256: of its samples at 16 kHz and 16 bits, by which copies are recognized.
    """

    start: float
    seconds: float
    sha256: str


@dataclass(frozen=True)
class Screening:
    """What was found of one recording.

    Attributes:
        seconds: of the file; 0 if it cannot be read.
        excerpts: what can be used; the whole recording, or segments of it.
        refused: seconds that cannot be used, with the reasons.
    """

    seconds: float
    excerpts: tuple[Excerpt, ...] = ()
    refused: tuple[tuple[float, str], ...] = ()


def screen_recording(path: Path, text: str | None) -> Screening:
    """Check one recording, and cut a long one without a transcript at its pauses.

    Args:
        path: of the file.
        text: what is said in it; None if that is not known.

    Returns:
        What can be used of it and why the rest cannot. Seconds used and refused add up.
    """
    try:
        with soundfile.SoundFile(path) as file:
            seconds = len(file) / file.samplerate
            problem = _find_length_problem(seconds, text)
            if problem is not None:
                return Screening(seconds, refused=((seconds, problem),))
            if seconds <= SEGMENT_SECONDS[1] or text is not None:
                samples = _resample(file.read(dtype="float32", always_2d=True), file.samplerate)
                return _screen_parts(seconds, [(0.0, seconds, samples)])
            return _screen_parts(seconds, _cut_file(file))
    except (soundfile.LibsndfileError, OSError, ValueError, RuntimeError) as error:
        reason = f"cannot be read: {str(error).strip().partition(chr(10))[0]}"
        if not path.is_file():
            reason = "the file is missing"
        return Screening(0.0, refused=((0.0, reason),))


def hash_samples(samples: NDArray[np.float32]) -> str:
    """Hash samples at 16 kHz as 16-bit numbers, by which copies of a recording are recognized."""
    return hashlib.sha256(np.rint(samples * 32767).astype("<i2").tobytes()).hexdigest()


def _find_length_problem(seconds: float, text: str | None) -> str | None:
    if seconds < MIN_SECONDS:
        return f"shorter than {MIN_SECONDS} s"
    if seconds > _FILE_SECONDS:
        return "longer than a day"
    if text is None:
        return None
    if seconds > MAX_SECONDS:
        return (
            f"longer than {MAX_SECONDS:.0f} s with one transcript: cut it into sentences, or leave "
            "the transcript out"
        )
    ids = transcript_ids(text)
    if ids is None:
        return "the transcript has no words"
    low, high = _SYMBOLS_PER_SECOND
    if not low <= len(ids[0]) / seconds <= high:
        return (
            f"the transcript does not fit: {len(ids[0])} phonemes in {seconds:.1f} s, "
            f"{low:.0f} to {high:.0f} per second are speech"
        )
    return None


def _screen_parts(seconds: float, parts: Iterable[_Part]) -> Screening:
    """Check the sound of parts: their start, length and samples at 16 kHz."""
    excerpts, refused = [], []
    for start, length, samples in parts:
        problem = find_sound_problem(samples)
        if problem is None:
            excerpts.append(Excerpt(start, length, hash_samples(samples)))
        else:
            refused.append((length, problem))
    return Screening(seconds, tuple(excerpts), tuple(refused))


def find_sound_problem(samples: NDArray[np.float32]) -> str | None:
    """What keeps samples at 16 kHz from being trained on; None if nothing does."""
    if len(samples) < MIN_SECONDS * SAMPLE_RATE:
        return f"shorter than {MIN_SECONDS} s"
    if not np.isfinite(samples).all():
        return "samples that are not numbers (NaN or infinite)"
    levels = _levels(samples)
    loud, quiet = np.percentile(levels, [95, 5])
    if loud < _MIN_LEVEL:
        return f"silent: its loud parts are at {loud:.0f} dBFS"
    clipped = float((np.abs(samples) >= _FULL_SCALE).mean())
    if clipped > _MAX_CLIPPED:
        return f"clipped: {clipped:.0%} of its samples are at full scale"
    if loud - quiet < _MIN_DYNAMICS:
        return f"no pauses: loud and quiet parts differ by {loud - quiet:.0f} dB, so it is noise"
    return None


def _levels(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level of each 20 ms in dBFS."""
    size = max(1, min(int(_BLOCK * SAMPLE_RATE), len(samples)))
    blocks = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    return 10 * np.log10(np.square(blocks).mean(1) + 1e-12)


def _resample(frames: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    mono = frames.mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE)
    return np.asarray(mono, np.float32)


def _cut_file(file: soundfile.SoundFile) -> Iterator[_Part]:
    """Cut a long recording at its quietest places; the segments cover all of it."""
    start, rate = 0.0, file.samplerate
    while len(block := file.read(int(_READ_SECONDS * rate), "float32", always_2d=True)):
        samples, seconds = _resample(block, rate), len(block) / rate
        cuts = _choose_cuts(_levels(samples))
        times = [0.0, *(cut / SAMPLE_RATE for cut in cuts), seconds]
        edges = [0, *cuts, len(samples)]
        for index, (first, last) in enumerate(pairwise(edges)):
            length = times[index + 1] - times[index]
            yield start + times[index], length, samples[first:last]
        start += seconds


def _choose_cuts(levels: NDArray[np.float64]) -> list[int]:
    """Samples at which to cut: in turn, the quietest place within the allowed lengths."""
    shortest, longest = (int(seconds / _BLOCK) for seconds in SEGMENT_SECONDS)
    smooth = np.convolve(levels, np.ones(_PAUSE_BLOCKS) / _PAUSE_BLOCKS, mode="same")
    cuts, at = [], 0
    while len(levels) - at > longest:
        window = smooth[at + shortest : min(at + longest, len(levels) - shortest)]
        at += shortest + len(window) - 1 - int(window[::-1].argmin())  # the last of equal ones
        cuts.append(int(at * _BLOCK * SAMPLE_RATE))
    return cuts
