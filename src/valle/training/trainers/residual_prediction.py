"""The NAR's prediction as it is made at run time, for its trainers.

The residual vectors of a target are predicted after a prompt, and corrected by the prediction
residuals of that prompt (`residual_correction`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from valle.arrays import Ints
from valle.training.data.examples import Example, Segment, pad_sequences
from valle.training.models.nar import NAR, Frames, mask_residual_codebooks, residual_correction
from valle.training.models.phonemes import Conditioning
from valle.training.models.quantizer import residual_vectors
from valle.training.models.sizes import NO_CODE
from valle.training.trainers.optimization import mixed_precision

Rows = tuple[Ints, Ints, Ints]  # codes [T, 8], symbols, stress [T] of frames


class ResidualPredictor:
    """Predicts the residual vectors of examples with a NAR model that is being trained."""

    def __init__(self, nar: NAR, device: torch.device) -> None:
        self.nar = nar
        self.device = device

    def predict(self, examples: Sequence[Example], targets: Sequence[Rows]) -> list[Tensor]:
        """Predict the residual vectors of each target, corrected by its prompt's residuals.

        Args:
            examples: give the contexts, the speaker embeddings and the styles.
            targets: rows of each target; of the codes, only the first codebook is used.

        Returns:
            [T, latent] of each target.
        """
        contexts = [frame_rows(example.context) for example in examples]
        voice = np.stack([example.context[0].voice for example in examples])
        style = self._tensor(np.stack([example.style for example in examples]))
        residuals = self._prompt_residuals(contexts, self._tensor(voice))
        predicted = self._forward(contexts, targets, self._tensor(voice), style)
        corrected = []
        for row, (context, target) in enumerate(zip(contexts, targets, strict=True)):
            prompt_codes, codes = self._tensor(context[0]), self._tensor(target[0])
            correction = residual_correction(
                self.nar.tables[0], codes[None, :, 0], prompt_codes[None, :, 0], residuals[row]
            )
            corrected.append(predicted[row, : len(codes)] + correction[0])
        return corrected

    def residual_vectors(self, codes: Ints) -> Tensor:
        """Sum of the vectors of codebooks 2 to 8 for codes [T, 8]; [T, latent]."""
        return residual_vectors(self.nar.tables[1:], self._tensor(codes[:, 1:]))

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
        predicted = self._forward(
            [*second, *first], [*first, *second], torch.cat((voice, voice)), None
        )
        self.nar.train(was_training)
        residuals = []
        for row, (codes, _, _) in enumerate(contexts):
            lengths = len(first[row][0]), len(second[row][0])
            halves_predicted = (
                predicted[row, : lengths[0]],
                predicted[len(contexts) + row, : lengths[1]],
            )
            residuals.append((self.residual_vectors(codes) - torch.cat(halves_predicted))[None])
        return residuals

    def _forward(
        self, contexts: list[Rows], targets: Sequence[Rows], voice: Tensor, style: Tensor | None
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
        target = self._collate(targets)
        prompt_frames, frames = ([len(rows[0]) for rows in items] for items in (contexts, targets))
        with mixed_precision(self.device):
            predicted = self.nar.forward_training(
                self._collate(contexts),
                target._replace(codes=mask_residual_codebooks(target.codes)),
                Conditioning(voice, style),
                torch.tensor(prompt_frames, device=self.device),
                torch.tensor(frames, device=self.device),
            )
        return predicted.float()

    def _collate(self, items: Sequence[Rows]) -> Frames:
        """Batch the rows of each item, padded on the right."""
        codes, symbols, stress = (list(column) for column in zip(*items, strict=True))
        return Frames(
            self._tensor(pad_sequences(codes, NO_CODE)),
            self._tensor(pad_sequences(symbols, 0)),
            self._tensor(pad_sequences(stress, 0)),
        )

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def frame_rows(segments: Sequence[Segment]) -> Rows:
    """Codes [T, 8], symbols and stress [T] of the frames of consecutive segments."""
    return (
        np.concatenate([segment.codes for segment in segments]),
        np.concatenate([segment.symbols[segment.frame_symbol] for segment in segments]),
        np.concatenate([segment.stress[segment.frame_symbol] for segment in segments]),
    )
