"""Data augmentation: changes of a recording's voice, room, noise and level.

Every function takes and returns mono float32 samples at 16 kHz and changes nothing in place. All
but `tempo` and `change_speed` keep the length and all times, so phoneme times stay valid; those two
divide times by their factor. Randomness comes from the generator that is passed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft, signal

from valle.arrays import Samples
from valle.audio_format import HOP, SAMPLE_RATE
from valle.errors import UsageError

NOISES = ("white", "pink", "babble")


_WINDOW = 512  # 32 ms: two periods of the lowest voices
_STFT_HOP = _WINDOW // 4
_LIFTER = 36  # cepstral coefficients kept; detail finer than 16000 / 36 Hz is pitch, not formants
_MAX_GAIN = 3.0  # nepers (26 dB): a higher gain would only amplify rounding noise

_SEGMENT = 400  # WSOLA: segments of 25 ms that overlap by half,
_STEP = _SEGMENT // 2
_SEARCH = 120  # each moved by up to 7.5 ms; the whole range is a period of 67 Hz


def tempo(samples: Samples, factor: float) -> Samples:
    """Make speech `factor` times as fast at the same pitch (WSOLA); [N] -> [round(N / factor)].

    Raises:
        UsageError: unless 0.25 <= factor <= 4.
    """
    _check_range("tempo factor", factor, 0.25, 4.0)
    return _stretch(samples, round(len(samples) / factor))


def shift_pitch(samples: Samples, ratio: float) -> Samples:
    """Multiply the pitch by `ratio`; formants, times and length [N] stay the same.

    Raises:
        UsageError: unless 0.4 <= ratio <= 2.5.
    """
    _check_range("pitch ratio", ratio, 0.4, 2.5)
    if ratio == 1.0 or len(samples) < _SEGMENT:
        return samples.copy()
    # Resampling raises everything; stretching restores the length, which leaves pitch and formants
    # raised, and the formants are then moved back.
    faster = soxr.resample(samples, SAMPLE_RATE * ratio, SAMPLE_RATE)
    moved = _transform(_stretch(np.asarray(faster, np.float32), len(samples)))
    moved *= _warp_gain(_envelope(moved), 1.0 / ratio)
    if ratio < 1.0:
        # The shifted spectrum ends below the old band edge. Speech is mostly noise up there, so the
        # original's bins of the same time fill the gap without sounding like another pitch.
        edge = int(0.97 * ratio * moved.shape[1])
        moved[:, edge:] = _transform(samples)[:, edge:]
    return _inverse(moved, len(samples))


def shift_formants(samples: Samples, ratio: float) -> Samples:
    """Multiply the formant frequencies by `ratio`; pitch, times and length [N] stay the same.

    A ratio above 1 is a shorter vocal tract.

    Raises:
        UsageError: unless 0.5 <= ratio <= 2.
    """
    _check_range("formant ratio", ratio, 0.5, 2.0)
    if ratio == 1.0:
        return samples.copy()
    spectrum = _transform(samples)
    spectrum *= _warp_gain(_envelope(spectrum), ratio)
    return _inverse(spectrum, len(samples))


def tilt(samples: Samples, db_per_octave: float) -> Samples:
    """Brighten (above 0) or darken (below 0) the voice around 1 kHz; [N] -> [N]."""
    size = fft.next_fast_len(len(samples) + _WINDOW, real=True)
    frequencies = np.clip(fft.rfftfreq(size, 1 / SAMPLE_RATE), 80.0, None)
    gain = (frequencies / 1000.0) ** (db_per_octave / (20 * np.log10(2)))
    changed = fft.irfft(fft.rfft(samples, size) * gain.astype(np.float32), size)
    return np.asarray(changed[: len(samples)], np.float32)


def band_limit(samples: Samples, low: float, high: float) -> Samples:
    """Keep the band from `low` to `high` hertz (0: no lower edge; 8000: no upper one); [N] -> [N].

    The filter runs forward and backward, so there is no delay.

    Raises:
        UsageError: unless 0 <= low < high <= 8000.
    """
    if not 0 <= low < high <= SAMPLE_RATE / 2:
        raise UsageError(f"no band from {low} to {high} Hz; give 0 <= low < high <= 8000")
    if not len(samples) or (low == 0 and high == SAMPLE_RATE / 2):
        return samples.copy()
    if low == 0:
        sections = signal.butter(4, high, "lowpass", fs=SAMPLE_RATE, output="sos")
    elif high == SAMPLE_RATE / 2:
        sections = signal.butter(4, low, "highpass", fs=SAMPLE_RATE, output="sos")
    else:
        sections = signal.butter(4, (low, high), "bandpass", fs=SAMPLE_RATE, output="sos")
    padding = min(_WINDOW, max(len(samples) - 1, 0))
    return np.asarray(signal.sosfiltfilt(sections, samples, padlen=padding), np.float32)


def room_impulse(rng: np.random.Generator, rt60: float, direct_db: float) -> Samples:
    """Simulate a room's impulse response, starting with the direct sound.

    Early reflections are single taps; later ones merge into decaying noise. High frequencies decay
    faster, as walls and air absorb them more.

    Args:
        rng: of the reflections.
        rt60: reverberation time in seconds, 0.05 to 2.
        direct_db: level of the direct sound over all reflections, -20 to 40 dB.

    Returns:
        [rt60 * 16000] samples.

    Raises:
        UsageError: a value is out of range.
    """
    _check_range("rt60", rt60, 0.05, 2.0)
    _check_range("direct_db", direct_db, -20.0, 40.0)
    length = int(rt60 * SAMPLE_RATE)
    time = np.arange(length) / SAMPLE_RATE
    noise = rng.standard_normal((2, length))
    dull = signal.lfilter([0.15], [1, -0.85], noise[0]) * 4.0
    tail = dull * np.exp(-6.908 * time / rt60) + noise[1] * np.exp(-6.908 * time / (0.5 * rt60))
    tail *= np.clip(time / 0.025, 0.0, 1.0)  # reflections need 25 ms to become dense
    places = rng.integers(int(0.0015 * SAMPLE_RATE), int(0.03 * SAMPLE_RATE), 8)
    signs = rng.choice((-1.0, 1.0), 8)
    for place, sign in zip(places, signs, strict=True):
        tail[place] += sign * 4.0 * np.exp(-6.908 * place / SAMPLE_RATE / rt60)
    tail[0] = 0.0
    tail *= 10 ** (-direct_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def reverberate(samples: Samples, impulse: Samples) -> Samples:
    """Convolve with a room's impulse response, at the same level; [N] -> [N] (the tail is cut)."""
    wet = signal.oaconvolve(samples, impulse)[: len(samples)]
    before, after = _rms(samples), _rms(wet)
    return np.asarray(wet * (before / after if after > 0 else 1.0), np.float32)


def random_reverb(samples: Samples, rng: np.random.Generator) -> Samples:
    """Reverberate in a random room such as people record in; [N] -> [N]."""
    impulse = room_impulse(rng, float(rng.uniform(0.15, 0.6)), float(rng.uniform(-3.0, 9.0)))
    return reverberate(samples, impulse)


def change_speed(samples: Samples, speed: float) -> Samples:
    """Change speed, pitch and formants together by resampling; [N] -> about [N / speed]."""
    return np.asarray(
        soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ"), np.float32
    )


def make_noise(kind: str, speech: Samples, rng: np.random.Generator) -> Samples:
    """Generate noise as long as `speech` [N] at -20 dBFS.

    Args:
        kind: "white", "pink" or "babble". Babble is made of the speech itself: eight copies at
            other times and pitches, half of them reversed, so that no words are left.
        speech: sets the length, and is the material of babble.
        rng: of the noise.

    Raises:
        UsageError: there is no such kind.
    """
    size = len(speech)
    if kind == "white":
        samples = rng.standard_normal(size)
    elif kind == "pink":
        padded = fft.next_fast_len(max(size, 2), real=True)
        shape = 1 / np.sqrt(np.arange(1, padded // 2 + 2))
        samples = fft.irfft(fft.rfft(rng.standard_normal(padded)) * shape, padded)[:size]
    elif kind == "babble":
        samples = np.zeros(size)
        for talker in range(8):
            ratio = rng.uniform(0.8, 1.25)
            voice = np.resize(soxr.resample(speech, SAMPLE_RATE * ratio, SAMPLE_RATE), size)
            voice = np.roll(voice, int(rng.integers(max(size, 1))))
            samples += voice[::-1] if talker % 2 else voice
    else:
        raise UsageError(f"there is no noise called {kind!r}; choose one of {', '.join(NOISES)}")
    rms = _rms(samples)
    return np.asarray(samples * (0.1 / rms if rms > 0 else 0.0), np.float32)


def add_noise(samples: Samples, noise: Samples, snr_db: float) -> Samples:
    """Add `noise` [N] to `samples` [N] at a signal-to-noise ratio that ignores speech pauses."""
    rms = _rms(noise)
    if rms == 0:
        return samples.copy()
    scale = active_level(samples) * 10 ** (-snr_db / 20) / rms
    return np.asarray(samples + scale * noise, np.float32)


def normalize_level(samples: Samples, dbfs: float) -> Samples:
    """Scale speech to `dbfs` (active rms level), or less where peaks would exceed 0.99."""
    active = active_level(samples)
    if active == 0:
        return samples.copy()
    gain = 10 ** (dbfs / 20) / active
    return np.asarray(samples * min(gain, 0.99 / float(np.abs(samples).max())), np.float32)


def active_level(samples: Samples) -> float:
    """Rms of the 20 ms frames that are within 35 dB of the loudest; 0 for silence."""
    if not len(samples):
        return 0.0
    frames = np.pad(samples, (0, -len(samples) % HOP)).reshape(-1, HOP)
    powers = np.mean(np.square(frames, dtype=np.float64), axis=1)
    active = powers[powers >= powers.max() * 10**-3.5]
    return float(np.sqrt(active.mean()))


def _rms(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{what} {value} is out of range; give one from {low} to {high}")


def _stretch(samples: Samples, length: int) -> Samples:
    """Stretch to `length` samples by WSOLA (Verhelst and Roelands 1993).

    Segments come from evenly spaced positions; each is moved to where it best continues the one
    before.
    """
    if length == len(samples) or len(samples) < _SEGMENT:
        keep = min(length, len(samples))
        return np.pad(samples[:keep], (0, length - keep)).astype(np.float32)
    factor = len(samples) / length
    count = length // _STEP + 2
    front = _STEP + _SEARCH  # so that the first segment can be centered on the first sample
    back = _SEGMENT * 2 + _SEARCH + int(_STEP * factor) + 1
    padded = np.pad(samples, (front, back))
    window = np.hanning(_SEGMENT + 1)[:_SEGMENT].astype(np.float32)
    energy = np.concatenate([[0.0], np.cumsum(np.square(padded, dtype=np.float64))])
    out = np.zeros((count + 1) * _STEP, np.float32)
    place = front - _STEP
    for index in range(count):
        target = round(index * _STEP * factor) + front - _STEP
        if index:
            # The natural continuation of the last segment, which this one replaces.
            follows = padded[place + _STEP : place + _STEP + _SEGMENT]
            first = target - _SEARCH
            candidates = padded[first : target + _SEARCH + _SEGMENT]
            similarity = np.correlate(candidates, follows, "valid")
            powers = energy[first + _SEGMENT : first + _SEGMENT + len(similarity)]
            powers = powers - energy[first : first + len(similarity)]
            place = first + int(np.argmax(similarity / np.sqrt(powers + 1e-6)))
        out[index * _STEP : index * _STEP + _SEGMENT] += window * padded[place : place + _SEGMENT]
    return out[_STEP : _STEP + length]


def _window() -> Samples:
    return np.sqrt(np.hanning(_WINDOW + 1)[:_WINDOW]).astype(np.float32)


def _transform(samples: Samples) -> NDArray[np.complex64]:
    """Short-time spectra [frames, 257]; `_inverse` undoes it."""
    overlap = _WINDOW - _STFT_HOP
    padded = np.pad(samples, (overlap, overlap + -len(samples) % _STFT_HOP)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_STFT_HOP]
    return np.asarray(fft.rfft(frames * _window(), axis=1))


def _inverse(spectrum: NDArray[np.complex64], length: int) -> Samples:
    """Samples [length] of short-time spectra, by overlap-add."""
    parts = fft.irfft(spectrum, _WINDOW, axis=1) * _window()
    frames = len(parts)
    out = np.zeros((frames + 3, _STFT_HOP), np.float32)
    for quarter in range(4):
        out[quarter : quarter + frames] += parts[:, quarter * _STFT_HOP : (quarter + 1) * _STFT_HOP]
    # The squared windows of four overlapping frames add up to 2.
    return out.reshape(-1)[_WINDOW - _STFT_HOP :][:length] / np.float32(2.0)


def _envelope(spectrum: NDArray[np.complex64]) -> Samples:
    """Log amplitude of the spectral envelope [frames, 257], from the low part of the cepstrum."""
    amplitude = np.abs(spectrum)
    cepstrum = fft.irfft(np.log(amplitude + 1e-5), _WINDOW, axis=1)
    lifter = np.zeros(_WINDOW, np.float32)
    taper = 0.5 + 0.5 * np.cos(np.pi * np.arange(_LIFTER) / _LIFTER)
    lifter[:_LIFTER] = np.minimum(1.0, 2.0 * taper)
    lifter[-_LIFTER + 1 :] = lifter[_LIFTER - 1 : 0 : -1]
    return np.asarray(fft.rfft(cepstrum * lifter, axis=1).real, np.float32)


def _warp_gain(envelope: Samples, ratio: float) -> Samples:
    """Factors [frames, 257] that scale an envelope along the frequency axis by `ratio`."""
    bins = envelope.shape[1]
    source = np.minimum(np.arange(bins) / ratio, bins - 1)
    below = np.minimum(source.astype(np.int64), bins - 2)
    share = (source - below).astype(np.float32)
    warped = envelope[:, below] * (1 - share) + envelope[:, below + 1] * share
    gain = np.clip(warped - envelope, -_MAX_GAIN, _MAX_GAIN)
    return np.asarray(np.exp(gain), np.float32)
