"""Controls of the detector's evaluation: how far the channel alone gives synthetic speech away.

Linear classifiers see only the long-term spectrum, the part above 5 kHz, or the pauses. They are
trained on half of the speakers and tested on the other half, both ways. A detector that is much
better than they are uses more than the channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from valle.arrays import Samples
from valle.corpora import augmentation
from valle.evaluation.metrics.statistics import bootstrap_equal_error_rate
from valle.evaluation.protocols.detector import RECORDED, TRANSMITTED, Result, Segment, channels
from valle.evaluation.report import Figure

# Both sides are coded or noisy too, since recordings were coded before, and that may show.
_CHANNELS = ("nothing", "MP3", "Opus", "noise 20 dB")
_RIDGE = 1.0
_COMPONENTS = 24  # principal components, at most

Matrix = NDArray[np.float64]


def measure_controls(segments: Sequence[Segment]) -> list[Result]:
    """Equal error rates of the control classifiers on recordings against the model's speech."""
    chosen = [segment for segment in segments if segment.row in TRANSMITTED]
    names = sorted({segment.speaker for segment in chosen})
    half = np.array([names.index(segment.speaker) % 2 for segment in chosen])
    synthetic = np.array([segment.row != RECORDED for segment in chosen])
    speakers = [segment.speaker for segment in chosen]
    results = []
    for channel in _CHANNELS:
        transmit = channels()[channel]
        spectra = [_log_spectra(transmit(segment.samples)) for segment in chosen]
        for name, extract in _FEATURES.items():
            features = np.stack([extract(frames) for frames in spectra])
            scores = np.zeros(len(chosen))
            for side in (0, 1):
                train, test = half != side, half == side
                scores[test] = _classify(features[train], synthetic[train], features[test])
            figure = Figure(*bootstrap_equal_error_rate(speakers, scores, synthetic))
            count = int(synthetic.sum())
            results.append(Result(f"control: {name}", channel, "EER", figure, count))
    return results


def _log_spectra(samples: Samples) -> Matrix:
    """Log power spectra [frames, 257] of speech normalized in level."""
    level = augmentation.active_level(samples) or 1.0
    windows = np.lib.stride_tricks.sliding_window_view(samples / level, 512)[::160]
    return np.log(np.abs(np.fft.rfft(windows * np.hanning(512))) ** 2 + 1e-5)


def _pause_spectrum(frames: Matrix) -> Matrix:
    """The mean spectrum of the quietest tenth of the frames."""
    level = frames.mean(axis=1)
    return np.asarray(frames[level <= np.quantile(level, 0.1)].mean(axis=0))


_FEATURES: dict[str, Callable[[Matrix], Matrix]] = {
    "long-term spectrum": lambda frames: frames.mean(axis=0),
    "above 5 kHz": lambda frames: frames[:, 160:].mean(axis=0),
    "pauses": _pause_spectrum,
}


def _classify(train: Matrix, labels: NDArray[np.bool_], test: Matrix) -> Matrix:
    """Scores of a ridge regression on the first principal components.

    Args:
        train: [M, features].
        labels: [M], whether each is synthetic.
        test: [N, features].
    """
    mean = train.mean(axis=0)
    _, deviations, axes = np.linalg.svd(train - mean, full_matrices=False)
    count = max(1, min(_COMPONENTS, len(train) // 8))
    components = axes[:count] / (deviations[:count, None] + 1e-9)
    rows = (train - mean) @ components.T * np.sqrt(len(train))
    gram = rows.T @ rows + _RIDGE * np.eye(len(components))
    weights = np.linalg.solve(gram, rows.T @ (2.0 * labels - 1.0))
    return np.asarray((test - mean) @ components.T @ weights)
