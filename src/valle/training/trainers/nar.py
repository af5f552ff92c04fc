"""`valle train nar`: the residual codebooks (2 to 8) of all frames of a window at once.

At run time the prediction is corrected by the prediction residuals of the prompt
(`residual_correction`). Training does the same, so the model learns what the correction leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valle.arrays import Ints
from valle.text.symbols import SYMBOLS
from valle.training.data.examples import INFILLING, Example, ExampleSource, Segment, pad_sequences
from valle.training.models.codec import Codec
from valle.training.models.nar import NAR, mask_residual_codebooks, residual_correction
from valle.training.models.quantizer import residual_vectors
from valle.training.models.sizes import NO_CODE, size_named
from valle.training.run_folder import load_bin_edges, save_bin_edges, save_size
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.trainers.trainer import TrainerContext

Rows = tuple[Ints, Ints, Ints]  # codes [T, 8], symbols, stress [T] of frames


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
            infilling,
            load_bin_edges(context.folder),
            hyperparameters.speaker_dropout,
            unconditional=0.0,
        )
        self.size = size_named(context.size).nar
        self.nar = NAR(self.size, len(SYMBOLS))
        if codec is not None:
            self.nar.initialize_from(codec.quantiser.tables)
        self.nar.to(self.device)
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
        contexts = [_rows(example.context) for example in examples]
        targets = [_rows((example.target,)) for example in examples]
        voice = torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(self.device)
        style = self._tensor(np.stack([example.style for example in examples]))
        residuals = self._prompt_residuals(contexts, voice)
        predicted = self._predict(contexts, targets, voice, style)
        corrected = []
        for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
            prompt_codes, codes = self._tensor(context[0]), self._tensor(target[0])
            correction = residual_correction(
                self.nar.tables[0], codes[None, :, 0], prompt_codes[None, :, 0], residuals[row]
            )
            corrected.append(predicted[row, : len(codes)] + correction[0])
        target_vectors = self._residual_vectors(np.concatenate([codes for codes, _, _ in targets]))
        error = (torch.cat(corrected) - target_vectors).square().sum()
        error = error / target_vectors.square().sum()
        return error, {"loss": float(error.detach())}

    @torch.no_grad()
    def _prompt_residuals(self, contexts: list[Rows], voice: Tensor) -> list[Tensor]:
        """Prediction residuals of each context [1, frames, latent].

        Its vectors minus those predicted of each half with the other half as the prompt, as at run
        time.
        """
        context_halves = [[np.array_split(array, 2) for array in context] for context in contexts]
        first, second = ([(c[h], s[h], t[h]) for c, s, t in context_halves] for h in (0, 1))
        was_training = self.nar.training
        self.nar.eval()
        predicted = self._predict(
            [*second, *first], [*first, *second], torch.cat((voice, voice)), None
        )
        self.nar.train(was_training)
        residuals = []
        for row, (codes, _, _) in enumerate(contexts):
            lengths = len(first[row][0]), len(second[row][0])
            context_predicted = torch.cat(
                (predicted[row, : lengths[0]], predicted[len(contexts) + row, : lengths[1]])
            )
            residuals.append((self._residual_vectors(codes) - context_predicted)[None])
        return residuals

    def _residual_vectors(self, codes: Ints) -> Tensor:
        """Sum of the vectors of codebooks 2 to 8 for codes [T, 8]; [T, latent]."""
        return residual_vectors(self.nar.tables[1:], self._tensor(codes[:, 1:]))

    def _predict(
        self, contexts: list[Rows], targets: list[Rows], voice: Tensor, style: Tensor | None
    ) -> Tensor:
        """Predict the residual vectors of each target after its context, without correction.

        Args:
            contexts: rows of each item.
            targets: rows of each item.
            voice: speaker embeddings [B, 192].
            style: bins [B, 5], or None.

        Returns:
            [B, longest target, latent].
        """
        codes, symbols, stress = self._batch(targets)
        prompt_frames, frames = ([len(rows[0]) for rows in items] for items in (contexts, targets))
        with mixed_precision(self.device):
            predicted = self.nar.forward_training(
                self._batch(contexts),
                (mask_residual_codebooks(codes), symbols, stress),
                voice,
                torch.tensor(prompt_frames, device=self.device),
                torch.tensor(frames, device=self.device),
                style,
            )
        return predicted.float()

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: samples need all models (`valle export`, then `valle speak`)."""

    def _batch(self, items: list[Rows]) -> tuple[Tensor, Tensor, Tensor]:
        """Collate the rows of each item, padded on the right."""
        codes, symbols, stress = (list(column) for column in zip(*items, strict=True))
        return (
            self._tensor(pad_sequences(codes, NO_CODE)),
            self._tensor(pad_sequences(symbols, 0)),
            self._tensor(pad_sequences(stress, 0)),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _rows(segments: Sequence[Segment]) -> Rows:
    """Codes [T, 8], symbols and stress [T] of the frames of consecutive segments."""
    return (
        np.concatenate([segment.codes for segment in segments]),
        np.concatenate([segment.symbols[segment.frame_symbol] for segment in segments]),
        np.concatenate([segment.stress[segment.frame_symbol] for segment in segments]),
    )
