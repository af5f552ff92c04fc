"""How high a voice is, frame by frame: the fundamental frequency, by autocorrelation.

After Boersma, "Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise
ratio of a sampled sound", Proc. IFA 17 (1993): the autocorrelation of a windowed frame divided by
that of the window, a few candidates a frame with a small cost for low ones, and the path through
them that costs the least (section 3 there; costs and thresholds are that paper's).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Floats

LOWEST, HIGHEST = 60.0, 500.0  # Hz
_PERIODS = 3.0  # of the lowest pitch in a window
_CANDIDATES = 8  # peaks of a frame, beside "unvoiced": those of 500 Hz all have a place
_VOICING = 0.45  # autocorrelation below which a frame is rather unvoiced
_PASS = 1500.0  # Hz; higher harmonics weigh less
_SILENCE = 0.03  # peak under this share of the recording's is silence
_OCTAVE = 0.01  # a peak must be this much higher to be taken an octave lower
_JUMP = 0.35  # a frame, for each octave
_TURN = 0.14  # from voiced to unvoiced and back
# Both costs of change are for frames of 10 ms.
_COST_SECONDS = 0.01


def windows(samples: NDArray[np.floating], sample_rate: int, hop: int) -> Floats:
    """Windows of 50 ms (three periods of the lowest pitch), one around the middle of each frame.

    samples [N] -> [ceil(N / hop), width] float32, not weighted; silence beyond both ends.
    """
    width = round(_PERIODS * sample_rate / LOWEST)
    frames = -(-len(samples) // hop)
    before = (width - hop) // 2
    padded = np.zeros((frames - 1) * hop + width if frames else 0, np.float32)
    kept = samples[: len(padded) - before]
    padded[before : before + len(kept)] = kept
    if not frames:
        return np.zeros((0, width), np.float32)
    return np.lib.stride_tricks.sliding_window_view(padded, width)[::hop]


def transform_size(width: int) -> int:
    """Samples of the Fourier transform of a window of `width`: no lag that matters wraps around."""
    return 1 << int(np.ceil(np.log2(1.5 * width)))


def track(frames: Floats, power: Floats, sample_rate: int, hop: int) -> Floats:
    """Pitch of each frame in Hz, [frames]; NaN where it is unvoiced.

    Args:
        frames: [frames, width] from `windows`.
        power: [frames, bins] power spectra of the same, less their means, through a Hann window,
            with `transform_size(width)` samples.
        sample_rate: Hz.
        hop: samples from frame to frame.
    """
    count, width = frames.shape
    if not count:
        return np.zeros(0, np.float32)
    size = transform_size(width)
    window = np.hanning(width)
    own = np.fft.irfft(np.abs(np.fft.rfft(window, size)) ** 2)
    shortest, longest = int(sample_rate / HIGHEST), int(np.ceil(sample_rate / LOWEST))
    lags = np.arange(shortest - 1, longest + 2)
    # Without the high harmonics a peak is wide enough for a parabola to find its true height.
    frequencies = np.fft.rfftfreq(size, 1.0 / sample_rate)
    correlation = np.fft.irfft(power / (1.0 + (frequencies / _PASS) ** 4), axis=1)
    energy = correlation[:, :1]
    scaled = correlation[:, lags] / np.maximum(energy, 1e-12) * (own[0] / own[lags])
    level = np.abs(frames).max(axis=1)
    loudness = level / max(float(level.max()), 1e-6)
    lag, height = _peaks(scaled, lags)
    hertz = sample_rate / lag
    strength = height - _OCTAVE * np.log2(LOWEST * lag / sample_rate)
    strength[height <= 0] = -np.inf
    quiet = np.maximum(0.0, 2.0 - loudness / _SILENCE * (1.0 + _VOICING))
    return _best_path(hertz, strength, _VOICING + quiet, hop / sample_rate)


def _peaks(
    scaled: NDArray[np.floating], lags: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lag (by a parabola through three points) and height of the highest peaks of each row.

    Both [frames, _CANDIDATES]; a height of 0 where a row has fewer.
    """
    middle, left, right = scaled[:, 1:-1], scaled[:, :-2], scaled[:, 2:]
    peak = np.where((middle > left) & (middle >= right), middle, 0.0)
    best = np.argpartition(peak, -_CANDIDATES, axis=1)[:, -_CANDIDATES:]
    rows = np.arange(len(scaled))[:, None]
    before, at, after = left[rows, best], middle[rows, best], right[rows, best]
    bend = 2.0 * at - before - after
    shift = np.where(bend > 1e-9, (after - before) / np.maximum(2.0 * bend, 1e-9), 0.0)
    # At the lag of the highest frequencies a peak may be cut off; a height above 1 is no better.
    height = np.where(peak[rows, best] > 0, np.minimum(at + 0.25 * (after - before) * shift, 1), 0)
    return lags[1:-1][best] + shift.clip(-0.5, 0.5), height.astype(np.float64)


def _best_path(
    hertz: NDArray[np.float64],
    strength: NDArray[np.float64],
    unvoiced: NDArray[np.float64],
    step: float,
) -> Floats:
    """The path through candidates (and "unvoiced") with the most strength less its changes.

    hertz, strength [frames, candidates], unvoiced [frames], step in seconds -> [frames] in Hz.
    """
    rate = _COST_SECONDS / step
    octaves = np.log2(hertz)
    count, kinds = len(hertz), hertz.shape[1] + 1
    back = np.zeros((count, kinds), np.int64)
    gains = np.concatenate([unvoiced[:, None], strength], axis=1)
    score = gains[0]
    cost = np.full((kinds, kinds), rate * _TURN)
    cost[0, 0] = 0.0
    every = np.arange(kinds)
    for t in range(1, count):
        np.abs(octaves[t - 1][:, None] - octaves[t], out=cost[1:, 1:])
        cost[1:, 1:] *= rate * _JUMP
        total = score[:, None] - cost
        back[t] = total.argmax(axis=0)
        score = total[back[t], every] + gains[t]
    found = np.full(count, np.nan, np.float32)
    at = int(score.argmax())
    for t in range(count - 1, -1, -1):
        if at:
            found[t] = hertz[t, at - 1]
        at = int(back[t, at])
    return found
