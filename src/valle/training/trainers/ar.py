"""`valle train ar`: the first codebook of each frame and the pointer's transition after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.runtime.pointer import count_frames_on_symbol
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_ar
from valle.training.data.examples import (
    INFILLING,
    Example,
    ExampleProbabilities,
    ExampleSource,
    Segment,
    pad_sequences,
)
from valle.training.models.ar import AR, input_codes
from valle.training.models.codec import Codec
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.models.sizes import NO_CODE, size_named
from valle.training.run_folder import load_bin_edges, save_bin_edges, save_size
from valle.training.trainers.guidance import (
    guidance_scales,
    guided_probabilities,
    kl_divergence,
    save_teacher,
)
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.trainers.trainer import TrainerContext

IGNORE_INDEX = -100  # target of rows that are not in a loss


@dataclass(frozen=True)
class ARHyperparameters:
    """How the AR is trained."""

    peak_rate: float = 1e-3
    batch_size: int = 8
    prompt_frames: tuple[int, int] = (75, 150)
    """Range of prompt lengths: 1.5 to 3 s."""
    long_prompt_frames: tuple[int, int] = (150, 500)
    """Range of long prompts: 3 to 10 s."""
    long_prompt_prob: float = 0.25
    """Probability that a batch has long prompts."""
    target_frames: tuple[int, int] = (100, 300)
    from_start_prob: float = 0.7
    """Probability that a target begins with its utterance."""
    prompt_weight: float = 0.5
    """Weight of the prompt's rows in the loss: speech like any other, but with all codes given."""
    max_gradient_norm: float = 1.0


class ARTrainer:
    """Trains on prompt and target as one sequence; each frame is predicted from those before it.

    Args:
        context: corpora, run folder, size, device and seed.
        codec: initializes the code embeddings; None: random.
        infilling: probability of an infilling example, 0 to 1.
        guidance: scale of the guidance to distill; None: none.
        hyperparameters: see there.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        codec: Codec | None = None,
        infilling: float = INFILLING,
        guidance: float | None = None,
        hyperparameters: ARHyperparameters = ARHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.device = context.torch_device
        self.examples = ExampleSource(
            context.stores,
            context.store_weights,
            context.seed,
            ExampleProbabilities(infilling),
            load_bin_edges(context.folder),
        )
        size = size_named(context.size).ar
        self.ar = AR(size, len(SYMBOLS))
        if codec is not None:
            self.ar.initialize_from(codec.quantiser.tables)
        self.ar.to(self.device)
        self.averaged: tuple[str, ...] = ("ar",)
        self.modules: dict[str, nn.Module] = {"ar": self.ar}
        self.optimizer = language_model_optimizer(self.ar, self.peak_rate)
        self.optimizers: dict[str, torch.optim.Optimizer] = {"ar": self.optimizer}
        self.generators = {"examples": self.examples.rng, "styles": self.examples.dropout_rng}
        save_size(context.folder, size)
        save_bin_edges(context.folder, self.examples.bin_edges)
        self.guidance = guidance or 0.0
        self.teacher: AR | None = None
        if guidance is not None:
            self.teacher = load_ar(save_teacher(context.folder, guidance)).to(self.device)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on a new batch."""
        settings = self.hyperparameters
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        is_long = self.examples.rng.random() < settings.long_prompt_prob
        prompt_frames = settings.long_prompt_frames if is_long else settings.prompt_frames
        examples = [
            self.examples.example(prompt_frames, settings.target_frames, settings.from_start_prob)
            for _ in range(settings.batch_size)
        ]
        code_loss, transition_loss, metrics = self.losses(examples)
        self.optimizer.zero_grad(set_to_none=True)
        (code_loss + transition_loss).backward()
        nn.utils.clip_grad_norm_(self.ar.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        return metrics

    def losses(self, examples: list[Example]) -> tuple[Tensor, Tensor, dict[str, float]]:
        """Cross-entropy of codes and of transitions, in nats; the metrics cover only the targets.

        With guidance, the loss of the targets' codes is the divergence from the guided teacher.
        """
        batch = collate_examples(examples, self.device)
        with mixed_precision(self.device):
            logits, transitions = predict_batch(self.ar, batch)
        codes = batch["codes"][..., 0]
        losses = functional.cross_entropy(
            logits.float().flatten(0, 1), codes.flatten(), reduction="none", ignore_index=NO_CODE
        ).reshape(codes.shape)
        weight = torch.where(batch["is_target"], 1.0, self.hyperparameters.prompt_weight)
        weight = weight * (codes != NO_CODE)
        transition_loss = functional.cross_entropy(
            transitions.float().flatten(0, 1),
            batch["transitions"].flatten(),
            ignore_index=IGNORE_INDEX,
        )
        target = batch["is_target"] & (codes != NO_CODE)
        metrics = {
            "code": float(losses.detach()[target].mean()),
            "transition": float(transition_loss.detach()),
        }
        if self.teacher is not None:
            aim = self._teacher_probabilities(self.teacher, batch, examples)
            divergence = kl_divergence(logits.float()[target], aim)
            metrics["divergence"] = float(divergence.detach().mean())
            losses = losses.masked_scatter(target, divergence)
        code_loss = (losses * weight).sum() / weight.sum()
        return code_loss, transition_loss, metrics

    @torch.no_grad()
    def _teacher_probabilities(
        self, teacher: AR, batch: dict[str, Tensor], examples: list[Example]
    ) -> Tensor:
        """The guided teacher's probabilities [rows, 1024] of the targets' frames, item by item."""
        unconditional = [example.unconditional() for example in examples]
        target_logits = []
        for inputs in (batch, collate_examples(unconditional, self.device)):
            with mixed_precision(self.device):
                logits, _ = predict_batch(teacher, inputs)
            is_target = inputs["is_target"] & (inputs["codes"][..., 0] != NO_CODE)
            target_logits.append(logits.float()[is_target])
        lengths = torch.tensor([len(e.target.codes) for e in examples], device=self.device)
        scales = torch.from_numpy(guidance_scales(examples, self.guidance)).to(self.device)
        conditional_logits, unconditional_logits = target_logits
        return guided_probabilities(
            conditional_logits, unconditional_logits, scales.repeat_interleave(lengths)
        )

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: samples need all models (`valle export`, then `valle speak`)."""


def predict_batch(ar: AR, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Logits [B, T, 1024] and transitions [B, T, 3] of a batch: context rows, then target rows.

    Every segment is encoded by itself, and the context without the style, as at run time.
    """
    encoded = [
        ar.phonemes(batch[f"{part}_symbols"], batch[f"{part}_stress"], batch["voice"], style)
        for part, style in (("first", None), ("second", None), ("target", batch["style"]))
        if f"{part}_symbols" in batch
    ]
    rows = gather_rows(torch.cat(encoded, dim=1), batch["frame_symbol"])
    logits, transitions = ar(batch["inputs"], rows, batch["stay"])
    return logits, transitions


def collate_examples(examples: list[Example], device: torch.device) -> dict[str, Tensor]:
    """Collate examples: rows of the context, then of the target, padded on the right.

    Symbols are in three blocks: the first segment of the context, the second (if any example has
    one) and the target; `frame_symbol` indexes into all of them together.
    """
    rows = [(*example.context, example.target) for example in examples]
    parts: dict[str, list[Segment | None]] = {
        "first": [example.context[0] for example in examples],
        "second": [example.context[1] if example.context[1:] else None for example in examples],
        "target": [example.target for example in examples],
    }
    if not any(parts["second"]):
        del parts["second"]
    arrays, offsets = _pad_symbols(parts)
    frame_symbols = [
        np.concatenate(
            [
                offsets[part] + segment.frame_symbol
                for part, segments in parts.items()
                if (segment := segments[index]) is not None
            ]
        )
        for index in range(len(examples))
    ]
    arrays |= {
        "codes": pad_sequences([np.concatenate([s.codes for s in row]) for row in rows], NO_CODE),
        "frame_symbol": pad_sequences(frame_symbols, 0),
        "stay": pad_sequences(
            [np.concatenate([count_frames_on_symbol(s.frame_symbol) for s in row]) for row in rows],
            0,
        ),
        "transitions": pad_sequences(
            [np.concatenate([_transitions(s) for s in row]) for row in rows], IGNORE_INDEX
        ),
        "is_target": pad_sequences(
            [
                (np.arange(len(path)) >= example.frames).astype(np.int64)
                for path, example in zip(frame_symbols, examples, strict=True)
            ],
            0,
        ),
        "style": np.stack([example.style for example in examples]),
        "prompt_frames": np.array([example.frames for example in examples]),
        "prefix_frames": np.array([example.prefix for example in examples]),
    }
    tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
    tensors["is_target"] = tensors["is_target"].bool()
    # The speaker embedding of the prompt, not of the target: at run time there is only a prompt.
    tensors["voice"] = torch.from_numpy(np.stack([e.context[0].voice for e in examples])).to(device)
    frames = tensors["prompt_frames"], tensors["prefix_frames"]
    tensors["inputs"] = input_codes(tensors["codes"], *frames)
    return tensors


def _pad_symbols(
    parts: dict[str, list[Segment | None]],
) -> tuple[dict[str, NDArray[np.int64]], dict[str, int]]:
    """Symbols and stress of each part [B, S], and where its symbols begin among those of all."""
    empty = np.zeros(0, np.int64)
    arrays: dict[str, NDArray[np.int64]] = {}
    offsets: dict[str, int] = {}
    offset = 0
    for part, segments in parts.items():
        symbols = [empty if segment is None else segment.symbols for segment in segments]
        stress = [empty if segment is None else segment.stress for segment in segments]
        arrays[f"{part}_symbols"] = pad_sequences(symbols, PADDING)
        arrays[f"{part}_stress"] = pad_sequences(stress, 0)
        offsets[part] = offset
        offset += arrays[f"{part}_symbols"].shape[1]
    return arrays, offsets


def _transitions(segment: Segment) -> NDArray[np.int64]:
    """The transition after each frame; ignored after the last one of a segment that was cut."""
    path = segment.frame_symbol
    if not len(path):
        return path
    last = IGNORE_INDEX if segment.stop is None else segment.stop - path[-1]
    return np.append(np.diff(path), last)
