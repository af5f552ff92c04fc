"""Copy synthesis: recordings through vocoders, so that a detector hears many kinds of synthesis.

Each vocoder reduces a recording to a few parameters and generates it again. What it says and how it
is said stay a person's; the traces of generation are those that synthesis from text leaves. A
detector that learns from one vocoder recognizes that one, so there are several, and more by codecs.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from valle.arrays import Samples
from valle.audio import pitch
from valle.audio.mel import mel_filters
from valle.audio_format import SAMPLE_RATE
from valle.corpora.griffin_lim import griffin_lim

_HOP = 80  # samples: 5 ms
_LPC_WINDOW, _LPC_ORDER = 400, 18
_STFT_WINDOW, _STFT_HOP = 512, 128
_FLOOR = 1e-6
_MIN_MELS, _MAX_MELS = 40, 100

Vocoder = Callable[[Samples, np.random.Generator], Samples]


def linear_prediction(samples: Samples, rng: np.random.Generator) -> Samples:
    """Resynthesize [N] at 16 kHz by linear prediction, excited by pulses and noise.

    Source: Atal and Hanauer 1971, "Speech analysis and synthesis by linear prediction of the speech
    wave". Voiced frames mix pulses and noise, as mixed excitation does.
    """
    frames = _frames(samples, _LPC_WINDOW)
    excitation = _excite(_track_pitch(samples), len(samples), rng)
    output = np.zeros(len(samples) + _LPC_WINDOW)
    window = np.hanning(2 * _HOP + 1)[:-1]
    state = np.zeros(_LPC_ORDER)
    for index, frame in enumerate(frames * np.hanning(_LPC_WINDOW)):
        coefficients, gain = _solve_prediction(frame)
        start = index * _HOP
        part = excitation[start : start + 2 * _HOP]
        shaped, _ = signal.lfilter([gain], coefficients, part, zi=state)
        output[start : start + len(shaped)] += shaped * window[: len(shaped)]
    return _match_level(output[: len(samples)], samples)


def minimum_phase(samples: Samples, rng: np.random.Generator) -> Samples:
    """Resynthesize [N] at 16 kHz from a mel envelope of minimum phase, pulses and noise.

    The envelope has 40 to 100 mel bands, as acoustic models of TTS predict them.
    """
    bands = int(rng.integers(_MIN_MELS, _MAX_MELS + 1))
    filters = mel_filters(_STFT_WINDOW // 2 + 1, bands, SAMPLE_RATE).T
    frames = _frames(samples, _STFT_WINDOW) * np.hanning(_STFT_WINDOW)
    power = np.square(np.abs(np.fft.rfft(frames)))
    smooth = np.maximum(np.maximum(power @ filters.T, 0.0) @ np.linalg.pinv(filters).T, _FLOOR)
    cepstrum = np.fft.irfft(np.log(smooth) / 2)
    cepstrum[:, 1 : _STFT_WINDOW // 2] *= 2
    cepstrum[:, _STFT_WINDOW // 2 + 1 :] = 0
    responses = np.fft.irfft(np.exp(np.fft.rfft(cepstrum)))[:, : _STFT_WINDOW // 2]
    excitation = _excite(_track_pitch(samples), len(samples), rng)
    output = np.zeros(len(samples) + 2 * _STFT_WINDOW)
    window = np.hanning(2 * _HOP + 1)[:-1]
    for index, response in enumerate(responses):
        start = index * _HOP
        part = excitation[start : start + 2 * _HOP]
        shaped = np.convolve(part * window[: len(part)], response)
        output[start : start + len(shaped)] += shaped
    return _match_level(output[: len(samples)], samples)


def phase_noise(samples: Samples, rng: np.random.Generator) -> Samples:
    """Resynthesize [N] at 16 kHz with phases that drift from the recording's.

    Neural vocoders get magnitudes nearly right and phases only roughly. The higher the frequency,
    the more the phases here differ.
    """
    spectrum = signal.stft(samples, nperseg=_STFT_WINDOW, noverlap=_STFT_WINDOW - _STFT_HOP)[2]
    bins, frames = spectrum.shape
    amount = rng.uniform(0.3, 1.5) * np.linspace(0.1, 1.0, bins)[:, None]
    drift = np.cumsum(rng.standard_normal((bins, frames)) * 0.5, axis=1)
    jitter = rng.standard_normal((bins, frames)) + drift - drift.mean(axis=1, keepdims=True)
    turned = spectrum * np.exp(1j * amount * jitter)
    output = signal.istft(turned, nperseg=_STFT_WINDOW, noverlap=_STFT_WINDOW - _STFT_HOP)[1]
    return _match_level(np.resize(output, len(samples)), samples)


def world(samples: Samples, rng: np.random.Generator) -> Samples:
    """Resynthesize [N] at 16 kHz by WORLD, at a pitch up to 3 % off.

    Source: Morise, Yokomori and Ozawa 2016, "WORLD: a vocoder-based high-quality speech synthesis
    system for real-time applications".
    """
    import pyworld

    exact = samples.astype(np.float64)
    f0, times = pyworld.dio(exact, SAMPLE_RATE)
    f0 = pyworld.stonemask(exact, f0, times, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(exact, f0, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(exact, f0, times, SAMPLE_RATE)
    shifted = f0 * rng.uniform(0.97, 1.03)
    output = pyworld.synthesize(shifted, envelope, aperiodicity, SAMPLE_RATE)
    return _match_level(np.resize(output, len(samples)), samples)


def available_vocoders() -> dict[str, Vocoder]:
    """Return the vocoders by name; `world` only where the package pyworld is installed."""
    vocoders: dict[str, Vocoder] = {
        "griffin-lim": griffin_lim,
        "linear-prediction": linear_prediction,
        "minimum-phase": minimum_phase,
        "phase-noise": phase_noise,
    }
    try:
        import pyworld  # noqa: F401
    except ImportError:
        return vocoders
    return vocoders | {"world": world}


def _frames(samples: Samples, width: int) -> NDArray[np.float64]:
    """Cut windows [frames, width], 5 ms apart, each centered on its frame."""
    padded = np.pad(samples.astype(np.float64), (width // 2, width))
    return np.lib.stride_tricks.sliding_window_view(padded, width)[: len(samples) : _HOP]


def _track_pitch(samples: Samples) -> NDArray[np.float64]:
    """Track the pitch every 5 ms: [frames] Hz, 0 where a frame is unvoiced."""
    windows = pitch.extract_windows(samples, SAMPLE_RATE, _HOP)
    centered = windows - windows.mean(axis=1, keepdims=True)
    size = pitch.fft_size(windows.shape[1])
    spectra = np.fft.rfft(centered * np.hanning(windows.shape[1]), size)
    power = np.square(np.abs(spectra)).astype(np.float32)
    return np.nan_to_num(pitch.track_pitch(windows, power, SAMPLE_RATE, _HOP)).astype(np.float64)


def _excite(f0: NDArray[np.float64], length: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return pulses at a pitch [frames] Hz, mixed with noise, of unit power: [length]."""
    hertz = np.repeat(f0 * rng.uniform(0.97, 1.03), _HOP)[:length]
    hertz = np.pad(hertz, (0, length - len(hertz)))
    turns = np.cumsum(hertz) / SAMPLE_RATE
    pulses = np.diff(np.floor(turns), prepend=0.0) > 0
    share = rng.uniform(0.02, 0.25)  # of noise in voiced frames
    noise = rng.standard_normal(length)
    voiced = np.sqrt(SAMPLE_RATE / np.maximum(hertz, 50.0)) * pulses * np.sqrt(1 - share)
    return np.asarray(np.where(hertz > 0, voiced + np.sqrt(share) * noise, noise))


def _solve_prediction(frame: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return the coefficients of the predictor [order + 1] and the gain of its excitation."""
    from scipy.linalg import solve_toeplitz

    correlation = np.correlate(frame, frame, "full")[len(frame) - 1 :][: _LPC_ORDER + 1]
    correlation[0] = correlation[0] * 1.0001 + 1e-9
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    error = max(0.0, float(correlation[0] - predictor @ correlation[1:]))
    return np.concatenate([[1.0], -predictor]), float(np.sqrt(error / len(frame)))


def _match_level(output: NDArray[np.float64], samples: Samples) -> Samples:
    """Scale to the level of `samples`, and keep within [-1, 1]."""
    level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
    own = np.sqrt(np.mean(np.square(output)))
    scaled = output * (level / own if own > 0 else 0.0)
    return np.clip(scaled, -1.0, 1.0).astype(np.float32)
