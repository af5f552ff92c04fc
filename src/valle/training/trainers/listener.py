"""`valle train listener`: a phoneme recognizer with a CTC head and a frame head.

The frame head is trained on synthetic speech, whose phoneme times are exact, and on recordings by
the labels in their store. Without labels, it is trained on its own best alignment of the transcript
(Viterbi training) once it has learned enough. After a few thousand steps its own alignments alone
lead it astray: phonemes take over the pauses, or pauses the phonemes. So a listener is trained, its
labels are prepared, and training continues on those.

The CTC head is calibrated on speakers that are held out of training, by a temperature.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.arrays import Floats, Ints, Samples
from valle.audio_format import HOP, SAMPLE_RATE
from valle.corpora import augmentation
from valle.corpora.speed_perturbation import source_frames
from valle.corpora.split import is_calibration_speaker
from valle.corpora.store import Store, Utterance
from valle.corpora.transcripts import IS_BORDER, LISTENER_CLASS, transcript_ids
from valle.errors import UsageError
from valle.runtime.alignment import Posteriors, align_frames, find_loud_frames
from valle.runtime.check import match_symbols
from valle.runtime.recognizer import decode_greedy
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.models.listener import LISTENER_SIZES, Listener, center_features
from valle.training.run_folder import save_size
from valle.training.trainers.optimization import learning_rate, mixed_precision, set_learning_rate
from valle.training.trainers.trainer import TrainerContext

IGNORE_INDEX = -100  # target of frames that are not in the loss
CALIBRATION_ONE_IN = 25  # one speaker in this many is held out for calibration,
_MIN_SPEAKERS = 50  # if there are at least this many
_MIN_SECONDS = 0.5
_FRAMES_PER_SYMBOL = 1.3  # at least: CTC needs a frame per symbol and a blank between equal ones


@dataclass(frozen=True)
class ListenerHyperparameters:
    """How the listener is trained."""

    peak_rate: float = 1.5e-3
    weight_decay: float = 1e-2
    batch_seconds: float = 24.0
    max_seconds: float = 16.0
    """Longer utterances are left out."""
    synthetic_share: float = 0.3
    """Share of batches of synthetic speech: exact phoneme times, but unnatural voices."""
    bootstrap_from: float = 0.3
    """Share of the run after which recordings without labels are aligned by the model itself."""
    speed_perturb_prob: float = 0.5
    speeds: tuple[float, float] = (0.85, 1.2)
    reverb_prob: float = 0.1
    noise_prob: float = 0.33
    dark_noise_prob: float = 0.5
    """Share of low-pass noise, like that of rooms and engines, among the noise."""
    calibrate_every: int = 10
    """Steps."""
    calibration_rate: float = 2e-2
    """Peak learning rate of the temperature."""
    calibration_batch_size: int = 6
    max_gradient_norm: float = 1.0


class ListenerExample(NamedTuple):
    """An utterance with its transcript, and its alignment if there is one."""

    store: Store
    utterance: Utterance
    symbols: Ints
    """[S] ids of `valle.text.symbols.SYMBOLS`."""
    frame_symbol: Ints | None
    """[T] indices into `symbols`."""

    @property
    def phoneme_classes(self) -> Ints:
        """The listener's classes of the phonemes, without borders: the target of the CTC head."""
        return LISTENER_CLASS[self.symbols[~IS_BORDER[self.symbols]]]


@dataclass(frozen=True)
class ListenerBatch:
    """Examples with their samples at a random speed."""

    examples: list[ListenerExample]
    samples: list[Samples]
    speeds: list[float]


class ListenerTrainer:
    """Trains on batches of utterances of similar length, some of them of synthetic speech.

    Args:
        context: corpora, run folder, size, device and seed.
        hyperparameters: see there.

    Raises:
        UsageError: there is no transcribed speech.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        hyperparameters: ListenerHyperparameters = ListenerHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.rng = np.random.default_rng(context.seed)
        self.device = context.torch_device
        size = LISTENER_SIZES[context.size]
        self.listener = Listener(size, len(LISTENER_SYMBOLS)).to(self.device)
        temperature = self.listener.log_temperature
        self.weights = [w for w in self.listener.parameters() if w is not temperature]
        self.optimizer = torch.optim.AdamW(
            self.weights,
            lr=self.peak_rate,
            betas=(0.9, 0.98),
            weight_decay=hyperparameters.weight_decay,
        )
        self.calibration = torch.optim.Adam([temperature], lr=hyperparameters.calibration_rate)
        self.averaged: tuple[str, ...] = ("listener",)
        self.modules: dict[str, nn.Module] = {"listener": self.listener}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "listener": self.optimizer,
            "calibration": self.calibration,
        }
        self.calibration_examples: list[ListenerExample] = []
        self._add_examples(context)
        self.generators = {"job": self.rng}  # a key of existing checkpoints
        save_size(context.folder, size, deeper=frozenset({"layers"}))

    def _add_examples(self, context: TrainerContext) -> None:
        """Divide the utterances into pools of recordings and synthetic speech, sorted by length."""
        max_seconds = self.hyperparameters.max_seconds
        utterances = [u for store in context.stores for u in store.utterances]
        can_hold_out = len({utterance.speaker for utterance in utterances}) >= _MIN_SPEAKERS
        recorded: list[ListenerExample] = []
        synthetic: list[ListenerExample] = []
        for store in context.stores:
            for utterance in store.utterances:
                example = _make_example(store, utterance, max_seconds)
                if example is None:
                    continue
                name = utterance.speaker
                if can_hold_out and is_calibration_speaker("listener", name, CALIBRATION_ONE_IN):
                    self.calibration_examples.append(example)
                else:
                    (synthetic if utterance.is_synthetic else recorded).append(example)
        share = self.hyperparameters.synthetic_share
        pools = {
            weight: pool for weight, pool in ((1 - share, recorded), (share, synthetic)) if pool
        }
        if not pools:
            raise UsageError(
                f"the listener is trained on transcribed speech of {_MIN_SECONDS} to "
                f"{max_seconds:.0f} s, and these corpora have none; give others with --data"
            )
        self.pools = [sorted(pool, key=lambda e: e.utterance.samples) for pool in pools.values()]
        self.shares = np.array(list(pools)) / sum(pools)

    def sample_examples(self) -> list[ListenerExample]:
        """Sample examples of similar length, adjacent ones of a random pool."""
        pool = self.pools[self.rng.choice(len(self.pools), p=self.shares)]
        # The position is uniform and the count depends on the length, so that every second of
        # speech is sampled equally often.
        first = int(self.rng.integers(len(pool)))
        length = max(pool[first].utterance.samples, 1)
        count = max(1, int(self.hyperparameters.batch_seconds * SAMPLE_RATE / length))
        start = max(0, min(first - count // 2, len(pool) - count))
        return pool[start : start + count]

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step, and from time to time one of the calibration."""
        settings = self.hyperparameters
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        batch = self._perturb_speed(self.sample_examples())
        features, lengths = self._compute_features([self._augment(s) for s in batch.samples])
        with mixed_precision(self.device):
            ctc, frame = self.listener.raw(self._mask_features(features))
        ctc, frame = ctc.log_softmax(-1), frame.log_softmax(-1)
        # The targets of CTC are the phonemes only: pauses are left to the frame head.
        targets = [torch.from_numpy(example.phoneme_classes) for example in batch.examples]
        ctc_loss = functional.ctc_loss(
            ctc.transpose(0, 1),
            torch.cat(targets),
            lengths,
            torch.tensor([len(target) for target in targets]),
            zero_infinity=True,
        )
        frame_loss = self.frame_loss(ctc, frame, batch, progress)
        loss = ctc_loss + frame_loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, settings.max_gradient_norm)
        self.optimizer.step()
        kind = "synthetic" if batch.examples[0].utterance.is_synthetic else "recorded"
        metrics = {
            f"ctc_{kind}": float(ctc_loss.detach()),
            f"frame_{kind}": float(frame_loss.detach()),
        }
        if self.calibration_examples and number % settings.calibrate_every == 0:
            metrics |= self.calibrate(progress)
        return metrics

    def _perturb_speed(self, examples: list[ListenerExample]) -> ListenerBatch:
        samples, speeds = [], []
        for example in examples:
            perturb = self.rng.random() < self.hyperparameters.speed_perturb_prob
            speed = float(self.rng.uniform(*self.hyperparameters.speeds)) if perturb else 1.0
            speeds.append(speed)
            samples.append(change_speed(example.store.waveform(example.utterance), speed))
        return ListenerBatch(examples, samples, speeds)

    def _compute_features(self, samples: list[Samples]) -> tuple[Tensor, Tensor]:
        """Centered features [B, T, FEATURES] of utterances, and their numbers of frames [B]."""
        lengths = torch.tensor([len(utterance) // HOP for utterance in samples])
        waveform = np.zeros((len(samples), int(lengths.max()) * HOP), np.float32)
        for row, utterance in enumerate(samples):
            waveform[row, : len(utterance)] = utterance
        features = self.listener.features(torch.from_numpy(waveform).to(self.device))
        return center_features(features, lengths.to(self.device)), lengths

    def calibrate(self, progress: float) -> dict[str, float]:
        """Run one step on the temperature, so that confidence matches accuracy."""
        settings = self.hyperparameters
        set_learning_rate(self.calibration, learning_rate(progress, settings.calibration_rate))
        pool = self.calibration_examples
        examples = [
            pool[i] for i in self.rng.integers(len(pool), size=settings.calibration_batch_size)
        ]
        waveforms = [example.store.waveform(example.utterance) for example in examples]
        features, lengths = self._compute_features(waveforms)
        with torch.no_grad(), mixed_precision(self.device):
            ctc, _ = self.listener.raw(features)
        log_probs = self.listener.calibrated(ctc)
        confidences, hits = [], []
        for row, example in enumerate(examples):
            frames, classes = find_ctc_peaks(log_probs[row, : lengths[row]].detach().cpu().numpy())
            reference = [str(phoneme) for phoneme in example.phoneme_classes]
            matched, where = match_symbols(reference, [str(phoneme) for phoneme in classes])
            is_hit = np.zeros(len(classes), np.float32)
            is_hit[where[matched]] = 1.0
            confidences.append(log_probs[row][frames, classes])
            hits.append(torch.from_numpy(is_hit).to(self.device))
        log_confidence, hit = torch.cat(confidences), torch.cat(hits)
        if not len(hit):
            return {}
        # Binary cross-entropy of "this phoneme is correct"; it is infinite for a confidence of 1.
        log_confidence = log_confidence.clamp(max=-1e-6)
        loss = -(hit * log_confidence + (1 - hit) * torch.log1p(-log_confidence.exp())).mean()
        self.calibration.zero_grad(set_to_none=True)
        loss.backward()
        self.calibration.step()
        return {
            "calibration_accuracy": float(hit.mean()),
            "calibration_confidence": float(log_confidence.detach().exp().mean()),
            "temperature": float(self.listener.log_temperature.detach().exp()),
        }

    def frame_loss(
        self, ctc: Tensor, frame: Tensor, batch: ListenerBatch, progress: float
    ) -> Tensor:
        """Cross-entropy of the frame head; 0 if no example has an alignment.

        Args:
            ctc: log-probabilities [B, T, classes].
            frame: log-probabilities [B, T, classes].
            batch: with labels at the speed of its samples.
            progress: share of the budget that is spent, 0 to 1.
        """
        targets = torch.full(frame.shape[:2], IGNORE_INDEX)
        ctc_array, frame_array = ctc.detach().cpu().numpy(), frame.detach().cpu().numpy()
        for row, example in enumerate(batch.examples):
            samples = batch.samples[row]
            frames = len(samples) // HOP
            path = None
            if example.frame_symbol is not None:
                of = len(example.frame_symbol)
                path = example.frame_symbol[source_frames(frames, of, batch.speeds[row])]
            elif progress > self.hyperparameters.bootstrap_from:
                posteriors = Posteriors(
                    ctc_array[row, :frames], frame_array[row, :frames], LISTENER_SYMBOLS
                )
                symbols = [SYMBOLS[index] for index in example.symbols]
                alignment = align_frames(posteriors, find_loud_frames(samples, HOP), symbols)
                path = alignment.frame_symbol if alignment is not None else None
            if path is not None:
                classes = LISTENER_CLASS[example.symbols]
                targets[row, :frames] = torch.from_numpy(classes[path])
        if not bool((targets >= 0).any()):
            return frame.new_zeros(())
        return functional.nll_loss(
            frame.reshape(-1, frame.shape[-1]),
            targets.reshape(-1).to(frame.device),
            ignore_index=IGNORE_INDEX,
        )

    def _augment(self, samples: Samples) -> Samples:
        """Random reverberation, level (30 dB) and noise (5 to 35 dB below the speech)."""
        settings = self.hyperparameters
        if self.rng.random() < settings.reverb_prob:
            samples = augmentation.random_reverb(samples, self.rng)
        gain = 10.0 ** (self.rng.uniform(-20.0, 10.0) / 20.0)
        if self.rng.random() < settings.noise_prob:
            level = float(np.sqrt(np.mean(samples**2)) + 1e-5)
            noise = self.rng.standard_normal(len(samples), dtype=np.float32)
            if self.rng.random() < settings.dark_noise_prob:
                noise = np.convolve(noise, np.full(8, 0.35, np.float32), mode="same")
            samples = samples + noise * level * 10.0 ** (-self.rng.uniform(5.0, 35.0) / 20.0)
        return np.asarray(samples * gain, dtype=np.float32)

    def _mask_features(self, features: Tensor) -> Tensor:
        """SpecAugment (Park et al. 2019): mask one band and two short times per utterance."""
        features = features.clone()
        frames, bands = features.shape[1], features.shape[2] // 2
        for row in range(len(features)):
            width = int(self.rng.integers(0, 16))
            low = int(self.rng.integers(0, bands - width))
            for half in (0, bands):  # a codec frame has two feature vectors
                features[row, :, half + low : half + low + width] = 0.0
            for _ in range(2):
                duration = int(self.rng.integers(0, min(12, frames // 4 + 1)))
                start = int(self.rng.integers(0, frames - duration))
                features[row, start : start + duration] = 0.0
        return features

    @torch.no_grad()
    def write_samples(self, folder: Path, number: int) -> None:
        """Write the recognized phonemes of one utterance per pool, and those of its transcript."""
        self.listener.eval()
        lines = []
        for pool in self.pools:
            example = pool[len(pool) // 2]
            waveform = torch.from_numpy(example.store.waveform(example.utterance))[None]
            ctc, _ = self.listener(waveform.to(self.device))
            recognized = decode_greedy(ctc[0].cpu().numpy()).classes
            reference = example.phoneme_classes
            lines.append("reference " + " ".join(LISTENER_SYMBOLS[i] for i in reference))
            lines.append("recognized " + " ".join(LISTENER_SYMBOLS[i] for i in recognized))
        (folder / "recognized.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.listener.train()


def change_speed(samples: Samples, speed: float) -> Samples:
    """Change speed, pitch and formants together; the result is a whole number of frames."""
    if speed == 1.0:
        return samples
    changed = augmentation.change_speed(samples, speed)
    return changed[: len(changed) // HOP * HOP]


def find_ctc_peaks(log_probs: Floats) -> tuple[Ints, Ints]:
    """Decode CTC greedily, with the most confident frame of each symbol.

    Args:
        log_probs: [frames, classes].

    Returns:
        Frames [symbols] and classes [symbols].
    """
    segments = decode_greedy(log_probs)
    frames = [
        start + int(log_probs[start:end].max(-1).argmax())
        for start, end in zip(segments.starts, segments.ends, strict=True)
    ]
    return np.array(frames, np.int64), segments.classes


def _make_example(store: Store, utterance: Utterance, max_seconds: float) -> ListenerExample | None:
    """An example of an utterance; None if it is too short, too long or has no transcript."""
    if not _MIN_SECONDS * SAMPLE_RATE <= utterance.samples <= max_seconds * SAMPLE_RATE:
        return None
    if utterance.text is not None and (store.folder / "labels.npz").is_file():
        label = store.labels.get(utterance.id)
        if label is not None:
            return ListenerExample(store, utterance, label.symbols, label.frame_symbol)
    ids = transcript_ids(utterance.text) if utterance.text else None
    if ids is None or (ids[0] == 0).any():
        return None
    if utterance.samples // HOP < _FRAMES_PER_SYMBOL * len(ids[0]):
        return None
    return ListenerExample(store, utterance, ids[0], None)
