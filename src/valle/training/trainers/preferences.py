"""`valle train ar --preferences`: the AR learns which of its own samples are good.

Direct preference optimization (Rafailov et al. 2023, section 4) word by word: of each word of a
sentence, the candidate in which a recognizer understood it best is preferred to the one in which it
understood it worst, each with the frames that the pointer spent on that word. Comparing words
rather than sentences says which frames were good, and gives ten comparisons instead of one. Where
words are understood equally well, the candidate that is more like its voice is preferred.

Only codes are compared. Slow speech is understood better, so a pointer that took part would learn
to drawl; it learns from recordings instead, which have the pace of people.

On recordings, the codes are kept near those of the model that it started from, as pretraining
gradients are mixed in by Ouyang et al. (2022, "InstructGPT", section 3.5): styles, infilling and
the unconditional model, none of which the comparisons cover, stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.training.checkpoints import load_ar
from valle.training.data.examples import INFILLING
from valle.training.data.preferences import PreferenceGroup
from valle.training.models.ar import AR
from valle.training.models.sizes import NO_CODE
from valle.training.run_folder import CHECKPOINT
from valle.training.trainers.ar import (
    IGNORE_INDEX,
    ARHyperparameters,
    ARTrainer,
    collate_examples,
    predict_batch,
)
from valle.training.trainers.guidance import copy_start, kl_divergence
from valle.training.trainers.optimization import (
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.trainers.trainer import TrainerContext


@dataclass(frozen=True)
class PreferenceHyperparameters:
    """How the AR is trained on preferences."""

    groups: int = 2
    """Sentences per step, with all their candidates."""
    scale: float = 0.2
    """How strongly the model is held to its reference: beta of Rafailov et al."""
    margins: tuple[float, float] = (0.3, 3.0)
    """Difference in log probability from which on a word counts, and to which it weighs more."""
    similarity_weight: float = 8.0
    """How much the similarity of the whole candidate to its voice adds to the score of each word:
    it decides where the words are understood equally well."""
    recordings: int = 4
    """Examples of recordings per step."""
    recording_weight: float = 1.0
    """Weight of the divergence on recordings."""
    transition_weight: float = 4.0
    """Weight of the pointer's cross-entropy on recordings. Only codes pull on the layers that both
    share, so the pointer needs the stronger hold."""


class PreferenceTrainer(ARTrainer):
    """Trains on groups of candidates, and on recordings to stay what it is otherwise.

    Args:
        context: corpora of recordings, run folder, size, device and seed.
        groups: from `read_preferences`.
        infilling: probability that an example of a recording is infilling, 0 to 1.
        settings: see there.

    Raises:
        UsageError: the run has no model to start from.
    """

    def __init__(
        self,
        context: TrainerContext,
        groups: Sequence[PreferenceGroup],
        *,
        infilling: float = INFILLING,
        settings: PreferenceHyperparameters = PreferenceHyperparameters(),  # frozen
    ) -> None:
        super().__init__(
            context,
            infilling=infilling,
            hyperparameters=ARHyperparameters(peak_rate=1e-4, batch_size=settings.recordings),
        )
        self.groups = groups
        self.settings = settings
        # Without dropout, so that what differs from the reference is what was learned.
        self.ar.eval()
        reference = context.folder / "reference"
        if not (reference / CHECKPOINT).is_file():
            copy_start(context.folder, reference, "preferences are learned by")
        self.reference = load_ar(reference).to(self.device).requires_grad_(False)
        self.group_rng = np.random.default_rng((context.seed, 2))
        self.generators["groups"] = self.group_rng

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on some groups and some recordings."""
        settings, metrics = self.settings, {"preference": 0.0, "agreement": 0.0}
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        self.optimizer.zero_grad(set_to_none=True)
        for index in self.group_rng.integers(len(self.groups), size=settings.groups):
            loss, agreement = self._group_loss(self.groups[index])
            (loss / settings.groups).backward()
            metrics["preference"] += float(loss.detach()) / settings.groups
            metrics["agreement"] += agreement / settings.groups
        divergence, transition = self._recording_losses()
        weighted = settings.recording_weight * divergence + settings.transition_weight * transition
        weighted.backward()
        metrics |= {"divergence": float(divergence.detach())}
        metrics |= {"transition": float(transition.detach())}
        nn.utils.clip_grad_norm_(self.ar.parameters(), self.hyperparameters.max_gradient_norm)
        self.optimizer.step()
        return metrics

    def _group_loss(self, group: PreferenceGroup) -> tuple[Tensor, float]:
        probabilities = self._word_log_probabilities(self.ar, group)
        with torch.no_grad():
            reference = self._word_log_probabilities(self.reference, group)
        scores = group.scores + self.settings.similarity_weight * group.similarities[:, None]
        return preference_loss(
            probabilities - reference,
            torch.from_numpy(scores).to(self.device),
            self.settings.scale,
            self.settings.margins,
        )

    def _word_log_probabilities(self, model: AR, group: PreferenceGroup) -> Tensor:
        """Log probability [K, words] of the codes that each candidate spends on each word."""
        examples = group.examples()
        batch = collate_examples(examples, self.device)
        with mixed_precision(self.device):
            logits, _ = predict_batch(model, batch)
        frames = -functional.cross_entropy(
            logits.float().mT, batch["codes"][..., 0], reduction="none", ignore_index=NO_CODE
        )
        words = torch.zeros(len(examples), group.scores.shape[1], device=self.device)
        for row, (example, frame_words) in enumerate(
            zip(examples, group.frame_words(), strict=True)
        ):
            has_word = torch.from_numpy(frame_words >= 0)
            target = frames[row, example.frames : example.frames + len(frame_words)]
            index = torch.from_numpy(frame_words)[has_word].to(self.device)
            words[row] = words[row].index_add(0, index, target[has_word.to(self.device)])
        return words

    def _recording_losses(self) -> tuple[Tensor, Tensor]:
        """The codes' divergence from the reference and the pointer's cross-entropy, in nats.

        Both are means per frame of recordings.
        """
        settings = self.hyperparameters
        batch = collate_examples(
            [
                self.examples.example(
                    settings.prompt_frames, settings.target_frames, settings.from_start_prob
                )
                for _ in range(settings.batch_size)
            ],
            self.device,
        )
        with mixed_precision(self.device):
            codes, transitions = predict_batch(self.ar, batch)
            with torch.no_grad():
                reference_codes, _ = predict_batch(self.reference, batch)
        target = batch["is_target"] & (batch["codes"][..., 0] != NO_CODE)
        divergence = kl_divergence(
            codes.float()[target], reference_codes.float()[target].softmax(-1)
        ).mean()
        transition = functional.cross_entropy(
            transitions.float().mT, batch["transitions"], ignore_index=IGNORE_INDEX
        )
        return divergence, transition


def preference_loss(
    log_ratios: Tensor, scores: Tensor, scale: float, margins: tuple[float, float]
) -> tuple[Tensor, float]:
    """Compare the best and the worst candidate of each word.

    Args:
        log_ratios: [K, words] log probability by the model minus that by the reference.
        scores: [K, words] how well each was understood.
        scale: of the ratios.
        margins: difference of scores from which on a word counts, and to which it weighs more.

    Returns:
        The mean loss of the words that count, in nats (0 where none does), and the share of them in
        which the model moved toward the better candidate.
    """
    best, worst = scores.argmax(0), scores.argmin(0)
    word = torch.arange(scores.shape[1], device=scores.device)
    margin = scores[best, word] - scores[worst, word]
    counts = margin >= margins[0]
    if not bool(counts.any()):
        return log_ratios.sum() * 0.0, 0.0
    difference = (log_ratios[best, word] - log_ratios[worst, word])[counts]
    weight = margin[counts].clamp(max=margins[1])
    loss = -(functional.logsigmoid(scale * difference) * weight).sum() / weight.sum()
    return loss, float((difference.detach() > 0).float().mean())
