"""Fine-tuning on little speech: low-rank changes of the AR and the NAR of a bundle.

Part of the speech is held out. After every round of training the loss on it is measured, and the
best round is kept. A model that no round improves stays as it was.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from valle.audio_format import FRAME_RATE
from valle.bundle.adapter import MAX_RANK
from valle.corpora.store import Store
from valle.errors import UsageError
from valle.training.data.epochs import EpochExamples, EpochOrder
from valle.training.data.examples import LabeledUtterance
from valle.training.models.lora import adapt_linear_layers, read_matrices
from valle.training.trainers.objectives import LanguageModelObjective
from valle.training.trainers.optimization import learning_rate, set_learning_rate

MIN_SECONDS = 120.0  # of speech with labels
HELDOUT_SHARE = 0.1  # of a speaker's utterances
_MIN_HELDOUT = 3  # utterances: a prompt and several targets


@dataclass(frozen=True)
class AdaptationOptions:
    """How an adapter is trained.

    Raises:
        UsageError: the rank or the time is out of range.
    """

    minutes: float = 20.0
    """Most time to train the AR and the NAR together."""
    rank: int = 8
    peak_rate: float = 1e-3
    batch_size: int = 8
    round_steps: int = 25
    """Fewest steps between measurements; a round is whole epochs."""
    patience: int = 4
    """Rounds without improvement after which training stops."""
    max_rounds: int = 40
    validation_examples: int = 64
    seed: int = 0
    ar_share: float = 0.6
    """Share of the time that the AR takes."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= MAX_RANK:
            raise UsageError(f"--rank must be from 1 to {MAX_RANK}, not {self.rank}")
        if not self.minutes > 0:
            raise UsageError(f"--minutes must be above 0, not {self.minutes}")


@dataclass(frozen=True)
class AdaptedModel:
    """The best round of one model.

    Attributes:
        matrices: see `valle.bundle.adapter`; of the last round that improved the model.
        base_loss: on held-out speech, before training.
        best_loss: the same after the best round; equal to `base_loss` if none was better.
        epochs: passes through the speech up to the best round.
        all_epochs: passes in all.
    """

    matrices: dict[str, NDArray[np.float16]]
    base_loss: float
    best_loss: float
    epochs: int
    all_epochs: int

    @property
    def improved(self) -> bool:
        """Whether a round was better than the base."""
        return self.best_loss < self.base_loss


Report = Callable[[str, int, float], None]
"""Takes the model's name, the number of epochs done, and the loss on held-out speech."""


def split_heldout(stores: Sequence[Store]) -> frozenset[tuple[str, str]]:
    """Choose the utterances that are held out to measure on, by the hash of their names.

    Returns:
        Folder and id of each.

    Raises:
        UsageError: there is too little labeled speech to train and measure on.
    """
    heldout, seconds = set(), 0.0
    for store in stores:
        groups: dict[str, list[str]] = {}
        for utterance in store.utterances:
            if utterance.id in store.labels:
                groups.setdefault(utterance.speaker, []).append(utterance.id)
                seconds += len(store.labels[utterance.id].frame_symbol) / FRAME_RATE
        for names in groups.values():
            names.sort(key=lambda name: hashlib.sha256(name.encode()).digest())
            count = max(_MIN_HELDOUT, round(HELDOUT_SHARE * len(names)))
            if len(names) >= 2 * count:
                heldout |= {(str(store.folder), name) for name in names[:count]}
    if seconds < MIN_SECONDS or not heldout:
        raise UsageError(
            f"the corpora have {seconds / 60:.1f} minutes of speech that fits its transcripts; an "
            f"adapter needs {MIN_SECONDS / 60:.0f} minutes or more, in "
            f"{2 * _MIN_HELDOUT} recordings or more of a speaker"
        )
    return frozenset(heldout)


class AdapterTrainer:
    """Trains the low-rank changes of one model.

    Args:
        objective: of the model, whose linear layers are replaced by adapted ones.
        name: of its graph, "ar" or "nar".
        stores: with codes and labels of the bundle.
        options: see there.
        bin_edges: of the bundle's styles [5, 7]; None: it has none.

    Raises:
        UsageError: there is too little speech.
    """

    def __init__(
        self,
        objective: LanguageModelObjective,
        name: str,
        stores: Sequence[Store],
        options: AdaptationOptions,
        bin_edges: NDArray[np.float64] | None = None,
    ) -> None:
        torch.manual_seed(options.seed)
        self.objective, self.name, self.options = objective, name, options
        heldout = split_heldout(stores)
        self.training, validation = (
            objective.open_examples(stores, seed, bin_edges)
            for seed in (options.seed, options.seed + 1)
        )
        self.training.restrict(lambda source: not _is_in(heldout, source))
        validation.restrict(lambda source: _is_in(heldout, source))
        self.optimizer = torch.optim.AdamW(
            adapt_linear_layers(objective.model, options.rank),
            betas=(0.9, 0.95),
            weight_decay=0.01,
        )
        self.order = EpochOrder(self.training.lengths, options.batch_size, options.seed)
        self.steps_per_epoch = max(1, len(self.training.targets) // options.batch_size)
        self.step = 0
        self._batches = _collate_validation(objective, validation, options)

    def train(self, report: Report) -> AdaptedModel:
        """Train until the time is spent, or rounds no longer improve the model.

        Args:
            report: called after every round.

        Returns:
            The best round.
        """
        options = self.options
        share = options.ar_share if self.name == "ar" else 1.0 - options.ar_share
        seconds, start = 60.0 * options.minutes * share, time.monotonic()
        base = best = self._measure()
        report(self.name, 0, base)
        matrices = read_matrices(self.objective.model, self.name)
        best_step = best_round = number = 0
        is_over = False
        while not is_over and number - best_round < options.patience:
            is_over = self._train_round(start, seconds)
            number += 1
            loss = self._measure()
            report(self.name, self.epoch, loss)
            if loss < best:
                best, best_round, best_step = loss, number, self.step
                matrices = read_matrices(self.objective.model, self.name)
            is_over = is_over or number == options.max_rounds
        epochs = best_step // self.steps_per_epoch
        return AdaptedModel(matrices, base, best, epochs, self.epoch)

    @property
    def epoch(self) -> int:
        """Passes through the training speech so far."""
        return self.step // self.steps_per_epoch

    def _train_round(self, start: float, seconds: float) -> bool:
        """Train whole epochs, until a time is over; returns whether it is."""
        options, objective = self.options, self.objective
        steps = -(-options.round_steps // self.steps_per_epoch) * self.steps_per_epoch
        for _ in range(steps):
            planned = self.step / (options.max_rounds * steps)
            progress = max((time.monotonic() - start) / seconds, planned)
            if progress >= 1.0:
                return True
            set_learning_rate(self.optimizer, learning_rate(progress, options.peak_rate))
            places = self.order.batch(self.step)
            batch = objective.collate([objective.example(self.training, p) for p in places])
            self.optimizer.zero_grad(set_to_none=True)
            (objective(batch) / objective.weights(batch)).sum().backward()
            nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 1.0)
            self.optimizer.step()
            self.step += 1
        return False

    @torch.no_grad()
    def _measure(self) -> float:
        """The sum of the losses over the held-out examples."""
        objective = self.objective
        objective.model.eval()
        sums = torch.stack([objective(batch).double() for batch in self._batches]).sum(0)
        weights = torch.stack([objective.weights(batch).double() for batch in self._batches])
        objective.model.train()
        return float((sums / weights.sum(0)).sum())


def _is_in(heldout: frozenset[tuple[str, str]], source: LabeledUtterance) -> bool:
    return (str(source.store.folder), source.utterance.id) in heldout


def _collate_validation(
    objective: LanguageModelObjective, validation: EpochExamples, options: AdaptationOptions
) -> list[Any]:
    """Batches of held-out examples, the same for every measurement."""
    count = options.validation_examples
    places = [divmod(number, len(validation.targets)) for number in range(count)]
    size = options.batch_size
    return [
        objective.collate([objective.example(validation, place) for place in places[i : i + size]])
        for i in range(0, count, size)
    ]
