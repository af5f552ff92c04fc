"""The soundtrack of a dub: speech placed to the sample at 48 kHz, over the sound beneath it.

Every cue is placed by its own time, counted in samples from the beginning of the film, so no error
adds up however long the film is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats, Samples
from valle.audio.loudness import PEAK, measure_loudness, normalize_loudness
from valle.audio.recording import resample
from valle.media.films import Film, Track, read_sound
from valle.media.soundtrack import CHANNELS, RATE

_LEAD, _TAIL = 0.05, 0.15  # seconds around the sound that are kept, as a room keeps ringing
_FADE = 0.01  # seconds
_RAMP = 0.2  # seconds in which the sound beneath gets quieter and louder
_STEREO = 3.01  # dB by which two equal channels are louder than one
_SPANS, _LONGEST_SPAN = 60, 8.0  # of the original whose loudness is measured; seconds
_MEASURED_RATE = 24_000  # Hz


@dataclass(frozen=True, eq=False)
class PlacedSpeech:
    """Speech, and when it is heard."""

    samples: Samples
    """[N] mono."""
    sample_rate: int
    """Hz."""
    start: float
    """Seconds of the film at which its first sample is; may be a little before 0."""


def cut_out(samples: Samples, sample_rate: int, begin: float, end: float) -> tuple[Samples, float]:
    """Return the sound from `begin` to `end` with a short fade around it, and how long that is.

    Args:
        samples: [N] mono.
        sample_rate: In Hz.
        begin: Seconds.
        end: Seconds.

    Returns:
        Samples, and the seconds in them before `begin`.
    """
    first = max(0, round((begin - _LEAD) * sample_rate))
    last = min(len(samples), round((end + _TAIL) * sample_rate))
    part = samples[first:last].copy()
    fade = min(round(_FADE * sample_rate), len(part) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    part[:fade] *= ramp
    part[len(part) - fade :] *= ramp[::-1]
    return part, begin - first / sample_rate


def match_loudness(
    samples: Samples, sample_rate: int, target: float, loudness: float | None = None
) -> Samples:
    """Return speech [N] that has a loudness when it is heard from both channels.

    Args:
        samples: Mono.
        sample_rate: In Hz.
        target: In LUFS.
        loudness: In LUFS, as it was measured of them before; None measures it.
    """
    target -= _STEREO
    if loudness is None or not np.isfinite(loudness):
        return normalize_loudness(samples, sample_rate, target)
    louder = samples * np.float32(10 ** ((target - loudness) / 20))
    if np.abs(louder).max(initial=0.0) <= PEAK:
        return louder
    return normalize_loudness(samples, sample_rate, target)


def measure_speech(film: Film, track: Track, spans: Sequence[tuple[float, float]]) -> float:
    """Return the loudness in LUFS of a film's sound while there are cues.

    Args:
        film: The film.
        track: One of its tracks with sound.
        spans: Begin and end of the cues in seconds; some of many are measured.

    Returns:
        Minus infinity for silence.
    """
    chosen = spans[:: max(1, len(spans) // _SPANS)]
    parts: list[Samples] = []
    for begin, end in chosen:
        end = min(end, begin + _LONGEST_SPAN, film.seconds)
        if end > begin:
            parts += read_sound(film, track, _MEASURED_RATE, CHANNELS, (begin, end))
    if not parts:
        return -np.inf
    joined = np.concatenate(parts, axis=1)
    power = sum(10 ** (measure_loudness(channel, _MEASURED_RATE) / 10) for channel in joined)
    return float(10 * np.log10(power)) if power > 0 else -np.inf


class Bed:
    """The sound beneath speech: read once from the beginning, lowered where there is speech."""

    def __init__(
        self,
        blocks: Iterator[Samples],
        speech: Sequence[tuple[float, float]] = (),
        decibels: float = 0.0,
    ) -> None:
        """Use blocks [2, n] at `RATE`; they are lowered by `decibels` in the spans of speech."""
        self._blocks = blocks
        self._pending = np.zeros((CHANNELS, 0), np.float32)
        low = 10 ** (-decibels / 20)
        times, gains = [0.0], [1.0]
        for begin, end in _merge(speech, 2 * _RAMP):
            times += [begin - _RAMP, begin, end, end + _RAMP]
            gains += [1.0, low, low, 1.0]
        self._times, self._gains = np.array(times) * RATE, np.array(gains)

    def read(self, first: int, last: int) -> NDArray[np.float32]:
        """Return the samples [2, last - first]; positions follow each other."""
        while self._pending.shape[1] < last - first:
            block = next(self._blocks, None)
            if block is None:
                missing = last - first - self._pending.shape[1]
                block = np.zeros((CHANNELS, missing), np.float32)
            self._pending = np.concatenate((self._pending, block), axis=1)
        part, self._pending = np.split(self._pending, [last - first], axis=1)
        gain = np.interp(np.arange(first, last), self._times, self._gains)
        return part * gain.astype(np.float32)


class DubSound:
    """The whole soundtrack; see `valle.media.soundtrack.Sound`."""

    def __init__(
        self, speech: Sequence[PlacedSpeech], seconds: float, bed: Bed | None = None
    ) -> None:
        """Mix speech in any order over a bed; the length is `seconds`, or that of the speech."""
        ordered = sorted(speech, key=lambda placed: placed.start)
        self._speech, self._waiting = ordered, deque(ordered)
        self._heard: list[tuple[int, Samples]] = []  # (first sample, [n] at RATE)
        self._bed = bed
        ends = [
            round(placed.start * RATE) + round(len(placed.samples) * RATE / placed.sample_rate)
            for placed in ordered
        ]
        self.samples = max(round(seconds * RATE), *ends, 0)

    def find_peaks(self, per_second: int) -> Floats:
        """Return the highest level of the speech, 0 to 1, in each part of a second."""
        peaks = np.zeros(self.samples * per_second // RATE + 2, np.float32)
        for placed in self._speech:
            times = placed.start + np.arange(len(placed.samples)) / placed.sample_rate
            at = np.clip(times * per_second, 0, len(peaks) - 1).astype(np.int64)
            np.maximum.at(peaks, at, np.abs(placed.samples))
        return peaks

    def render(self, first: int, last: int) -> Samples:
        """Return the samples [2, last - first]; positions follow each other."""
        mixed = np.zeros((CHANNELS, last - first), np.float32)
        if self._bed is not None:
            mixed += self._bed.read(first, last)
        while self._waiting and round(self._waiting[0].start * RATE) < last:
            placed = self._waiting.popleft()
            samples = resample(placed.samples, placed.sample_rate, RATE)
            self._heard.append((round(placed.start * RATE), samples))
        still = []
        for start, samples in self._heard:
            begin, end = max(first, start), min(last, start + len(samples))
            if begin < end:
                mixed[:, begin - first : end - first] += samples[begin - start : end - start]
            if start + len(samples) > last:
                still.append((start, samples))
        self._heard = still
        return np.clip(mixed, -1.0, 1.0, out=mixed)


def _merge(spans: Sequence[tuple[float, float]], gap: float) -> list[tuple[float, float]]:
    """Join spans that are less than `gap` seconds apart."""
    merged: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if merged and begin - merged[-1][1] < gap:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged
