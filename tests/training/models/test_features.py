"""Log-mel features and spectral losses against numpy's Fourier transform."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from valle.audio.mel import mel_filters
from valle.audio_format import HOP
from valle.training.models.features import FEATURES, MELS, LogMel
from valle.training.trainers.losses import SpectralLoss


def hertz_of(mel: float) -> float:
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def reference_filters(bins: int, mels: int) -> np.ndarray:
    """Triangles between neighboring points of the mel scale, by interpolation."""
    top = 2595.0 * np.log10(1.0 + 8000.0 / 700.0)
    points = [hertz_of(top * k / (mels + 1)) for k in range(mels + 2)]
    frequency = np.linspace(0.0, 8000.0, bins)
    return np.stack(
        [np.interp(frequency, points[k : k + 3], [0.0, 1.0, 0.0]) for k in range(mels)], axis=1
    )


def reference(samples: np.ndarray) -> np.ndarray:
    """Windows of 512 centered on each 10 ms, numpy's FFT, mel, log."""
    padded = np.concatenate([np.zeros(176), samples, np.zeros(512)])
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(512) / 512)
    rows = []
    for step in range(len(samples) // 160):
        power = np.abs(np.fft.rfft(window * padded[step * 160 : step * 160 + 512])) ** 2
        rows.append((np.log(power @ reference_filters(257, MELS) + 1e-5) + 2.0) / 4.0)
    return np.array(rows).reshape(len(samples) // HOP, FEATURES)


def test_features_match_numpy() -> None:
    rng = np.random.default_rng(0)
    time = np.arange(20 * HOP) / 16000
    tone = 0.5 * np.sin(2 * np.pi * (300 + 4000 * time) * time)
    samples = np.stack([tone, 0.1 * rng.standard_normal(len(time))]).astype(np.float32)
    features = LogMel()(torch.from_numpy(samples)).numpy()
    assert features.shape == (2, 20, FEATURES)
    for row in range(2):
        np.testing.assert_allclose(features[row], reference(samples[row]), atol=2e-3)


@pytest.mark.parametrize(("bins", "mels"), [(257, 80), (1025, 160), (129, 20)])
def test_filters_are_triangles(bins: int, mels: int) -> None:
    filters = mel_filters(bins, mels, 16000)
    np.testing.assert_allclose(filters, reference_filters(bins, mels), atol=1e-5)


@pytest.mark.parametrize(
    ("place", "seen"),
    [(0, [2, 3]), (160, [2, 3, 4]), (319, [3, 4])],
)
def test_click_affects_overlapping_windows(place: int, seen: list[int]) -> None:
    """Windows reach 16 ms from the center of each half frame: a click at 0 affects frame 2 too."""
    features = LogMel()
    clicked = torch.zeros(1, 7 * HOP)
    clicked[0, 3 * HOP + place] = 1.0
    changed = (features(clicked) - features(torch.zeros(1, 7 * HOP))).abs().amax(-1)[0] > 1e-3
    assert torch.nonzero(changed)[:, 0].tolist() == seen


def test_silence_is_finite() -> None:
    assert LogMel()(torch.zeros(1, HOP)).isfinite().all()


def test_spectral_loss_grows_with_noise() -> None:
    loss = SpectralLoss()
    generator = torch.Generator().manual_seed(0)
    speech = 0.1 * torch.randn(2, 8000, generator=generator)
    noise = torch.randn(2, 8000, generator=generator)
    assert [float(part) for part in loss(speech, speech)] == [0.0, 0.0]
    values = [float(loss(speech + level * noise, speech)[0]) for level in (0.01, 0.05, 0.2)]
    assert 0 < values[0] < values[1] < values[2]


def test_energy_distance_is_minimal_for_matching_randomness() -> None:
    generator = torch.Generator().manual_seed(0)
    spectral = SpectralLoss()

    def noise(items: int) -> torch.Tensor:
        return 0.1 * torch.randn(items, 16000, generator=generator)

    target = noise(4)
    steady = torch.zeros(4, 16000)
    steady[:, ::160] = 0.1 * 160**0.5  # the same power in each bin, without randomness

    def distance(decoded: torch.Tensor) -> float:
        return float(spectral(decoded, target)[0])

    two = {loud: distance(loud * noise(8)) for loud in (0.5, 0.8, 1.0, 1.25, 2.0)}
    assert min(two, key=two.__getitem__) == 1.0
    assert two[1.0] == pytest.approx(distance(noise(4)) / 2, rel=0.05)
    assert two[1.0] < distance(steady.repeat(2, 1)) == pytest.approx(distance(steady))


def test_log_mel_distance_of_a_gain() -> None:
    """Twice as loud is log 2 in every band: the floor of 1e-4 hardly matters."""
    generator = torch.Generator().manual_seed(0)
    speech = torch.randn(1, 16000, generator=generator)
    _, mel = SpectralLoss()(2 * speech, speech)
    assert abs(float(mel) - np.log(2)) < 0.01


def test_spectral_loss_of_silence_has_a_gradient() -> None:
    decoded = torch.zeros(1, 4096, requires_grad=True)
    SpectralLoss()(decoded, 0.1 * torch.ones(1, 4096))[0].backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()
