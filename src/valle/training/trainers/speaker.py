"""`valle train speaker`: speaker embeddings, trained by classifying speakers.

Speed perturbation makes three speakers of each: pitch and formants change together, and each speed
counts as another speaker (Yamamoto et al. 2019, "Speaker augmentation and bandwidth extension for
deep speaker embedding"). Reverberation, noise, spectral tilt and bandwidth vary from segment to
segment, so that they are not mistaken for the voice.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from valle.arrays import Samples
from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora import augmentation
from valle.corpora.store import Store, Utterance, by_speaker
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.data.segments import random_crop
from valle.training.models.speaker import SPEAKER_SIZES, SpeakerEncoder
from valle.training.run_folder import save_size
from valle.training.trainers.optimization import learning_rate, mixed_precision, set_learning_rate
from valle.training.trainers.trainer import TrainerContext


@dataclass(frozen=True)
class SpeakerHyperparameters:
    """How the speaker encoder is trained."""

    peak_rate: float = 1.5e-3
    weight_decay: float = 1e-2
    batch_size: int = 40
    """Segments per batch, each of another speaker."""
    seconds: tuple[float, float] = (1.4, 3.2)
    """Range of segment lengths; all segments of a batch have the same length."""
    speeds: tuple[float, ...] = (1.0, 0.88, 1.14)
    """Each speed of a recorded speaker is a speaker."""
    reverb_prob: float = 0.3
    noise_prob: float = 0.5
    babble_prob: float = 0.3
    """Share of babble among the noise; half of the rest is white, half pink."""
    tilt_prob: float = 0.4
    band_limit_prob: float = 0.2
    margin: float = 0.2
    """Additive angular margin, radians."""
    scale: float = 30.0
    """Factor on the cosines."""
    max_gradient_norm: float = 1.0


class SpeakerTrainer:
    """Classifies segments by speaker with an additive angular margin (Deng et al. 2019, "ArcFace").

    Args:
        context: corpora, run folder, size, device and seed.
        hyperparameters: see there.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        hyperparameters: SpeakerHyperparameters = SpeakerHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.rng = np.random.default_rng(context.seed)
        self.device = context.torch_device
        size = SPEAKER_SIZES[context.size]
        self.groups: list[tuple[Store, list[Utterance]]] = []
        for store in context.stores:
            for group in by_speaker(store.utterances).values():
                self.groups.append((store, group))
        self.speaker = SpeakerEncoder(size).to(self.device)
        self.speakers = len(self.groups) * len(hyperparameters.speeds)
        self.classes = nn.Linear(EMBEDDING_DIM, self.speakers, bias=False).to(self.device)
        self.averaged: tuple[str, ...] = ("speaker",)
        self.modules: dict[str, nn.Module] = {"speaker": self.speaker, "classes": self.classes}
        self.optimizer = torch.optim.AdamW(
            [*self.speaker.parameters(), *self.classes.parameters()],
            lr=self.peak_rate,
            weight_decay=hyperparameters.weight_decay,
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {"speaker": self.optimizer}
        self.generators = {"job": self.rng}  # a key of existing checkpoints
        save_size(context.folder, size)

    def segment(self, speaker: int, length: int) -> Samples:
        """An augmented random crop [length] of an utterance of a speaker."""
        speeds = self.hyperparameters.speeds
        group, speed = divmod(speaker, len(speeds))
        store, utterances = self.groups[group]
        utterance = utterances[self.rng.integers(len(utterances))]
        return self._augment(random_crop(store, utterance, length, speeds[speed], self.rng))

    def _augment(self, samples: Samples) -> Samples:
        """Simulate another microphone in another room; [N] -> [N]."""
        settings = self.hyperparameters
        if self.rng.random() < settings.reverb_prob:
            samples = augmentation.random_reverb(samples, self.rng)
        if self.rng.random() < settings.tilt_prob:
            samples = augmentation.tilt(samples, float(self.rng.uniform(-4.0, 4.0)))
        if self.rng.random() < settings.noise_prob:
            is_babble = self.rng.random() < settings.babble_prob
            kind = "babble" if is_babble else ("white", "pink")[self._flip_coin()]
            noise = augmentation.make_noise(kind, samples, self.rng)
            samples = augmentation.add_noise(samples, noise, float(self.rng.uniform(5.0, 30.0)))
        if self.rng.random() < settings.band_limit_prob:
            low = float(self.rng.uniform(50.0, 300.0)) * self._flip_coin()
            samples = augmentation.band_limit(samples, low, float(self.rng.uniform(3400.0, 7500.0)))
        return augmentation.normalize_level(samples, float(self.rng.uniform(-40.0, -15.0)))

    def _flip_coin(self) -> int:
        return int(self.rng.integers(2))

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on segments of random speakers."""
        settings = self.hyperparameters
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        count = min(settings.batch_size, self.speakers)
        speakers = self.rng.choice(self.speakers, count, replace=False)
        frames = self.rng.uniform(*settings.seconds) * SAMPLE_RATE // HOP
        segments = np.stack([self.segment(int(s), int(frames) * HOP) for s in speakers])
        labels = torch.from_numpy(speakers).to(self.device)
        waveform = torch.from_numpy(segments.astype(np.float32)).to(self.device)
        with mixed_precision(self.device):
            embedding = self.speaker(waveform)
        directions = functional.normalize(self.classes.weight, dim=-1)
        cosine = (embedding.float() @ directions.T).clamp(-0.9999, 0.9999)
        # The margin grows during the first quarter: at once it would be too hard to satisfy.
        margin = settings.margin * min(1.0, 4.0 * progress)
        with_margin = torch.cos(torch.acos(cosine) + margin)
        is_label = functional.one_hot(labels, self.speakers).bool()
        logits = settings.scale * torch.where(is_label, with_margin, cosine)
        loss = functional.cross_entropy(logits, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.speaker.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        accuracy = (cosine.argmax(-1) == labels).float().mean()
        return {"loss": float(loss.detach()), "accuracy": float(accuracy)}

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: a speaker encoder makes no sound."""
