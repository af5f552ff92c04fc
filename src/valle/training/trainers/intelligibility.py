"""Perceptual losses: what frozen recognizers make of generated speech.

Distances between spectra or latents hardly depend on what makes words intelligible. So two
recognizers are used, so that neither is overfitted:

- Whisper's encoder: the distance of its features to those of the recording (a deep feature loss,
  Germain et al. 2018), and the cross-entropy of the target phonemes by small classifiers on these
  features. The latter penalizes only what the text determines.
- Our listener: the cross-entropy of the target phonemes by its frame head.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.transcripts import IS_BORDER, LISTENER_CLASS
from valle.training.models.listener import Listener, center_features
from valle.training.models.whisper import WhisperEncoder

IGNORE_INDEX = -100
_LEVEL = 0.1  # RMS that waveforms are normalized to
_HIDDEN_DIM = 256


@dataclass(frozen=True)
class PhonemeHeadHyperparameters:
    """How the phoneme classifiers are trained: in half a minute, from random weights."""

    steps: int = 500
    batch_size: int = 1024
    rate: float = 2e-3
    weight_decay: float = 0.02
    dropout: float = 0.2


class PhonemeHeads(nn.Module):
    """A small classifier of phonemes on each of several layers of an encoder.

    Args:
        width: of the features.
        layers: number of layers.
        hyperparameters: see there.
    """

    means: Tensor
    deviations: Tensor

    def __init__(
        self,
        width: int,
        layers: int,
        hyperparameters: PhonemeHeadHyperparameters = PhonemeHeadHyperparameters(),  # frozen
    ) -> None:
        super().__init__()
        self.hyperparameters = hyperparameters
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Linear(width, _HIDDEN_DIM),
                nn.GELU(),
                nn.Dropout(hyperparameters.dropout),
                nn.Linear(_HIDDEN_DIM, len(IS_BORDER)),
            )
            for _ in range(layers)
        )
        self.register_buffer("means", torch.zeros(layers, width))
        self.register_buffer("deviations", torch.ones(layers, width))

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Features [..., width] of each layer -> logits [..., symbols] of each head."""
        return [
            head((layer - mean) / deviation)
            for head, layer, mean, deviation in zip(
                self.heads, features, self.means, self.deviations, strict=True
            )
        ]

    def fit(self, features: list[Tensor], targets: Tensor) -> float:
        """Train from random weights, holding back the last tenth.

        Args:
            features: [N, width] of each layer.
            targets: class of each frame [N].

        Returns:
            Mean accuracy of the heads on what was held back.
        """
        settings = self.hyperparameters
        for index, layer in enumerate(features):
            self.means[index], self.deviations[index] = layer.mean(0), _deviations(layer)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                module.reset_parameters()
        self.train().requires_grad_(True)
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=settings.rate, weight_decay=settings.weight_decay
        )
        split = len(targets) * 9 // 10
        for step in range(settings.steps):
            rows = torch.randint(0, split, (settings.batch_size,), device=targets.device)
            logits = self([layer[rows] for layer in features])
            loss = sum(functional.cross_entropy(head, targets[rows]) for head in logits)
            optimizer.zero_grad(set_to_none=True)
            torch.as_tensor(loss).backward()
            optimizer.step()
            optimizer.param_groups[0]["lr"] = settings.rate * (1.0 - step / settings.steps)
        optimizer.zero_grad(set_to_none=True)
        self.eval().requires_grad_(False)
        with torch.no_grad():
            held_back = self([layer[split:] for layer in features])
        accuracies = [(head.argmax(-1) == targets[split:]).float().mean() for head in held_back]
        return float(torch.stack(accuracies).mean())


class IntelligibilityLoss(nn.Module):
    """The losses of both recognizers; no weight of it is trained with the generator.

    Args:
        whisper: encoder with at least two layers.
        listener: our phoneme recognizer.
        heads: how the phoneme heads are trained.
    """

    classes: Tensor
    listener_classes: Tensor
    deviations: Tensor

    def __init__(
        self,
        whisper: WhisperEncoder,
        listener: Listener,
        heads: PhonemeHeadHyperparameters = PhonemeHeadHyperparameters(),  # frozen
    ) -> None:
        super().__init__()
        self.whisper = whisper
        # In training mode, gradients through its blocks are faster; nothing else differs.
        self.listener = listener.train().requires_grad_(False)
        # All layers but the first, which is close to the spectrum, and the final norm.
        self.feature_layers = range(1, whisper.layers + 1)
        self.head_layers = (1, whisper.layers // 2, whisper.layers)
        self.heads = PhonemeHeads(whisper.width, len(self.head_layers), heads)
        self.heads.eval().requires_grad_(False)
        classes = np.arange(len(IS_BORDER))
        classes[IS_BORDER] = np.flatnonzero(IS_BORDER)[0]  # all borders sound alike
        self.register_buffer("classes", torch.from_numpy(classes), persistent=False)
        listener_classes = np.where(LISTENER_CLASS < 0, IGNORE_INDEX, LISTENER_CLASS)
        self.register_buffer(
            "listener_classes", torch.from_numpy(listener_classes), persistent=False
        )
        self.register_buffer("deviations", torch.ones(len(self.feature_layers), whisper.width))

    @torch.no_grad()
    def fit_heads(self, recordings: Iterable[tuple[Tensor, Tensor]]) -> float:
        """Train the phoneme heads from random weights.

        Args:
            recordings: waveforms [B, N] with the symbol id of each frame [B, T], IGNORE_INDEX
                where it is unknown.

        Returns:
            Their accuracy on frames that were held back.
        """
        layers: list[list[Tensor]] = [[] for _ in range(self.whisper.layers + 1)]
        targets = []
        for waveform, symbols in recordings:
            features, _ = self.whisper(_normalize_level(waveform, waveform))
            known = symbols != IGNORE_INDEX
            for collected, layer in zip(layers, features, strict=True):
                collected.append(layer[:, : symbols.shape[1]][known])
            targets.append(self.classes[symbols[known]])
        features = [torch.cat(collected) for collected in layers]
        for index, layer in enumerate(self.feature_layers):
            self.deviations[index] = _deviations(features[layer])
        with torch.enable_grad():
            return self.heads.fit(
                [features[layer] for layer in self.head_layers], torch.cat(targets)
            )

    def forward(self, generated: Tensor, recorded: Tensor, symbols: Tensor) -> dict[str, Tensor]:
        """Compare generated speech with a recording of the same phonemes at the same times.

        Args:
            generated: waveforms [B, N].
            recorded: waveforms [B, N].
            symbols: target symbol id of each frame [B, T], IGNORE_INDEX to skip a frame.

        Returns:
            `features` and `phonemes` (by Whisper), `listener`, and for information the `accuracy`
            of the last phoneme head.
        """
        generated = _normalize_level(generated, recorded)
        recorded = _normalize_level(recorded, recorded)
        with torch.no_grad():
            reference, peak = self.whisper(recorded)
        features, _ = self.whisper(generated, peak)
        distances = [
            functional.l1_loss(features[layer] / deviation, reference[layer] / deviation)
            for layer, deviation in zip(self.feature_layers, self.deviations, strict=True)
        ]
        cosine = functional.cosine_similarity(features[-1], reference[-1], dim=-1)
        frames = symbols.shape[1]
        targets = _look_up(self.classes, symbols).flatten()
        logits = [
            head.flatten(0, 1)
            for head in self.heads([features[layer][:, :frames] for layer in self.head_layers])
        ]
        entropies = [
            functional.cross_entropy(head, targets, ignore_index=IGNORE_INDEX) for head in logits
        ]
        correct = (logits[-1].argmax(-1) == targets)[targets != IGNORE_INDEX]
        return {
            "features": torch.stack(distances).mean() + (1.0 - cosine).mean(),
            "phonemes": torch.stack(entropies).mean(),
            "listener": self._listener_loss(generated, symbols),
            "accuracy": correct.float().mean(),
        }

    def _listener_loss(self, generated: Tensor, symbols: Tensor) -> Tensor:
        features = center_features(self.listener.features(generated))
        _, frame = self.listener.raw(features)
        return functional.cross_entropy(
            frame[:, : symbols.shape[1]].flatten(0, 1),
            _look_up(self.listener_classes, symbols).flatten(),
            ignore_index=IGNORE_INDEX,
        )


def _look_up(classes: Tensor, symbols: Tensor) -> Tensor:
    """The class of each symbol; IGNORE_INDEX stays."""
    return torch.where(symbols == IGNORE_INDEX, IGNORE_INDEX, classes[symbols.clamp(min=0)])


def _normalize_level(waveform: Tensor, reference: Tensor) -> Tensor:
    """Apply the gain that brings each reference [B, N] to the same level."""
    return waveform * (_LEVEL / (reference.square().mean(1, keepdim=True).sqrt() + 1e-3))


def _deviations(features: Tensor) -> Tensor:
    """Standard deviation of each dimension of features [N, width]."""
    return features.std(0).clamp(min=1e-3)
