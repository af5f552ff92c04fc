"""Recordings in: reading with every check, choosing the best part, resampling.

Audio is mono float32 in [-1, 1] with its sample rate; levels are dBFS (RMS, so that a full-scale
sine has -3); times are seconds. Long recordings are read in blocks: only levels of the whole and
the samples of the requested part are ever held in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soxr
from numpy.typing import NDArray

from valle.arrays import Floats, Samples
from valle.audio import levels
from valle.audio.decoding import AudioSource, open_audio
from valle.audio.levels import STEPS_PER_SECOND, Power
from valle.errors import RecordingError

MIN_SECONDS = 1.5  # of sound that a recording must hold
EXCERPT_SECONDS = 10.0  # of a long recording, what a voice is learned from
MAX_SECONDS = 3600.0  # what is read of a recording
MAX_VALUES = 345_600_000  # samples of all channels that are read: an hour of stereo at 48 kHz
MAX_RATE = 48_000  # Hz; nothing a voice needs lies above half of it

# Measured on 400 recordings of 7 corpora: clean ones keep 15 dB or more between the active level
# and the 10th percentile of levels, those with noise 10 dB below the voice less than 10 dB.
_NOISY_RANGE = 11.0
# There, at most 0.03 % of a clean recording's samples lie within 3 % of its peak; with 1 % of the
# samples clipped, 1.1 % or more.
_CLIPPED_SHARE = 0.0015
_QUIET = -45.0  # dBFS

_SCAN_VALUES, _READ_VALUES = 262_144, 1_048_576  # samples of all channels in one block


@dataclass(frozen=True, eq=False)
class Recording:
    """A recording, or an excerpt of one, in memory."""

    samples: Samples
    """[N] mono in [-1, 1]."""
    sample_rate: int
    """In Hz; the source's own, up to 48 kHz."""
    warnings: tuple[str, ...]
    """What will cost quality, and which part was used."""
    start: float
    """Seconds into the source at which `samples` begin."""
    source_seconds: float
    """Length of the whole source."""

    @property
    def seconds(self) -> float:
        """Length of `samples`."""
        return len(self.samples) / self.sample_rate


def load_recording(
    source: str | Path | BinaryIO | tuple[NDArray[np.generic], int],
    excerpt: float | None = None,
    min_seconds: float = MIN_SECONDS,
) -> Recording:
    """Read a recording of a voice.

    Channels are mixed, rates above 48 kHz are reduced to it, and values beyond [-1, 1] are scaled
    down. Only the first hour is read.

    Args:
        source: A path, an open binary file, or (samples, sample rate), where the samples are [N] or
            [N, channels] (the longer axis is time), floats in [-1, 1] or integers of any width.
        excerpt: Seconds of the best part to return, without the silence around it; None returns
            everything.
        min_seconds: Seconds of sound that the recording must hold.

    Raises:
        RecordingError: The source is missing, a folder, not audio, cut off, damaged, empty, silent,
            not finite everywhere, or holds too little sound.
    """
    with open_audio(source) as opened:
        return _load(opened, excerpt, min_seconds)


def load_part(source: str | Path | BinaryIO, start: float, seconds: float) -> Recording:
    """Read a part of a recording of a voice; times of the result count from the part's beginning.

    Args:
        source: A path or an open binary file.
        start: Seconds into the recording at which the part begins.
        seconds: Length of the part.

    Raises:
        RecordingError: The recording ends before the part begins; and what `load_recording` raises.
    """
    with open_audio(source) as opened:
        first, rate = round(start * opened.rate), opened.rate
        last, size = first + round(seconds * rate), max(1, _READ_VALUES // opened.channels)
        blocks = list(opened.read_blocks(first, last, size))
        if not blocks:
            raise RecordingError(f"{opened.name} ends before {start:g} s, where the part begins")
    return load_recording((np.concatenate(blocks), rate))


def _load(source: AudioSource, excerpt: float | None, min_seconds: float) -> Recording:
    scan = _scan(source)
    seconds = scan.frames / source.rate
    if seconds < min_seconds:
        raise RecordingError(
            f"{source.name} lasts only {seconds:.2f} s; "
            f"at least {min_seconds} s of speech are needed, 3 s are better"
        )
    power, channel, warnings = _choose_channel(scan)
    if not (power > levels.SILENCE).any():
        raise RecordingError(f"{source.name} is silent; check the microphone and record again")
    first, last = levels.find_best_part(power, scan.peak, excerpt or EXCERPT_SECONDS)
    is_sound = levels.detect_sound(power)[slice(first, last) if excerpt else slice(None)]
    if is_sound.sum() < min_seconds * STEPS_PER_SECOND:
        raise RecordingError(
            f"{source.name} holds only {is_sound.sum() / STEPS_PER_SECOND:.1f} s of sound; "
            f"at least {min_seconds} s are needed, 3 s are better"
        )
    step = source.rate // STEPS_PER_SECOND
    magnitudes = _read_magnitudes(source, first * step, last * step, channel)
    warnings += _find_faults(source.rate, magnitudes, power[first:last])
    del magnitudes  # of all channels at the full rate
    first, last = (first * step, last * step) if excerpt else (0, scan.frames)
    if excerpt and seconds > excerpt:
        warnings.append(
            f"the best {(last - first) / source.rate:.1f} s were used, from "
            f"{first / source.rate:.1f} s to {last / source.rate:.1f} s of {seconds:.1f} s"
        )
    if scan.is_truncated:
        read = "hour" if scan.frames >= MAX_SECONDS * source.rate else f"{seconds / 60:.0f} min"
        warnings.append(f"it is too long to be read whole; only the first {read} was read")
    mono = _read_mono(source, first, last, channel)
    if scan.loudest > 1.0:
        mono *= np.float32(1.0 / scan.loudest)
    # A resampler rings beyond full scale at edges.
    np.clip(mono, -1.0, 1.0, out=mono)
    rate = min(source.rate, MAX_RATE)
    return Recording(mono, rate, tuple(warnings), first / source.rate, seconds)


@dataclass(frozen=True, eq=False)
class _Scan:
    """Levels of a whole recording, in steps of 20 ms."""

    power: Power
    """[steps, channels + 1]; the last column is that of the mix."""
    side_power: Power
    """[steps] power of what the channels do not share."""
    peak: Floats
    """[steps] greatest magnitude in any channel."""
    loudest: float
    """Greatest magnitude of all samples."""
    frames: int
    """Samples per channel, of the first hour."""
    is_truncated: bool
    """Whether the recording goes on after the first hour."""


def _scan(source: AudioSource) -> _Scan:
    step = source.rate // STEPS_PER_SECOND
    size = step * max(1, _SCAN_VALUES // (step * source.channels))
    limit = min(int(MAX_SECONDS * source.rate), MAX_VALUES // source.channels)
    powers = [np.zeros((0, source.channels + 1))]
    side_powers, peaks = [np.zeros(0)], [np.zeros(0, np.float32)]
    frames, loudest = 0, 0.0
    for block in source.read_blocks(0, limit + 1, size):
        frames += len(block)
        loudest = max(loudest, float(block.max()), -float(block.min()))
        if not np.isfinite(block).all():
            raise RecordingError(
                f"{source.name} holds values that are not numbers (NaN or infinite); "
                "export it again"
            )
        steps = block[: len(block) // step * step].reshape(-1, step, source.channels)
        exact = steps.astype(np.float64)  # a variance in float32 could overflow
        mix = exact.mean(axis=2)
        powers.append(np.column_stack([exact.var(axis=1), mix.var(axis=1)]))
        side_powers.append((exact - mix[:, :, None]).var(axis=1).mean(axis=1))
        peaks.append(np.abs(steps).max(axis=(1, 2), initial=0.0))
    if not frames:
        raise RecordingError(f"{source.name} is empty: it holds no samples")
    # If values lie beyond [-1, 1], all are scaled down.
    gain = 1.0 / max(1.0, loudest)
    return _Scan(
        np.concatenate(powers) * gain**2,
        np.concatenate(side_powers) * gain**2,
        np.concatenate(peaks) * np.float32(gain),
        loudest,
        min(frames, limit),
        frames > limit,
    )


def _choose_channel(scan: _Scan) -> tuple[Power, int | None, list[str]]:
    """Choose the channel to use (None is the mix of all); returns its power and warnings too."""
    channels, mix = scan.power[:, :-1], scan.power[:, -1]
    mean = channels.mean()
    if mix.mean() < 0.1 * mean:
        loudest = int(channels.mean(axis=0).argmax())
        warning = f"its channels cancel each other; only channel {loudest + 1} was used"
        return channels[:, loudest], loudest, [warning]
    # One channel of sound with silent ones is a mono recording stored as stereo.
    active = int((channels.mean(axis=0) > 1e-3 * channels.mean(axis=0).max()).sum())
    if active > 1 and scan.side_power.mean() > 0.01 * mean:
        warning = (
            f"its {active} channels differ and were mixed into one; "
            "a recording of one microphone is clearer"
        )
        return mix, None, [warning]
    return mix, None, []


def _read_magnitudes(source: AudioSource, first: int, last: int, channel: int | None) -> Floats:
    """Read magnitudes [last - first, channels] before mixing, which would hide clipping."""
    magnitudes = np.abs(np.concatenate(list(source.read_blocks(first, last, last - first))))
    return magnitudes if channel is None else magnitudes[:, [channel]]


def _find_faults(rate: int, magnitudes: Floats, power: Power) -> list[str]:
    """Return warnings about samples with these magnitudes [N, channels] and this power."""
    warnings = []
    if rate < 16_000:
        warnings.append(
            f"it is sampled at {rate} Hz and has nothing above {rate // 2} Hz; "
            "the voice will sound dull, 16 kHz or more is better"
        )
    near_peak = 0.97 * magnitudes.max(axis=0).clip(min=1e-3)
    if ((magnitudes >= near_peak).mean(axis=0) > _CLIPPED_SHARE).any():
        warnings.append("it is clipped (too loud for the microphone); record at a lower level")
    level = levels.compute_level(power)
    if level - 10 * np.log10(np.percentile(power, 10) + 1e-12) < _NOISY_RANGE:
        warnings.append("it is noisy; record nearer to the microphone or in a quieter place")
    if level < _QUIET:
        warnings.append(f"it is very quiet ({level:.0f} dBFS); record at a higher level")
    return warnings


def _read_mono(source: AudioSource, first: int, last: int, channel: int | None) -> Samples:
    """Read the samples from `first` to `last`, mixed (or one channel), at 48 kHz at most."""
    rate = min(source.rate, MAX_RATE)
    out = np.zeros(round((last - first) * rate / source.rate), np.float32)
    resampler = soxr.ResampleStream(source.rate, rate, 1) if rate != source.rate else None
    position, filled = first, 0
    for block in source.read_blocks(first, last, max(1, _READ_VALUES // source.channels)):
        position += len(block)
        mono = block[:, channel] if channel is not None else block.mean(axis=1, dtype=np.float32)
        if resampler is not None:
            mono = resampler.resample_chunk(np.ascontiguousarray(mono), last=position >= last)
        mono = mono[: len(out) - filled]
        out[filled : filled + len(mono)] = mono
        filled += len(mono)
    return out


def measure_active_level(samples: Samples, sample_rate: int) -> float:
    """Measure the level in dBFS of the parts with sound, without pauses (20 dB below the mean).

    Args:
        samples: [N] in [-1, 1].
        sample_rate: In Hz.

    Returns:
        The level; minus infinity for silence (below -70 dBFS).
    """
    return levels.compute_level(levels.compute_power(samples, sample_rate))


def find_best_excerpt(
    samples: Samples, sample_rate: int, seconds: float = EXCERPT_SECONDS
) -> tuple[int, int]:
    """Find the part to learn a voice from.

    It has the highest score of level above the noise, share of sound, steadiness of the level, and
    freedom from clipping. It begins and ends in pauses, without the silence around it.

    Args:
        samples: [N] in [-1, 1].
        sample_rate: In Hz.
        seconds: Greatest length of the part.

    Returns:
        (start, end) in samples.
    """
    step = sample_rate // STEPS_PER_SECOND
    steps = samples[: len(samples) // step * step].reshape(-1, step)
    if not len(steps):
        return 0, len(samples)
    power = levels.compute_power(samples, sample_rate)
    start, end = levels.find_best_part(power, np.abs(steps).max(axis=1), seconds)
    return start * step, end * step


def resample(samples: Samples, source_rate: int, target_rate: int) -> Samples:
    """Resample [N] samples to round(N * target / source) samples, band-limited."""
    if source_rate == target_rate:
        return samples.astype(np.float32, copy=False)
    length = round(len(samples) * target_rate / source_rate)
    resampled = soxr.resample(samples.astype(np.float32, copy=False), source_rate, target_rate)
    return np.pad(resampled[:length], (0, max(0, length - len(resampled))))
