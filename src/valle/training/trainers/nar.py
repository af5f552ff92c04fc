"""`valle train nar`: the residual codebooks (2 to 8) of all frames of a window at once.

At run time the prediction is corrected by the prediction residuals of the prompt
(`residual_correction`). Training does the same, so the model learns what the correction leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valle.text.symbols import SYMBOLS
from valle.training.data.examples import INFILLING, Example, ExampleProbabilities, ExampleSource
from valle.training.models.codec import Codec
from valle.training.models.nar import NAR
from valle.training.models.sizes import size_named
from valle.training.run_folder import load_bin_edges, save_bin_edges, save_size
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    set_learning_rate,
)
from valle.training.trainers.residual_prediction import ResidualPredictor, frame_rows
from valle.training.trainers.trainer import TrainerContext


@dataclass(frozen=True)
class NARHyperparameters:
    """How the NAR is trained."""

    peak_rate: float = 1e-3
    batch_size: int = 12
    prompt_frames: tuple[int, int] = (75, 150)
    """Range of prompt lengths: 1.5 to 3 s."""
    from_start_prob: float = 0.4
    """Probability that a target begins with its utterance."""
    speaker_dropout: float = 0.5
    """Probability that an example has no speaker embedding. The model knows training voices by
    their embeddings; without them it has to use the prompt, as it must for a new voice."""
    max_gradient_norm: float = 1.0


class NARTrainer:
    """Trains on windows as long as those at run time: past, block and lookahead.

    Args:
        context: corpora, run folder, size, device and seed.
        codec: initializes the code embeddings and codebooks; None: random.
        infilling: probability of an infilling example, 0 to 1.
        hyperparameters: see there.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        codec: Codec | None = None,
        infilling: float = INFILLING,
        hyperparameters: NARHyperparameters = NARHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.rng = np.random.default_rng(context.seed)
        self.device = context.torch_device
        self.examples = ExampleSource(
            context.stores,
            context.store_weights,
            context.seed + 1,
            ExampleProbabilities(infilling, hyperparameters.speaker_dropout, unconditional=0.0),
            load_bin_edges(context.folder),
        )
        self.size = size_named(context.size).nar
        self.nar = NAR(self.size, len(SYMBOLS))
        if codec is not None:
            self.nar.initialize_from(codec.quantiser.tables)
        self.nar.to(self.device)
        self.predictor = ResidualPredictor(self.nar, self.device)
        self.averaged: tuple[str, ...] = ("nar",)
        self.modules: dict[str, nn.Module] = {"nar": self.nar}
        self.optimizer = language_model_optimizer(self.nar, self.peak_rate)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"nar": self.optimizer}
        self.generators = {
            "job": self.rng,
            "examples": self.examples.rng,
            "styles": self.examples.dropout_rng,
        }
        save_size(context.folder, self.size)
        save_bin_edges(context.folder, self.examples.bin_edges)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on a new batch."""
        settings = self.hyperparameters
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        window = self.size.past + self.size.block + self.size.ahead
        target_frames = (window // 2, window)
        examples = [
            self.examples.example(settings.prompt_frames, target_frames, settings.from_start_prob)
            for _ in range(settings.batch_size)
        ]
        loss, metrics = self.loss(examples)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.nar.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        return metrics

    def loss(self, examples: list[Example]) -> tuple[Tensor, dict[str, float]]:
        """Squared error relative to the squared target (1: as good as predicting zero)."""
        targets = [frame_rows((example.target,)) for example in examples]
        predicted = torch.cat(self.predictor.predict(examples, targets))
        vectors = self.predictor.residual_vectors(
            np.concatenate([codes for codes, _, _ in targets])
        )
        error = (predicted - vectors).square().sum() / vectors.square().sum()
        return error, {"loss": float(error.detach())}

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: samples need all models (`valle export`, then `valle speak`)."""
