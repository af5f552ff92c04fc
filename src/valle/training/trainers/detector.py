"""`valle train detector`: bona fide, resynthesized or synthetic speech."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.arrays import Samples
from valle.audio_format import SAMPLE_RATE
from valle.corpora.self_synthesized import GENERATOR
from valle.corpora.split import is_calibration_speaker
from valle.corpora.store import Store, Utterance
from valle.detection.detector import KINDS, SYNTHETIC
from valle.errors import UsageError
from valle.training.models.detector import DETECTOR_SIZES, Detector
from valle.training.run_folder import save_size
from valle.training.trainers.optimization import learning_rate, mixed_precision, set_learning_rate
from valle.training.trainers.trainer import TrainerContext

CALIBRATION_ONE_IN = 10  # one speaker in this many is held out for calibration

Clip = tuple[Store, Utterance]


@dataclass(frozen=True)
class DetectorHyperparameters:
    """How the detector is trained."""

    peak_rate: float = 2e-3
    weight_decay: float = 2e-2
    batch_size: int = 18
    seconds: int = 2
    """Length of a training segment."""
    calibration_rate: float = 3e-2
    """Peak learning rate of the temperatures."""
    calibration_batch_size: int = 18
    calibration_seconds: int = 4
    calibrate_every: int = 8
    """Steps."""
    self_share: float = 0.5
    """Share of valle's own speech among the synthetic speech: it must be recognized best."""
    noise_prob: float = 0.25
    max_gradient_norm: float = 1.0


class DetectorTrainer:
    """Classifies segments of 2 s; temperatures are fitted at the same time on held-out speakers.

    Args:
        context: corpora that `valle prepare detector` wrote, run folder, size, device and seed.
        leave_out: a generator of synthetic speech that is not trained on, to measure how well the
            detector generalizes to it.
        hyperparameters: see there.

    Raises:
        UsageError: the corpora lack a class of speech, or the generator to leave out.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        leave_out: str | None = None,
        hyperparameters: DetectorHyperparameters = DetectorHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.rng = np.random.default_rng(context.seed)
        self.device = context.torch_device
        # By class and generator, so that all generators are sampled equally often.
        self.clips: dict[str, dict[str, list[Clip]]] = {kind: {} for kind in KINDS}
        self.calibration_clips: dict[str, dict[str, list[Clip]]] = {kind: {} for kind in KINDS}
        for store in context.stores:
            self._add_clips(store)
        if leave_out is not None:
            self._leave_out(leave_out)
        for kind in KINDS:
            if not self.clips[kind] or not self.calibration_clips[kind]:
                raise UsageError(
                    f"the detector needs {kind} speech of several speakers, also among those that "
                    "are held out for calibration; prepare more"
                )
        size = DETECTOR_SIZES[context.size]
        self.detector = Detector(size).to(self.device)
        self.averaged: tuple[str, ...] = ("detector",)
        self.modules: dict[str, nn.Module] = {"detector": self.detector}
        weights = [
            weight for name, weight in self.detector.named_parameters() if name != "log_temperature"
        ]
        self.optimizer = torch.optim.AdamW(
            weights, lr=self.peak_rate, weight_decay=hyperparameters.weight_decay
        )
        self.calibration = torch.optim.Adam(
            [self.detector.log_temperature], lr=hyperparameters.calibration_rate
        )
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "detector": self.optimizer,
            "calibration": self.calibration,
        }
        self.generators = {"job": self.rng}  # a key of existing checkpoints
        save_size(context.folder, size)

    def _add_clips(self, store: Store) -> None:
        for utterance in store.utterances:
            kind, _, generator = utterance.corpus.partition("/")
            if kind not in KINDS:
                raise UsageError(
                    f"{store.folder} was not written by `valle prepare detector`: "
                    f"{utterance.corpus!r} is not a class of speech that the detector knows"
                )
            held_out = is_calibration_speaker("detector", utterance.speaker, CALIBRATION_ONE_IN)
            clips = self.calibration_clips if held_out else self.clips
            clips[kind].setdefault(generator, []).append((store, utterance))

    def _leave_out(self, generator: str) -> None:
        synthetic = self.clips[SYNTHETIC]
        if generator not in synthetic:
            raise UsageError(
                f"there is no synthetic speech by {generator!r} to leave out; the generators are "
                + ", ".join(sorted(synthetic))
            )
        del synthetic[generator]
        self.calibration_clips[SYNTHETIC].pop(generator, None)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step, and from time to time one of the calibration."""
        settings = self.hyperparameters
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        waveform, labels = self._sample_batch(self.clips, settings.batch_size, settings.seconds)
        with mixed_precision(self.device):
            raw = self.detector.raw(waveform).float()
        whole = raw.mean(dim=1)
        per_second = functional.cross_entropy(
            raw.flatten(0, 1), labels.repeat_interleave(settings.seconds)
        )
        loss = functional.cross_entropy(whole, labels) + 0.5 * per_second
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.detector.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        metrics = {
            "loss": float(loss.detach()),
            "accuracy": float((whole.argmax(-1) == labels).float().mean()),
        }
        if number % settings.calibrate_every == 0:
            metrics |= self._calibrate(progress)
        return metrics

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: a detector makes no sound."""

    def _calibrate(self, progress: float) -> dict[str, float]:
        """Run one step on the temperatures, on held-out speakers."""
        settings = self.hyperparameters
        set_learning_rate(self.calibration, learning_rate(progress, settings.calibration_rate))
        waveform, labels = self._sample_batch(
            self.calibration_clips, settings.calibration_batch_size, settings.calibration_seconds
        )
        with torch.no_grad(), mixed_precision(self.device):
            raw = self.detector.raw(waveform).float()
        seconds, whole = self.detector.calibrated(raw)
        loss = functional.cross_entropy(whole, labels) + functional.cross_entropy(
            seconds.flatten(0, 1), labels.repeat_interleave(settings.calibration_seconds)
        )
        self.calibration.zero_grad(set_to_none=True)
        loss.backward()
        self.calibration.step()
        accuracy = (whole.argmax(-1) == labels).float().mean()
        return {"calibration_loss": float(loss.detach()), "calibration_accuracy": float(accuracy)}

    def _sample_batch(
        self, clips: dict[str, dict[str, list[Clip]]], count: int, seconds: int
    ) -> tuple[Tensor, Tensor]:
        """Sample segments [count, seconds * 16000] and their classes [count], all equally often."""
        kinds = np.arange(count) % len(KINDS)
        segments = np.stack([self._sample_segment(clips[KINDS[kind]], seconds) for kind in kinds])
        return torch.from_numpy(segments).to(self.device), torch.from_numpy(kinds).to(self.device)

    def _sample_segment(self, generators: dict[str, list[Clip]], seconds: int) -> Samples:
        settings = self.hyperparameters
        others = [name for name in generators if name != GENERATOR]
        if GENERATOR in generators and (not others or self.rng.random() < settings.self_share):
            clips = generators[GENERATOR]
        else:
            clips = generators[others[self.rng.integers(len(others))]]
        store, utterance = clips[self.rng.integers(len(clips))]
        length = seconds * SAMPLE_RATE
        samples = store.waveform(utterance)
        start = int(self.rng.integers(max(1, len(samples) - length + 1)))
        segment = np.resize(samples[start : start + length], length)
        if self.rng.random() < settings.noise_prob:
            rms = float(np.sqrt(np.mean(segment**2)))
            level = rms * 10.0 ** (-self.rng.uniform(15, 45) / 20.0)
            segment = segment + level * self.rng.standard_normal(length, dtype=np.float32)
        return np.asarray(segment, np.float32)
