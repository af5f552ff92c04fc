"""`valle train speaker`: whose voice a piece of speech is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from valle.corpora.store import SAMPLE_RATE, Store, Utterance, by_speaker
from valle.training.loop import (
    keep_size,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.models.speaker import EMBEDDING, SPEAKER_SIZES, SpeakerEncoder

_SPEAKERS = 32  # speakers a batch, with two pieces of each
_SECONDS = 2.4
_MARGIN = 0.2
_SCALE = 30.0


class SpeakerJob:
    """Classification of two pieces each of some speakers, with an additive angular margin."""

    peak_rate = 2e-3

    def __init__(
        self, stores: list[Store], folder: Path, size: str, device: str, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        shape = SPEAKER_SIZES[size]
        self.groups: list[tuple[Store, list[Utterance]]] = []
        for store in stores:
            for group in by_speaker(store.utterances).values():
                self.groups.append((store, group))
        self.speaker = SpeakerEncoder(shape).to(self.device)
        self.classes = nn.Linear(EMBEDDING, len(self.groups), bias=False).to(self.device)
        self.modules: dict[str, nn.Module] = {"speaker": self.speaker, "classes": self.classes}
        self.optimizer = torch.optim.AdamW(
            [*self.speaker.parameters(), *self.classes.parameters()],
            lr=self.peak_rate,
            weight_decay=1e-2,
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {"speaker": self.optimizer}
        self.generators = {"job": self.rng}
        keep_size(folder, shape)

    def piece(self, store: Store, group: list[Utterance]) -> np.ndarray:
        """A random piece of a random utterance, [samples] float32; short ones are repeated."""
        length = round(_SECONDS * SAMPLE_RATE)
        utterance = group[self.rng.integers(len(group))]
        start = int(self.rng.integers(max(1, utterance.samples - length)))
        samples = store.waveform(utterance)[start : start + length]
        samples = np.resize(samples, length)
        level = float(np.sqrt(np.mean(samples**2)) + 1e-5)
        if self.rng.random() < 0.5:
            noise = self.rng.standard_normal(length, dtype=np.float32)
            samples = samples + noise * level * 10.0 ** (-self.rng.uniform(10.0, 40.0) / 20.0)
        return samples * (0.05 / level) * 10.0 ** (self.rng.uniform(-10.0, 10.0) / 20.0)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        chosen = self.rng.choice(
            len(self.groups), min(_SPEAKERS, len(self.groups)), replace=False
        ).repeat(2)
        waveform = np.stack([self.piece(*self.groups[index]) for index in chosen])
        wanted = torch.from_numpy(chosen).to(self.device)
        tensor = torch.from_numpy(waveform.astype(np.float32)).to(self.device)
        with mixed_precision(self.device):
            embedding = self.speaker(tensor)
        directions = functional.normalize(self.classes.weight, dim=-1)
        cosine = (embedding.float() @ directions.T).clamp(-0.9999, 0.9999)
        # The margin grows in: from the first step it would ask for more than can be had.
        margin = _MARGIN * min(1.0, 4.0 * progress)
        hard = torch.cos(torch.acos(cosine) + margin)
        own = functional.one_hot(wanted, len(self.groups)).bool()
        loss = functional.cross_entropy(_SCALE * torch.where(own, hard, cosine), wanted)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.speaker.parameters(), 1.0)
        self.optimizer.step()
        right = (cosine.argmax(-1) == wanted).float().mean()
        return {"loss": float(loss.detach()), "right": float(right)}

    def sample(self, folder: Path, number: int) -> None:
        """Nothing to hear: the figures say it."""
