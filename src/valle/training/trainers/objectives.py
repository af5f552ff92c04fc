"""The losses of the AR and the NAR as sums and weights, which may be added up over batches.

A loss is `sum / weight`, each over all examples of a step. Where a step is shared among processes
or cut into parts, every part contributes its sums, and the weights are those of the whole step: the
gradient is then that of one large batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.store import Store
from valle.training.data.epochs import EpochExamples
from valle.training.data.examples import INFILLING, Example, ExampleProbabilities
from valle.training.models.ar import AR
from valle.training.models.nar import NAR
from valle.training.models.sizes import NO_CODE
from valle.training.trainers.ar import (
    IGNORE_INDEX,
    ARHyperparameters,
    collate_examples,
    predict_batch,
)
from valle.training.trainers.nar import NARHyperparameters
from valle.training.trainers.optimization import mixed_precision
from valle.training.trainers.residual_prediction import ResidualPredictor, Rows, frame_rows

_LONG_PROMPTS = 2  # stream of random numbers, beside those of `EpochExamples`


class ARObjective(nn.Module):
    """Cross-entropy of first codes and of transitions, in nats.

    Args:
        model: the AR.
        device: of the model.
    """

    terms = ("code", "transition")

    def __init__(
        self,
        model: AR,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.model = model
        self.device = device
        self.hyperparameters = ARHyperparameters()

    def open_examples(
        self,
        stores: Sequence[Store],
        seed: int,
        bin_edges: NDArray[np.float64] | None = None,
        infilling: float = INFILLING,
    ) -> EpochExamples:
        """The examples of some corpora as the AR is trained on them, see `EpochExamples`."""
        return EpochExamples(stores, seed, ExampleProbabilities(infilling), bin_edges)

    def example(self, examples: EpochExamples, place: tuple[int, int]) -> Example:
        """The example at a place, with a short or a long prompt."""
        settings = self.hyperparameters
        rng = np.random.default_rng((examples.seed, *place, _LONG_PROMPTS))
        is_long = rng.random() < settings.long_prompt_prob
        prompt_frames = settings.long_prompt_frames if is_long else settings.prompt_frames
        return examples.example_of(
            place, prompt_frames, settings.target_frames, settings.from_start_prob
        )

    def collate(self, examples: list[Example]) -> Any:
        """What `weights` and a call take, see `collate_examples`."""
        return collate_examples(examples, self.device)

    def weights(self, batch: Any) -> Tensor:
        """Weight of the code loss and of the transition loss [2]."""
        transitions = (batch["transitions"] != IGNORE_INDEX).sum()
        return torch.stack((self._code_weights(batch).sum(), transitions.float()))

    def _code_weights(self, batch: Any) -> Tensor:
        weights = torch.where(batch["is_target"], 1.0, self.hyperparameters.prompt_weight)
        return weights * (batch["codes"][..., 0] != NO_CODE)

    def forward(self, batch: Any) -> Tensor:
        """Sum of the code loss and of the transition loss [2]."""
        with mixed_precision(self.device):
            logits, transitions = predict_batch(self.model, batch)
        codes = batch["codes"][..., 0]
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), codes.flatten(), reduction="none", ignore_index=NO_CODE
        ).reshape(codes.shape)
        transition = functional.cross_entropy(
            transitions.float().flatten(0, 1),
            batch["transitions"].flatten(),
            reduction="sum",
            ignore_index=IGNORE_INDEX,
        )
        return torch.stack(((losses * self._code_weights(batch)).sum(), transition))


@dataclass(frozen=True)
class _NARBatch:
    """Examples with the rows of their targets, and the vectors to predict [all frames, latent]."""

    examples: list[Example]
    targets: list[Rows]
    vectors: Tensor


class NARObjective(nn.Module):
    """Squared error of the residual vectors, relative to their own squares.

    Args:
        model: the NAR.
        device: of the model.
    """

    terms = ("loss",)

    def __init__(
        self,
        model: NAR,
        device: torch.device,
    ) -> None:
        super().__init__()
        self.model = model
        self.hyperparameters = NARHyperparameters()
        self._predictor = ResidualPredictor(model, device)
        size = model.size
        window = size.past + size.block + size.ahead
        self._target_frames = window // 2, window

    def open_examples(
        self,
        stores: Sequence[Store],
        seed: int,
        bin_edges: NDArray[np.float64] | None = None,
        infilling: float = INFILLING,
    ) -> EpochExamples:
        """The examples of some corpora as the NAR is trained on them, see `EpochExamples`."""
        dropout = self.hyperparameters.speaker_dropout
        probabilities = ExampleProbabilities(infilling, dropout, unconditional=0.0)
        return EpochExamples(stores, seed, probabilities, bin_edges)

    def example(self, examples: EpochExamples, place: tuple[int, int]) -> Example:
        """The example at a place."""
        settings = self.hyperparameters
        return examples.example_of(
            place, settings.prompt_frames, self._target_frames, settings.from_start_prob
        )

    def collate(self, examples: list[Example]) -> Any:
        """What `weights` and a call take: the examples with what is to be predicted."""
        targets = [frame_rows((example.target,)) for example in examples]
        codes = np.concatenate([rows[0] for rows in targets])
        return _NARBatch(examples, targets, self._predictor.residual_vectors(codes))

    def weights(self, batch: Any) -> Tensor:
        """The sum of the squared vectors [1]."""
        return batch.vectors.square().sum()[None]

    def forward(self, batch: Any) -> Tensor:
        """The sum of the squared errors [1]."""
        predicted = torch.cat(self._predictor.predict(batch.examples, batch.targets))
        return (predicted - batch.vectors).square().sum()[None]


LanguageModelObjective = ARObjective | NARObjective
