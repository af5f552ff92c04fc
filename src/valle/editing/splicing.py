"""Splicing: new speech laid into a recording of any rate and channels, the rest left bit-exact.

The codec also decodes the context of a span. Between the recording and that context, which say the
same at the same time, a short cross-fade leads over; it lies where both are quiet. What the codec
changes in the spectrum of the context, in each channel, is undone in the span: so the span has the
level, the bandwidth and the place between the channels that the recording has around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr

from valle.arrays import AnyFloats, Floats, Samples
from valle.editing.sound import EditableSound

FADE_SECONDS = 0.01  # of a cross-fade
SEARCH_SECONDS = 0.02  # around the end of a word, in which it may lie
_FFT = 512  # samples of a spectrum, and taps of the filter
_SMOOTHING = 9  # bins over which a spectrum is averaged, 280 Hz at 16 kHz
_MIN_GAIN, _MAX_GAIN = 10 ** (-40 / 20), 10 ** (9 / 20)  # of a band, beside the level
_MAX_LEVEL_CHANGE = 4.0  # dB by which the new words are made louder or quieter
_SOUND_RANGE = 25.0  # dB below the loudest part, down to which a part counts for the level


@dataclass(frozen=True)
class Splice:
    """Samples `start` up to `end` of a recording become others."""

    start: int
    end: int
    samples: Floats
    """[N, channels]."""
    new: tuple[int, int]
    """Which of them are new words: the first, and the one after the last."""


@dataclass(frozen=True)
class Patch:
    """Decoded speech for a span, with its context on both sides."""

    samples: Samples
    rate: int
    """Hz."""
    before: int
    """Samples of the context before the span."""
    after: int
    """Samples of the context after it."""


def splice(recording: Floats, splices: Sequence[Splice]) -> Floats:
    """Return a recording [N, channels] with splices in order; all else stays as it was."""
    parts, position = [], 0
    for one in splices:
        parts += [recording[position : one.start], one.samples]
        position = one.end
    return np.concatenate([*parts, recording[position:]])


def place_patch(
    sound: EditableSound, patch: Patch, span: tuple[int, int], pauses: tuple[int, int]
) -> Splice:
    """Lay new speech in the place of a part of a recording.

    Args:
        sound: The recording.
        patch: The new speech.
        span: The first sample that is replaced, and the one after the last, at the patch's rate.
        pauses: Samples of the pauses next to the span that are kept, at that rate; a cross-fade
            may lie anywhere in them.
    """
    recording, rate = sound.samples, sound.rate
    scale = rate / patch.rate
    start, end = (min(len(recording), round(edge * scale)) for edge in span)
    matched = _match(sound, patch, (start, end))
    size = round(len(patch.samples) * scale)
    placed = np.stack([_resample(channel, patch.rate, rate, size) for channel in matched.T], axis=1)
    left, right = round(patch.before * scale), round(patch.after * scale)
    fade = max(1, round(FADE_SECONDS * rate))
    first, last = 0, len(recording)
    body_start, body_end = 0, size
    if left > fade:  # sample i of the recording is sample i - start + left of the patch
        reach = max(round(pauses[0] * scale), round(SEARCH_SECONDS * rate)) + fade
        reach = min(reach, left, start)
        offset = _find_quiet(recording[start - reach : start], placed[left - reach : left], fade)
        first, body_start = start - reach + offset, left - reach + offset
    if right > fade:
        reach = max(round(pauses[1] * scale), round(SEARCH_SECONDS * rate)) + fade
        reach = min(reach, right, len(recording) - end)
        begin = size - right
        offset = _find_quiet(recording[end : end + reach], placed[begin : begin + reach], fade)
        last, body_end = end + offset + fade, begin + offset + fade
    samples = placed[body_start:body_end].copy()
    if left > fade:
        samples[:fade] = cross_fade(recording[first : first + fade], samples[:fade])
    if right > fade:
        samples[-fade:] = cross_fade(samples[-fade:], recording[last - fade : last])
    new = left - body_start, size - right - body_start
    return Splice(first, last, np.clip(samples, -1.0, 1.0).astype(np.float32), new)


def close_gap(sound: EditableSound, span: tuple[int, int]) -> Splice:
    """Cut a part [start, end) out of a recording, with a cross-fade where both sides are quiet.

    Args:
        sound: The recording.
        span: The first sample that is cut out, and the one after the last.
    """
    recording, rate = sound.samples, sound.rate
    fade = max(1, round(FADE_SECONDS * rate))
    reach = round(SEARCH_SECONDS * rate) + fade
    joins = []
    for edge in span:
        low, high = max(0, edge - reach), min(len(recording), edge + reach)
        part = recording[low:high]
        joins.append(low + _find_quiet(part, part, fade))
    first, second = joins
    mixed = cross_fade(recording[first : first + fade], recording[second : second + fade])
    return Splice(first, second + fade, mixed, (len(mixed) // 2, len(mixed) // 2))


def cross_fade(before: Floats, after: Floats) -> Floats:
    """Return [N, channels] samples that lead from one to the other.

    The gains depend on how alike both are, so that the power stays: they add up to 1 for equal
    sounds, and their squares do for unrelated ones.
    """
    rising = (np.arange(len(before)) + 0.5)[:, None] / max(1, len(before))
    likeness = float(np.sum(before * after))
    likeness /= float(np.sqrt(np.sum(before**2) * np.sum(after**2))) + 1e-12
    power = rising**2 + (1 - rising) ** 2 + 2 * max(0.0, likeness) * rising * (1 - rising)
    mixed = ((1 - rising) * before + rising * after) / np.sqrt(power)
    faded: Floats = mixed.astype(np.float32)
    return faded


def _find_quiet(first: Floats, second: Floats, fade: int) -> int:
    """Return where the `fade` samples begin in which two sounds [N, channels] have least power."""
    power = (first**2).sum(axis=1, dtype=np.float64) + (second**2).sum(axis=1, dtype=np.float64)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    return int(np.argmin(sums[fade:] - sums[:-fade]))


def _match(sound: EditableSound, patch: Patch, span: tuple[int, int]) -> Floats:
    """Return the patch for each channel, [N, channels] at the model's rate."""
    recording, scale = sound.samples, sound.rate / patch.rate
    context = np.concatenate(
        [
            recording[max(0, span[0] - round(patch.before * scale)) : span[0]],
            recording[span[1] : span[1] + round(patch.after * scale)],
        ]
    )
    inside = slice(patch.before, len(patch.samples) - patch.after)
    decoded = np.concatenate([patch.samples[: inside.start], patch.samples[inside.stop :]])
    mono = context.mean(axis=1)
    channels = []
    for channel in context.T:
        size = round(len(channel) / scale)
        wanted = _resample(np.ascontiguousarray(channel), sound.rate, patch.rate, size)
        matched = _filter(patch.samples, _measure_gains(wanted, decoded))
        if float(channel @ mono) < 0:  # a channel with the opposite polarity
            matched = -matched
        change = _measure_level(wanted) - _measure_level(matched[inside])
        if not np.isfinite(change):
            change = 0.0
        gain = 10 ** (np.clip(change, -_MAX_LEVEL_CHANGE, _MAX_LEVEL_CHANGE) / 20)
        channels.append(_apply_inside(matched, inside, float(gain)))
    return np.stack(channels, axis=1).astype(np.float32)


def _apply_inside(samples: Samples, span: slice, gain: float) -> Samples:
    """Multiply the span by a gain that rises and falls within it, so that its ends do not jump."""
    length = span.stop - span.start
    ramp = max(1, min(length // 4, 480))
    gains = np.ones(len(samples))
    shape = np.clip(np.minimum(np.arange(length), np.arange(length)[::-1]) / ramp, 0.0, 1.0)
    gains[span] = gain**shape
    scaled: Samples = (samples * gains).astype(np.float32)
    return scaled


def _measure_gains(wanted: Samples, decoded: Samples) -> AnyFloats:
    """Return the gain [bins] of each frequency that makes one spectrum the other."""
    first, second = _measure_spectrum(wanted), _measure_spectrum(decoded)
    level = float(np.sqrt(first.sum() / (second.sum() + 1e-12)))
    ratio = np.sqrt(first / (second + 1e-12)) / max(level, 1e-12)
    return level * np.clip(ratio, _MIN_GAIN, _MAX_GAIN)


def _measure_spectrum(samples: Samples) -> AnyFloats:
    """Return the smoothed mean power [bins] of a sound."""
    padded = np.pad(samples, (0, max(0, _FFT - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _FFT)[:: _FFT // 2]
    power = (np.abs(np.fft.rfft(frames * np.hanning(_FFT), axis=1)) ** 2).mean(axis=0)
    edge = _SMOOTHING // 2
    kernel = np.full(_SMOOTHING, 1 / _SMOOTHING)
    return np.convolve(np.pad(power, edge, mode="edge"), kernel, mode="valid")


def _filter(samples: Samples, gains: AnyFloats) -> Samples:
    """Apply gains [bins] as a linear-phase filter; the sound is not delayed."""
    taps = np.roll(np.fft.irfft(gains), _FFT // 2) * np.hanning(_FFT)
    size = 1 << (len(samples) + _FFT).bit_length()
    product = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(taps, size), size)
    filtered: Samples = product[_FFT // 2 : _FFT // 2 + len(samples)].astype(np.float32)
    return filtered


def _measure_level(samples: Samples) -> float:
    """Return the level in dB of the parts of 20 ms that are not pauses."""
    parts = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    power = np.square(parts, dtype=np.float64).mean(axis=1)
    loud = power[power > power.max(initial=0.0) * 10 ** (-_SOUND_RANGE / 10)]
    return 10 * float(np.log10(loud.mean())) if len(loud) else -np.inf


def _resample(samples: Samples, rate: int, wanted: int, size: int) -> Samples:
    """Resample [N] to `size` samples."""
    if rate != wanted:
        samples = soxr.resample(samples, rate, wanted)
    return np.pad(samples[:size], (0, max(0, size - len(samples))))
