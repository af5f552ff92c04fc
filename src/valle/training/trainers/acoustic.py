"""`valle train acoustic`: the NAR, trained through the codec's decoder by what recognizers hear.

`valle train nar` minimizes a squared error of vectors, which is nearly blind to words. Here the
predicted vectors are quantized and decoded as at run time, and the speech is compared with the
recording: by spectra, by the features of frozen recognizers (`intelligibility`), by its speaker
embedding, and by whether each frame is the target phoneme. The decoder stays as it is. Checkpoints
hold the exponential moving average of the weights as `nar`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valle.arrays import Ints
from valle.audio_format import HOP
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_codec, load_listener, load_nar, load_speaker
from valle.training.data.examples import INFILLING, Example, ExampleSource, pad_sequences
from valle.training.models.codec import DELAY
from valle.training.models.depth_growth import grow_depth
from valle.training.models.nar import NAR
from valle.training.models.quantizer import residual_vectors
from valle.training.models.sizes import NO_CODE, size_named
from valle.training.models.whisper import load_whisper_encoder
from valle.training.run_folder import load_bin_edges, save_bin_edges, save_size
from valle.training.trainers.intelligibility import (
    IGNORE_INDEX,
    IntelligibilityLoss,
    PhonemeHeadHyperparameters,
)
from valle.training.trainers.losses import SpectralLoss
from valle.training.trainers.optimization import (
    language_model_optimizer,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.trainers.residual_prediction import ResidualPredictor, Rows, frame_rows
from valle.training.trainers.trainer import TrainerContext

_LEVEL = 0.1  # RMS that recordings are normalized to before spectra are compared


@dataclass(frozen=True)
class AcousticHyperparameters:
    """How the NAR is trained through the decoder."""

    peak_rate: float = 7e-4
    batch_size: int = 8
    prompt_frames: tuple[int, int] = (75, 150)
    from_start_prob: float = 0.3
    """Probability that a target begins with its utterance."""
    speaker_dropout: float = 0.25
    """Probability that an example has no speaker embedding."""
    past_frames: int = 12
    """Recorded frames that the causal decoder reads before the target."""
    latent_weight: float = 0.1
    commitment_weight: float = 2.0
    """Of the distance to the quantized vectors. Without it, the vectors grow to twice the size of
    anything that the codebooks can represent."""
    spectral_weight: float = 2.5
    feature_weight: float = 0.5
    phoneme_weight: float = 0.2
    listener_weight: float = 0.15
    speaker_weight: float = 1.0
    min_speaker_frames: int = 60
    """Frames of a target whose speaker embedding is compared."""
    corruption_prob: float = 0.4
    """Probability that first codes of a target are replaced by similar ones: those that the AR
    samples are never quite those of a recording, so the phonemes must count for more."""
    max_corruption: float = 0.4
    """Largest share of replaced codes."""
    similarity: float = 0.3
    """Temperature of the replacement, relative to the mean squared norm of the codes."""
    head_batches: int = 60
    """Batches of recordings that the phoneme heads are trained on."""
    head_refreshes: int = 4
    """How often in a run they are trained from random weights, so that they are not overfitted."""
    heads: PhonemeHeadHyperparameters = field(default_factory=PhonemeHeadHyperparameters)
    average_decay: float = 0.999
    max_gradient_norm: float = 1.0


class AcousticTrainer:
    """Continues the NAR of another run.

    Args:
        context: corpora, run folder, size, device and seed.
        runs: folder with the runs of the nar, codec, listener and speaker encoder.
        teacher: folder of a faster-whisper model.
        infilling: probability of an infilling example, 0 to 1.
        hyperparameters: see there.

    Raises:
        UsageError: a run or the Whisper model is missing.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        runs: Path,
        teacher: Path,
        infilling: float = INFILLING,
        hyperparameters: AcousticHyperparameters = AcousticHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.rng = np.random.default_rng(context.seed)
        self.device = context.torch_device
        bin_edges = load_bin_edges(context.folder)
        self.examples = ExampleSource(
            context.stores,
            context.store_weights,
            context.seed + 1,
            infilling,
            load_bin_edges(runs / "nar") if bin_edges is None else bin_edges,
            hyperparameters.speaker_dropout,
            unconditional=0.0,
        )
        self.size = size_named(context.size).nar
        self.nar = NAR(self.size, len(SYMBOLS))
        self.nar.load_state_dict(grow_depth(self.nar, load_nar(runs / "nar").state_dict()))
        self.nar.to(self.device)
        self.average = copy.deepcopy(self.nar).requires_grad_(False)
        self.predictor = ResidualPredictor(self.nar, self.device)
        # In training mode, gradients through their blocks are faster; nothing else differs.
        self.codec = load_codec(runs / "codec").to(self.device).train().requires_grad_(False)
        self.speaker = load_speaker(runs / "speaker").to(self.device).train().requires_grad_(False)
        self.spectral = SpectralLoss().to(self.device)
        self.intelligibility = IntelligibilityLoss(
            load_whisper_encoder(teacher), load_listener(runs / "listener"), hyperparameters.heads
        ).to(self.device)
        self.refreshes = -1
        self.optimizer = language_model_optimizer(self.nar, self.peak_rate)
        self.modules: dict[str, nn.Module] = {
            "nar": self.average,
            "trained": self.nar,
        }  # the phoneme heads are trained from random weights whenever a run starts
        self.optimizers: dict[str, torch.optim.Optimizer] = {"nar": self.optimizer}
        self.generators = {
            "job": self.rng,
            "examples": self.examples.rng,
            "styles": self.examples.dropout_rng,
        }
        save_size(context.folder, self.size, deeper=frozenset({"layers"}))
        save_bin_edges(context.folder, self.examples.bin_edges)

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on a new batch; now and then, train new phoneme heads first."""
        settings = self.hyperparameters
        metrics: dict[str, float] = {}
        if self.refreshes != int(progress * settings.head_refreshes):
            self.refreshes = int(progress * settings.head_refreshes)
            metrics["head_accuracy"] = self.intelligibility.fit_heads(self._sample_recordings())
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        losses = self.losses(self._sample_examples())
        weights = {
            "latent": settings.latent_weight,
            "commitment": settings.commitment_weight,
            "spectral": settings.spectral_weight,
            "features": settings.feature_weight,
            "phonemes": settings.phoneme_weight,
            "listener": settings.listener_weight,
            "speaker": settings.speaker_weight,
        }
        loss = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.nar.parameters(), settings.max_gradient_norm)
        self.optimizer.step()
        self._update_average(number)
        metrics |= {name: float(value.detach()) for name, value in losses.items()}
        return metrics | {"gradient": float(norm)}

    def losses(self, examples: list[Example]) -> dict[str, Tensor]:
        """Compute all losses of a batch, unweighted, and the `accuracy` of the phoneme heads."""
        targets = [self._corrupt(frame_rows((example.target,))) for example in examples]
        residuals = nn.utils.rnn.pad_sequence(self.predictor.predict(examples, targets), True)
        first = self._tensor(pad_sequences([codes[:, 0] for codes, _, _ in targets], 0))
        recorded_codes = pad_sequences([example.target.codes for example in examples], NO_CODE)
        mask = self._tensor((recorded_codes[..., :1] != NO_CODE).astype(np.float32))
        quantized = self._quantize(residuals.detach())
        # Straight-through: the decoder reads quantized vectors, as at run time.
        first_vectors = self.nar.tables[0][first]
        latents = first_vectors + residuals + (quantized - residuals.detach())
        reference = residual_vectors(self.nar.tables, self._tensor(recorded_codes))
        power = (reference * mask).square().sum()
        losses = {
            "latent": ((latents - reference) * mask).square().sum() / power,
            "commitment": ((residuals - quantized) * mask).square().sum() / power,
        }
        return losses | self._waveform_losses(examples, latents * mask, mask)

    def _waveform_losses(
        self, examples: list[Example], latents: Tensor, mask: Tensor
    ) -> dict[str, Tensor]:
        """Decode latents [B, T, latent] of the targets and compare them with the recordings.

        The mask [B, T, 1] is 0 after a target's end. The last frames are left out, since their
        samples depend on latents that follow.
        """
        settings = self.hyperparameters
        frames = max(latents.shape[1] - DELAY, 1)
        past = np.stack([self._past_codes(example) for example in examples])
        past_latents = residual_vectors(self.nar.tables, self._tensor(past))
        voice = self._tensor(np.stack([_speaker_embedding(example) for example in examples]))
        with mixed_precision(self.device):
            decoded = self.codec.decode_latents(torch.cat((past_latents, latents), 1), voice)
        audible = mask[:, :frames, 0].repeat_interleave(HOP, 1)
        start = settings.past_frames * HOP
        generated = decoded.float()[:, start : start + frames * HOP] * audible
        recorded = self._recordings(examples, latents.shape[1])[:, : frames * HOP] * audible
        gain = _LEVEL / (recorded.square().mean(1, keepdim=True).sqrt() + 1e-3)
        spectral, _ = self.spectral(generated * gain, recorded * gain)
        symbols = [frame_rows((example.target,))[1] for example in examples]
        padded_symbols = self._tensor(pad_sequences(symbols, IGNORE_INDEX))[:, :frames]
        with mixed_precision(self.device):
            losses = self.intelligibility(generated, recorded, padded_symbols)
            similarity = (self.speaker(generated).float() * voice).sum(-1)
            with torch.no_grad():
                recorded_similarity = (self.speaker(recorded).float() * voice).sum(-1)
        is_long = mask.sum((1, 2)) >= settings.min_speaker_frames
        # Clamped at the recording's similarity: beyond it, sound quality drops.
        speaker = ((recorded_similarity - similarity).clamp(min=0.0) * is_long).mean()
        return losses | {"spectral": spectral, "speaker": speaker}

    def _sample_examples(self) -> list[Example]:
        settings = self.hyperparameters
        window = self.size.past + self.size.block + self.size.ahead
        return [
            self.examples.example(
                settings.prompt_frames, (window, window), settings.from_start_prob
            )
            for _ in range(settings.batch_size)
        ]

    def _sample_recordings(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of recordings with the symbol of each frame, for the phoneme heads."""
        for _ in range(self.hyperparameters.head_batches):
            examples = self._sample_examples()
            symbols = pad_sequences(
                [frame_rows((example.target,))[1] for example in examples], IGNORE_INDEX
            )
            yield self._recordings(examples, symbols.shape[1]), self._tensor(symbols)

    def _corrupt(self, rows: Rows) -> Rows:
        """Replace some first codes by similar ones, in a share of the targets."""
        settings = self.hyperparameters
        codes, symbols, stress = rows
        if self.rng.random() >= settings.corruption_prob:
            return rows
        share = self.rng.random() * settings.max_corruption
        replaced = np.flatnonzero(self.rng.random(len(codes)) < share)
        table = self.nar.tables[0]
        distance = torch.cdist(table[self._tensor(codes[replaced, 0])], table).square()
        distance = distance / (settings.similarity * table.square().sum(-1).mean())
        gumbel = self._tensor(self.rng.gumbel(size=tuple(distance.shape)).astype(np.float32))
        codes = codes.copy()
        codes[replaced, 0] = (gumbel - distance).argmax(-1).cpu().numpy()
        return codes, symbols, stress

    @torch.no_grad()
    def _quantize(self, vectors: Tensor) -> Tensor:
        """Quantize vectors [..., latent] with codebooks 2 to 8, each on what the others left."""
        remainder = vectors
        for codebook in self.nar.tables[1:].unbind():
            nearest = (2 * remainder @ codebook.T - codebook.square().sum(-1)).argmax(-1)
            remainder = remainder - codebook[nearest]
        return vectors - remainder

    def _past_codes(self, example: Example) -> Ints:
        """Recorded codes [past_frames, codebooks] before a target, NO_CODE before its utterance."""
        source, start = example.target.source, example.target.start
        assert source is not None
        length = self.hyperparameters.past_frames
        known = min(length, start)
        first = source.utterance.frames.start + start
        codes = np.full((length, len(self.nar.tables)), NO_CODE, np.int64)
        codes[length - known :] = source.store.codes[first - known : first]
        return codes

    def _recordings(self, examples: list[Example], frames: int) -> Tensor:
        """Recorded samples of the targets [B, frames * HOP], silence after their ends."""
        samples = np.zeros((len(examples), frames * HOP), np.float32)
        for row, example in zip(samples, examples, strict=True):
            source = example.target.source
            assert source is not None
            first = (source.utterance.frames.start + example.target.start) * HOP
            length = len(example.target.codes) * HOP
            row[:length] = source.store.samples(first, first + length)
        return self._tensor(samples)

    @torch.no_grad()
    def _update_average(self, number: int) -> None:
        decay = min(self.hyperparameters.average_decay, (number + 1) / (number + 10))
        for average, weight in zip(self.average.parameters(), self.nar.parameters(), strict=True):
            average.lerp_(weight, 1.0 - decay)

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: samples need all models (`valle export`, then `valle speak`)."""

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)


def _speaker_embedding(example: Example) -> np.ndarray:
    """The speaker embedding [192] of the prompt's utterance, which the decoder is given."""
    source = example.context[0].source
    assert source is not None
    return source.voice
