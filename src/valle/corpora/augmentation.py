"""Changes to a recording's voice and channel: more speakers and rooms out of few.

Every function takes and returns mono float32 samples at 16 kHz and changes nothing in place. All
but `tempo` keep the length and every moment's place, so phoneme times stay true; `tempo` divides
them by its factor. What is random comes from the generator that is handed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy import fft, signal

from valle.arrays import Samples
from valle.errors import UsageError

SAMPLE_RATE = 16_000
NOISES = ("white", "pink", "babble")


_WINDOW = 512  # 32 ms: two periods of the lowest voices
_HOP = _WINDOW // 4
_LIFTER = 36  # cepstral coefficients kept: finer detail than 16000 / 36 Hz is pitch, not formants
_LARGEST_GAIN = 3.0  # nepers (26 dB): beyond it only rounding noise would be raised

_PIECE = 400  # WSOLA: pieces of 25 ms, overlapping by half,
_STEP = _PIECE // 2
_SEARCH = 120  # each moved by up to 7.5 ms to fit: the whole range is a period of 67 Hz


def tempo(samples: Samples, factor: float) -> Samples:
    """Speak `factor` times as fast at the same pitch (WSOLA); [N] -> [round(N / factor)].

    UsageError unless 0.25 <= factor <= 4.
    """
    _check("tempo factor", factor, 0.25, 4.0)
    return _stretch(samples, round(len(samples) / factor))


def shift_pitch(samples: Samples, ratio: float) -> Samples:
    """Multiply the pitch by `ratio`; formants, times and length [N] stay.

    UsageError unless 0.4 <= ratio <= 2.5.
    """
    _check("pitch ratio", ratio, 0.4, 2.5)
    if ratio == 1.0 or len(samples) < _PIECE:
        return samples.copy()
    # Played faster, all is higher; brought back to its length, only pitch and formants are.
    faster = soxr.resample(samples, SAMPLE_RATE * ratio, SAMPLE_RATE)
    moved = _transform(_stretch(np.asarray(faster, np.float32), len(samples)))
    moved *= _warp_gain(_envelope(moved), 1.0 / ratio)
    if ratio < 1.0:
        # Nothing is left above the old band's new edge. It is mostly noise there, so the
        # original's own bins of the same moment fill it without being heard as another pitch.
        edge = int(0.97 * ratio * moved.shape[1])
        moved[:, edge:] = _transform(samples)[:, edge:]
    return _inverse(moved, len(samples))


def shift_formants(samples: Samples, ratio: float) -> Samples:
    """Multiply the formants' frequencies by `ratio`; pitch, times and length [N] stay.

    A ratio above 1 is a shorter vocal tract. UsageError unless 0.5 <= ratio <= 2.
    """
    _check("formant ratio", ratio, 0.5, 2.0)
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

    The filter runs forwards and backwards, so nothing is delayed. UsageError unless low < high.
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
    """A made room's impulse response, its direct sound first.

    rt60: seconds until the sound has fallen by 60 dB, 0.05 to 2. direct_db: level of the direct
    sound over all reflections, -20 to 40. The first reflections are single ones, then they melt
    into noise; high frequencies die sooner, as walls and air have it.
    """
    _check("rt60", rt60, 0.05, 2.0)
    _check("direct_db", direct_db, -20.0, 40.0)
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


def room(samples: Samples, impulse: Samples) -> Samples:
    """The recording as heard in a room, at the same level; [N] -> [N] (the last echo is cut)."""
    wet = signal.oaconvolve(samples, impulse)[: len(samples)]
    before, after = _rms(samples), _rms(wet)
    return np.asarray(wet * (before / after if after > 0 else 1.0), np.float32)


def some_room(samples: Samples, rng: np.random.Generator) -> Samples:
    """The recording as heard in a room such as people record in, drawn by chance; [N] -> [N]."""
    impulse = room_impulse(rng, float(rng.uniform(0.15, 0.6)), float(rng.uniform(-3.0, 9.0)))
    return room(samples, impulse)


def played(samples: Samples, speed: float) -> Samples:
    """The samples at another speed, pitch and formants with it; [N] -> about [N / speed]."""
    return np.asarray(
        soxr.resample(samples, SAMPLE_RATE * speed, SAMPLE_RATE, quality="MQ"), np.float32
    )


def noise(kind: str, speech: Samples, rng: np.random.Generator) -> Samples:
    """Noise as long as `speech` [N], at the level -20 dBFS: "white", "pink" or "babble".

    Babble is made of the speech itself: eight of its copies at other places and other pitches,
    half of them backwards, so that it is voices without words.
    """
    size = len(speech)
    if kind == "white":
        made = rng.standard_normal(size)
    elif kind == "pink":
        padded = fft.next_fast_len(max(size, 2), real=True)
        shape = 1 / np.sqrt(np.arange(1, padded // 2 + 2))
        made = fft.irfft(fft.rfft(rng.standard_normal(padded)) * shape, padded)[:size]
    elif kind == "babble":
        made = np.zeros(size)
        for talker in range(8):
            ratio = rng.uniform(0.8, 1.25)
            voice = np.resize(soxr.resample(speech, SAMPLE_RATE * ratio, SAMPLE_RATE), size)
            voice = np.roll(voice, int(rng.integers(max(size, 1))))
            made += voice[::-1] if talker % 2 else voice
    else:
        raise UsageError(f"there is no noise {kind!r}; choose one of {', '.join(NOISES)}")
    loudness = _rms(made)
    return np.asarray(made * (0.1 / loudness if loudness > 0 else 0.0), np.float32)


def add_noise(samples: Samples, added: Samples, snr_db: float) -> Samples:
    """Mix `added` [N] to `samples` [N] so that speech is `snr_db` over it while it speaks."""
    loudness = _rms(added)
    if loudness == 0:
        return samples.copy()
    scale = active_level(samples) * 10 ** (-snr_db / 20) / loudness
    return np.asarray(samples + scale * added, np.float32)


def level(samples: Samples, dbfs: float) -> Samples:
    """Bring the speech to `dbfs` (rms while it speaks), or less where peaks would pass 0.99."""
    loudness = active_level(samples)
    if loudness == 0:
        return samples.copy()
    gain = 10 ** (dbfs / 20) / loudness
    return np.asarray(samples * min(gain, 0.99 / float(np.abs(samples).max())), np.float32)


def active_level(samples: Samples) -> float:
    """Rms of speech without its pauses (20 ms pieces within 35 dB of the loudest); 0 if none."""
    if not len(samples):
        return 0.0
    pieces = np.pad(samples, (0, -len(samples) % 320)).reshape(-1, 320)
    powers = np.mean(np.square(pieces, dtype=np.float64), axis=1)
    active = powers[powers >= powers.max() * 10**-3.5]
    return float(np.sqrt(active.mean()))


def _rms(samples: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def _check(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UsageError(f"{what} {value} is out of range; give one from {low} to {high}")


def _stretch(samples: Samples, length: int) -> Samples:
    """WSOLA: pieces from evenly spread places, each moved to where it continues the one before."""
    if length == len(samples) or len(samples) < _PIECE:
        keep = min(length, len(samples))
        return np.pad(samples[:keep], (0, length - keep)).astype(np.float32)
    factor = len(samples) / length
    count = length // _STEP + 2
    front = _STEP + _SEARCH  # so that the first piece's middle can be the first sample
    back = _PIECE * 2 + _SEARCH + int(_STEP * factor) + 1
    padded = np.pad(samples, (front, back))
    window = np.hanning(_PIECE + 1)[:_PIECE].astype(np.float32)
    energy = np.concatenate([[0.0], np.cumsum(np.square(padded, dtype=np.float64))])
    out = np.zeros((count + 1) * _STEP, np.float32)
    place = front - _STEP
    for index in range(count):
        target = round(index * _STEP * factor) + front - _STEP
        if index:
            # What would follow the last piece, had nothing been moved, is what this one replaces.
            follows = padded[place + _STEP : place + _STEP + _PIECE]
            first = target - _SEARCH
            options = padded[first : target + _SEARCH + _PIECE]
            likeness = np.correlate(options, follows, "valid")
            powers = energy[first + _PIECE : first + _PIECE + len(likeness)]
            powers = powers - energy[first : first + len(likeness)]
            place = first + int(np.argmax(likeness / np.sqrt(powers + 1e-6)))
        out[index * _STEP : index * _STEP + _PIECE] += window * padded[place : place + _PIECE]
    return out[_STEP : _STEP + length]


def _window() -> Samples:
    return np.sqrt(np.hanning(_WINDOW + 1)[:_WINDOW]).astype(np.float32)


def _transform(samples: Samples) -> NDArray[np.complex64]:
    """Short-time spectra [frames, 257]; `_inverse` gives the samples back."""
    ends = _WINDOW - _HOP
    padded = np.pad(samples, (ends, ends + -len(samples) % _HOP)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]
    return np.asarray(fft.rfft(frames * _window(), axis=1))


def _inverse(spectrum: NDArray[np.complex64], length: int) -> Samples:
    parts = fft.irfft(spectrum, _WINDOW, axis=1) * _window()
    frames = len(parts)
    out = np.zeros((frames + 3, _HOP), np.float32)
    for quarter in range(4):
        out[quarter : quarter + frames] += parts[:, quarter * _HOP : (quarter + 1) * _HOP]
    # The squared windows of four overlapping frames add up to 2.
    return out.reshape(-1)[_WINDOW - _HOP :][:length] / np.float32(2.0)


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
    """What moves an envelope along the frequency axis by `ratio`, as factors [frames, 257]."""
    bins = envelope.shape[1]
    source = np.minimum(np.arange(bins) / ratio, bins - 1)
    below = np.minimum(source.astype(np.int64), bins - 2)
    share = (source - below).astype(np.float32)
    warped = envelope[:, below] * (1 - share) + envelope[:, below + 1] * share
    gain = np.clip(warped - envelope, -_LARGEST_GAIN, _LARGEST_GAIN)
    return np.asarray(np.exp(gain), np.float32)
