"""Adversarial training of waveforms: the discriminators and what they tell the generator."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from valle.audio_format import SAMPLE_RATE
from valle.training.models.discriminators import (
    Discriminators,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
)
from valle.training.trainers.optimization import set_learning_rate

_CHANNELS = {"debug": 4, "default": 16, "paper": 32}  # of the discriminators
_LEVEL = 0.1  # RMS of what the discriminators see, so that quiet speech counts as much as loud


@dataclass(frozen=True)
class AdversaryHyperparameters:
    """How the discriminators are trained."""

    rate: float = 4e-4
    """Peak learning rate."""
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 1e-3
    items: int = 6
    """Waveforms of a batch that the discriminators see."""
    seconds: float = 0.5
    """How much of each of these."""
    max_gradient_norm: float = 1.0


class Adversary:
    """Discriminators with their optimizer.

    Args:
        size: a key of `valle.training.models.sizes.SIZES`.
        device: of the discriminators.
        hyperparameters: see there.
    """

    def __init__(
        self,
        size: str,
        device: torch.device,
        hyperparameters: AdversaryHyperparameters = AdversaryHyperparameters(),  # frozen
    ) -> None:
        self.hyperparameters = hyperparameters
        self.device = device
        self.discriminators = Discriminators(_CHANNELS[size]).to(device)
        self.optimizer = torch.optim.AdamW(
            self.discriminators.parameters(),
            lr=hyperparameters.rate,
            betas=hyperparameters.betas,
            weight_decay=hyperparameters.weight_decay,
        )

    def losses(
        self, generated: Tensor, recorded: Tensor, rng: np.random.Generator, rate: float
    ) -> dict[str, Tensor]:
        """Train the discriminators for one step on random excerpts, and return all losses.

        Args:
            generated: samples [B, N]; gradients flow into them.
            recorded: samples [B, N].
            rng: chooses the excerpt.
            rate: learning rate of the discriminators.

        Returns:
            The generator's `adversarial` and `feature_matching` losses, and the loss of the
            `discriminator`, detached.
        """
        settings = self.hyperparameters
        length = min(round(settings.seconds * SAMPLE_RATE), recorded.shape[1])
        start = int(rng.integers(recorded.shape[1] - length + 1))
        rows = slice(settings.items)
        fake, real = (x[rows, start : start + length] for x in (generated, recorded))
        scale = _LEVEL / (real.square().mean(dim=1, keepdim=True).sqrt() + 1e-3)
        fake, real = fake * scale, real * scale
        # On a CPU, two-dimensional convolutions are several times slower in bfloat16 than in fp32.
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "cpu")
        with half:
            real_scores, real_features = self.discriminators(real)
            fake_scores, _ = self.discriminators(fake.detach())
        loss = discriminator_loss(real_scores, fake_scores)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.discriminators.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        self.discriminators.requires_grad_(False)
        with half:
            scores, features = self.discriminators(fake)
        self.discriminators.requires_grad_(True)
        return {
            "discriminator": loss.detach(),
            "adversarial": generator_loss(scores),
            "feature_matching": feature_matching_loss(
                [layer.detach() for layer in real_features], features
            ),
        }
