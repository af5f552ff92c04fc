"""The pitch of a voice, frame by frame: its fundamental frequency, by autocorrelation.

After Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", Proc. IFA 17 (1993): the autocorrelation of a windowed frame divided by
that of the window, a few candidates per frame with a small cost for low ones, and the path through
them that costs the least (section 3 there; costs and thresholds are from that paper).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valle.arrays import AnyFloats, Floats

MIN_PITCH, MAX_PITCH = 60.0, 500.0  # Hz
_PERIODS = 3.0  # of the lowest pitch in a window
_CANDIDATES = 8  # peaks per frame besides "unvoiced"; a pitch of 500 Hz has 8 in the range of lags
_VOICING_THRESHOLD = 0.45  # autocorrelation below which a frame is rather unvoiced
_LOW_PASS = 1500.0  # Hz; higher harmonics weigh less
_SILENCE_THRESHOLD = 0.03  # a peak below this share of the recording's peak is silence
_OCTAVE_COST = 0.01  # how much higher a peak must be to be taken an octave lower
_OCTAVE_JUMP_COST = 0.35  # per octave and frame
_VOICING_CHANGE_COST = 0.14  # from voiced to unvoiced and back
_COST_SECONDS = 0.01  # both costs of change are for frames of this length


def extract_windows(samples: AnyFloats, sample_rate: int, hop: int) -> Floats:
    """Cut windows of 50 ms (three periods of the lowest pitch), one centered on each frame.

    Args:
        samples: [N]; silence is assumed beyond both ends.
        sample_rate: In Hz.
        hop: Samples from frame to frame.

    Returns:
        [ceil(N / hop), width], without a window function.
    """
    width = round(_PERIODS * sample_rate / MIN_PITCH)
    frames = -(-len(samples) // hop)
    if not frames:
        return np.zeros((0, width), np.float32)
    before = (width - hop) // 2
    padded = np.zeros((frames - 1) * hop + width, np.float32)
    inside = samples[: len(padded) - before]
    padded[before : before + len(inside)] = inside
    return np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]


def fft_size(width: int) -> int:
    """Return the size of the Fourier transform of a window: no lag that matters wraps around."""
    return 1 << int(np.ceil(np.log2(1.5 * width)))


def track_pitch(windows: Floats, power: Floats, sample_rate: int, hop: int) -> Floats:
    """Track the pitch of a recording.

    Args:
        windows: [frames, width] from `extract_windows`.
        power: [frames, bins] power spectra of the windows, less their means, through a Hann
            window, with transforms of `fft_size(width)` samples.
        sample_rate: In Hz.
        hop: Samples from frame to frame.

    Returns:
        [frames] pitch in Hz, NaN where a frame is unvoiced.
    """
    frames, width = windows.shape
    if not frames:
        return np.zeros(0, np.float32)
    size = fft_size(width)
    of_window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(width), size)) ** 2)
    shortest, longest = int(sample_rate / MAX_PITCH), int(np.ceil(sample_rate / MIN_PITCH))
    lags = np.arange(shortest - 1, longest + 2)
    # Without the high harmonics a peak is wide enough for a parabola to find its true height.
    frequencies = np.fft.rfftfreq(size, 1.0 / sample_rate)
    autocorrelation = np.fft.irfft(power / (1.0 + (frequencies / _LOW_PASS) ** 4), axis=1)
    energy = autocorrelation[:, :1]
    normalized = autocorrelation[:, lags] / np.maximum(energy, 1e-12)
    normalized = normalized * (of_window[0] / of_window[lags])
    peak = np.abs(windows).max(axis=1)
    loudness = peak / max(float(peak.max()), 1e-6)
    lag, height = _find_peaks(normalized, lags)
    strength = height - _OCTAVE_COST * np.log2(MIN_PITCH * lag / sample_rate)
    strength[height <= 0] = -np.inf
    quiet = np.maximum(0.0, 2.0 - loudness / _SILENCE_THRESHOLD * (1.0 + _VOICING_THRESHOLD))
    unvoiced = _VOICING_THRESHOLD + quiet
    return _find_best_path(sample_rate / lag, strength, unvoiced, hop / sample_rate)


def _find_peaks(
    autocorrelation: AnyFloats, lags: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return lag (by a parabola through three points) and height of the highest peaks of each row.

    Both are [frames, _CANDIDATES]; a height of 0 where a row has fewer peaks.
    """
    center, left, right = (
        autocorrelation[:, 1:-1],
        autocorrelation[:, :-2],
        autocorrelation[:, 2:],
    )
    peak = np.where((center > left) & (center >= right), center, 0.0)
    best = np.argpartition(peak, -_CANDIDATES, axis=1)[:, -_CANDIDATES:]
    rows = np.arange(len(autocorrelation))[:, None]
    before, at, after = left[rows, best], center[rows, best], right[rows, best]
    curvature = 2.0 * at - before - after
    slope = after - before
    shift = np.where(curvature > 1e-9, slope / np.maximum(2.0 * curvature, 1e-9), 0.0)
    # At the lag of the highest frequencies a peak may be cut off; a height above 1 is not better.
    height = np.where(peak[rows, best] > 0, np.minimum(at + 0.25 * slope * shift, 1), 0)
    return lags[1:-1][best] + shift.clip(-0.5, 0.5), height.astype(np.float64)


def _find_best_path(
    pitch: NDArray[np.float64],
    strength: NDArray[np.float64],
    unvoiced: NDArray[np.float64],
    frame_seconds: float,
) -> Floats:
    """Find the path with the greatest strength less the costs of its changes (Viterbi).

    Args:
        pitch: [frames, candidates] in Hz.
        strength: [frames, candidates] of each candidate.
        unvoiced: [frames] strength of "unvoiced".
        frame_seconds: From frame to frame.

    Returns:
        [frames] pitch in Hz, NaN where the path is unvoiced.
    """
    rate = _COST_SECONDS / frame_seconds
    octaves = np.log2(pitch)
    frames, states = len(pitch), pitch.shape[1] + 1
    backpointers = np.zeros((frames, states), np.int64)
    gains = np.concatenate([unvoiced[:, None], strength], axis=1)
    score = gains[0]
    cost = np.full((states, states), rate * _VOICING_CHANGE_COST)
    cost[0, 0] = 0.0
    every_state = np.arange(states)
    for t in range(1, frames):
        np.abs(octaves[t - 1][:, None] - octaves[t], out=cost[1:, 1:])
        cost[1:, 1:] *= rate * _OCTAVE_JUMP_COST
        total = score[:, None] - cost
        backpointers[t] = total.argmax(axis=0)
        score = total[backpointers[t], every_state] + gains[t]
    path = np.full(frames, np.nan, np.float32)
    state = int(score.argmax())
    for t in range(frames - 1, -1, -1):
        if state:
            path[t] = pitch[t, state - 1]
        state = int(backpointers[t, state])
    return path
