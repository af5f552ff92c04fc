"""`valle train speaker`: whose voice a piece of speech is.

More speakers than were recorded come from playing them slower and faster: pitch and formants move
together, and whoever is heard so is another speaker to be told apart (Yamamoto et al. 2019). Rooms,
noise, colour and bandwidth change from piece to piece, so that they are not taken for the voice.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from valle.arrays import Samples
from valle.corpora import augmentation
from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance, by_speaker
from valle.runtime.speaker_encoder import EMBEDDING
from valle.training.data.segments import cut
from valle.training.models.speaker import SPEAKER_SIZES, SpeakerEncoder
from valle.training.run_folder import keep_size
from valle.training.trainers.loop import learning_rate, mixed_precision, set_learning_rate

_PIECES = 40  # a batch, each of another speaker
_SHORTEST, _LONGEST = 1.4, 3.2  # seconds; the pieces of a batch are as long as each other
_SPEEDS = (1.0, 0.88, 1.14)  # each of a recorded speaker's is a speaker
_IN_ROOM, _WITH_NOISE, _COLOURED, _BAND_LIMITED = 0.3, 0.5, 0.4, 0.2  # shares of the pieces
_BABBLE = 0.3  # share of the noise; half of the rest is white, half pink
_MARGIN = 0.2
_SCALE = 30.0


class SpeakerJob:
    """Classification of pieces of speech by speaker, with an additive angular margin."""

    peak_rate = 1.5e-3

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
        self.speakers = len(self.groups) * len(_SPEEDS)
        self.classes = nn.Linear(EMBEDDING, self.speakers, bias=False).to(self.device)
        self.modules: dict[str, nn.Module] = {"speaker": self.speaker, "classes": self.classes}
        self.optimizer = torch.optim.AdamW(
            [*self.speaker.parameters(), *self.classes.parameters()],
            lr=self.peak_rate,
            weight_decay=1e-2,
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {"speaker": self.optimizer}
        self.generators = {"job": self.rng}
        keep_size(folder, shape)

    def piece(self, speaker: int, length: int) -> Samples:
        """A random piece [length] of a random utterance of a speaker; short ones are repeated."""
        group, speed = divmod(speaker, len(_SPEEDS))
        store, utterances = self.groups[group]
        utterance = utterances[self.rng.integers(len(utterances))]
        return self._distorted(cut(store, utterance, length, _SPEEDS[speed], self.rng))

    def _distorted(self, samples: Samples) -> Samples:
        """As another microphone in another room would have it."""
        if self.rng.random() < _IN_ROOM:
            samples = augmentation.some_room(samples, self.rng)
        if self.rng.random() < _COLOURED:
            samples = augmentation.tilt(samples, float(self.rng.uniform(-4.0, 4.0)))
        if self.rng.random() < _WITH_NOISE:
            kind = "babble" if self.rng.random() < _BABBLE else ("white", "pink")[self._coin()]
            noise = augmentation.noise(kind, samples, self.rng)
            samples = augmentation.add_noise(samples, noise, float(self.rng.uniform(5.0, 30.0)))
        if self.rng.random() < _BAND_LIMITED:
            low = float(self.rng.uniform(50.0, 300.0)) * self._coin()
            samples = augmentation.band_limit(samples, low, float(self.rng.uniform(3400.0, 7500.0)))
        return augmentation.level(samples, float(self.rng.uniform(-40.0, -15.0)))

    def _coin(self) -> int:
        return int(self.rng.integers(2))

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        pieces = min(_PIECES, self.speakers)
        chosen = self.rng.choice(self.speakers, pieces, replace=False)
        frames = self.rng.uniform(_SHORTEST, _LONGEST) * SAMPLE_RATE // HOP
        waveform = np.stack([self.piece(int(each), int(frames) * HOP) for each in chosen])
        wanted = torch.from_numpy(chosen).to(self.device)
        tensor = torch.from_numpy(waveform.astype(np.float32)).to(self.device)
        with mixed_precision(self.device):
            embedding = self.speaker(tensor)
        directions = functional.normalize(self.classes.weight, dim=-1)
        cosine = (embedding.float() @ directions.T).clamp(-0.9999, 0.9999)
        # The margin grows in: from the first step it would ask for more than can be had.
        margin = _MARGIN * min(1.0, 4.0 * progress)
        hard = torch.cos(torch.acos(cosine) + margin)
        own = functional.one_hot(wanted, self.speakers).bool()
        loss = functional.cross_entropy(_SCALE * torch.where(own, hard, cosine), wanted)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.speaker.parameters(), 1.0)
        self.optimizer.step()
        right = (cosine.argmax(-1) == wanted).float().mean()
        return {"loss": float(loss.detach()), "right": float(right)}

    def sample(self, folder: Path, number: int) -> None:
        """Nothing to hear: the figures say it."""
