"""Discriminators and the adversarial losses."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="needs the extra [train]")

import torch

from valle.training.models.discriminators import (
    Discriminators,
    PeriodDiscriminator,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)


def test_known_losses() -> None:
    ones, zeros = [torch.ones(2, 3)], [torch.zeros(2, 3)]
    assert discriminator_loss(ones, zeros) == 0
    assert discriminator_loss(zeros, ones) == 2
    assert generator_loss(ones) == 0
    assert generator_loss(zeros) == 1
    real = [torch.full((2, 2), 4.0), torch.full((3,), -0.1)]
    assert feature_matching_loss(real, real) == 0
    # Off by half of its size in every layer, however small that layer's numbers are.
    assert feature_matching_loss(real, [r / 2 for r in real]) == pytest.approx(0.5, abs=1e-4)


def test_period_discriminator_separates_phases() -> None:
    torch.manual_seed(0)
    discriminator = PeriodDiscriminator(5, 4)
    waveform = torch.randn(1, 500)
    changed = waveform.clone()
    changed[:, 2::5] += 1.0
    one, other = discriminator(waveform)[0], discriminator(changed)[0]
    assert one.shape[-1] == 5
    moved = (one - other).abs().amax(dim=(0, 1, 2))
    assert moved[2] > 0
    assert not moved[[0, 1, 3, 4]].any()


def test_discriminators_learn() -> None:
    """Tones from the same tones with another spectrum, in a few steps."""
    torch.manual_seed(0)
    discriminators = Discriminators(4)
    optimizer = torch.optim.AdamW(discriminators.parameters(), lr=2e-3)
    time = torch.arange(4000) / 16000

    def batch() -> tuple[torch.Tensor, torch.Tensor]:
        phase = 6.28 * (time * (200 + 200 * torch.rand(4, 1)) + torch.rand(4, 1))
        return torch.sin(phase), torch.sin(phase) + 0.3 * torch.sin(9 * phase)

    for step in range(80):
        real, generated = batch()
        loss = discriminator_loss(discriminators(real)[0], discriminators(generated)[0])
        if step == 0:
            first = float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert first == pytest.approx(1.0, abs=0.1)  # untrained
    assert float(loss.detach()) < 0.5 * first
