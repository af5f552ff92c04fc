"""`valle train detector`: real, re-encoded or made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.self_synthesized import GENERATOR
from valle.corpora.split import is_held
from valle.corpora.store import SAMPLE_RATE, Store, Utterance
from valle.detection.detector import KINDS
from valle.errors import UsageError
from valle.training.models.detector import DETECTOR_SIZES, Detector
from valle.training.run_folder import keep_size
from valle.training.trainers.loop import learning_rate, mixed_precision, set_learning_rate

_BATCH, _SECONDS = 18, 2
_HELD, _HELD_SECONDS = 18, 4  # of the batches that calibrate
HELD_ONE_IN = 10  # one speaker in so many is kept for calibration
_CALIBRATE_EVERY = 8  # steps
_CALIBRATION_RATE = 3e-2
_OWN_SHARE = 0.5  # of made speech: what must be known best
_NOISY = 0.25  # share

Clip = tuple[Store, Utterance]


class DetectorJob:
    """Classification of pieces of 2 s; temperatures are fitted beside it on other speakers.

    leave_out: a generator of made speech that is not learnt from, to see what the detector makes of
    one that it never heard. UsageError where the stores have none of that name, or no other.
    """

    peak_rate = 2e-3

    def __init__(
        self,
        stores: list[Store],
        folder: Path,
        size: str,
        device: str,
        seed: int,
        leave_out: str | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        # By kind and generator, so that each is heard as often as the next.
        self.clips: dict[str, dict[str, list[Clip]]] = {kind: {} for kind in KINDS}
        self.held: dict[str, dict[str, list[Clip]]] = {kind: {} for kind in KINDS}
        for store in stores:
            for one in store.utterances:
                kind, _, generator = one.corpus.partition("/")
                if kind not in KINDS:
                    raise UsageError(
                        f"{store.folder} was not written by `valle prepare detector`: "
                        f"{one.corpus!r} is no kind of speech that a detector knows"
                    )
                part = self.held if is_held("detector", one.speaker, HELD_ONE_IN) else self.clips
                part[kind].setdefault(generator, []).append((store, one))
        if leave_out is not None:
            made = self.clips["made"]
            if leave_out not in made:
                raise UsageError(
                    f"no made speech by {leave_out!r} is there to leave out; there is "
                    + ", ".join(sorted(made))
                )
            del made[leave_out]
            self.held["made"].pop(leave_out, None)
        for kind in KINDS:
            if not self.clips[kind] or not self.held[kind]:
                raise UsageError(
                    f"the detector needs {kind} speech of several speakers, also among those that "
                    "are kept for calibration; prepare more"
                )
        shape = DETECTOR_SIZES[size]
        self.detector = Detector(shape).to(self.device)
        self.modules: dict[str, nn.Module] = {"detector": self.detector}
        weights = [
            weight for name, weight in self.detector.named_parameters() if name != "log_temperature"
        ]
        self.optimizer = torch.optim.AdamW(weights, lr=self.peak_rate, weight_decay=2e-2)
        self.calibration = torch.optim.Adam([self.detector.log_temperature], lr=_CALIBRATION_RATE)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "detector": self.optimizer,
            "calibration": self.calibration,
        }
        self.generators = {"job": self.rng}
        keep_size(folder, shape)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        waveform, wanted = self._batch(self.clips, _BATCH, _SECONDS)
        with mixed_precision(self.device):
            raw = self.detector.raw(waveform).float()
        whole = raw.mean(dim=1)
        each = functional.cross_entropy(raw.flatten(0, 1), wanted.repeat_interleave(_SECONDS))
        loss = functional.cross_entropy(whole, wanted) + 0.5 * each
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.detector.parameters(), 1.0)
        self.optimizer.step()
        figures = {
            "loss": float(loss.detach()),
            "right": float((whole.argmax(-1) == wanted).float().mean()),
        }
        if number % _CALIBRATE_EVERY == 0:
            figures |= self._calibrate(progress)
        return figures

    def sample(self, folder: Path, number: int) -> None:
        """Nothing to hear: the figures say it."""

    def _calibrate(self, progress: float) -> dict[str, float]:
        set_learning_rate(self.calibration, learning_rate(progress, _CALIBRATION_RATE))
        waveform, wanted = self._batch(self.held, _HELD, _HELD_SECONDS)
        with torch.no_grad(), mixed_precision(self.device):
            raw = self.detector.raw(waveform).float()
        seconds, whole = self.detector.calibrated(raw)
        loss = functional.cross_entropy(whole, wanted) + functional.cross_entropy(
            seconds.flatten(0, 1), wanted.repeat_interleave(_HELD_SECONDS)
        )
        self.calibration.zero_grad(set_to_none=True)
        loss.backward()
        self.calibration.step()
        right = (whole.argmax(-1) == wanted).float().mean()
        return {"held_loss": float(loss.detach()), "held_right": float(right)}

    def _batch(
        self, clips: dict[str, dict[str, list[Clip]]], count: int, seconds: int
    ) -> tuple[Tensor, Tensor]:
        """Pieces [count, seconds] and their kinds [count], each kind as often as the others."""
        kinds = np.arange(count) % len(KINDS)
        pieces = np.stack([self._piece(clips[KINDS[kind]], seconds) for kind in kinds])
        return torch.from_numpy(pieces).to(self.device), torch.from_numpy(kinds).to(self.device)

    def _piece(self, generators: dict[str, list[Clip]], seconds: int) -> np.ndarray:
        others = [name for name in generators if name != GENERATOR]
        if GENERATOR in generators and (not others or self.rng.random() < _OWN_SHARE):
            group = generators[GENERATOR]
        else:
            group = generators[others[self.rng.integers(len(others))]]
        store, one = group[self.rng.integers(len(group))]
        length = seconds * SAMPLE_RATE
        samples = store.waveform(one)
        start = int(self.rng.integers(max(1, len(samples) - length + 1)))
        piece = np.resize(samples[start : start + length], length)
        if self.rng.random() < _NOISY:
            level = float(np.sqrt(np.mean(piece**2))) * 10.0 ** (-self.rng.uniform(15, 45) / 20.0)
            piece = piece + level * self.rng.standard_normal(length, dtype=np.float32)
        return np.asarray(piece, np.float32)
