"""`valle train acoustic`: the NAR, trained through the codec's decoder by what recognizers hear.

`valle train nar` minimizes a squared error of vectors, which is nearly blind to words. Here the
predicted vectors are quantized and decoded as at run time, and the speech is compared with the
recording: by spectra, by the features of frozen recognizers (`intelligibility`), by its speaker
embedding, and by whether each frame is the target phoneme.

The decoder stays as it is, or is trained too, with discriminators: without them it would learn to
please the recognizers at the cost of the sound. Its codes stay valid, since it also decodes those
of recordings.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from valle.audio_format import HOP
from valle.text.symbols import SYMBOLS
from valle.training.checkpoints import load_codec, load_listener, load_nar, load_speaker
from valle.training.data.examples import (
    INFILLING,
    Example,
    ExampleProbabilities,
    ExampleSource,
    pad_sequences,
)
from valle.training.data.targets import past_codes, prompt_embedding, recorded_samples
from valle.training.models.codec import DELAY
from valle.training.models.depth_growth import grow_depth
from valle.training.models.nar import NAR
from valle.training.models.quantizer import residual_vectors
from valle.training.models.sizes import NO_CODE, size_named
from valle.training.models.whisper import load_whisper_encoder
from valle.training.run_folder import load_bin_edges, save_bin_edges, save_size
from valle.training.trainers.adversary import Adversary, AdversaryHyperparameters
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
    max_gradient_norm: float = 1.0
    train_decoder: bool = False
    """Whether to train the decoder too. What follows holds only if so."""
    decoder_rate: float = 3e-4
    """Peak learning rate of the decoder."""
    recorded_share: float = 0.25
    """Share of targets decoded from the codes of the recording."""
    adversary_from: float = 0.03
    """Share of the run after which the decoder and the NAR follow the discriminators."""
    adversarial_weight: float = 0.75
    feature_matching_weight: float = 2.5
    adversary: AdversaryHyperparameters = field(default_factory=AdversaryHyperparameters)


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
            ExampleProbabilities(infilling, hyperparameters.speaker_dropout, unconditional=0.0),
            load_bin_edges(runs / "nar") if bin_edges is None else bin_edges,
        )
        self.size = size_named(context.size).nar
        self.nar = NAR(self.size, len(SYMBOLS))
        self.nar.load_state_dict(grow_depth(self.nar, load_nar(runs / "nar").state_dict()))
        self.nar.to(self.device)
        self.predictor = ResidualPredictor(self.nar, self.device)
        # In training mode, gradients through their blocks are faster; nothing else differs.
        self.codec = load_codec(runs / "codec").to(self.device).train().requires_grad_(False)
        self.speaker = load_speaker(runs / "speaker").to(self.device).train().requires_grad_(False)
        self.spectral = SpectralLoss().to(self.device)
        self.intelligibility = IntelligibilityLoss(
            load_whisper_encoder(teacher), load_listener(runs / "listener"), hyperparameters.heads
        ).to(self.device)
        self.refreshes = -1  # the phoneme heads are trained from random weights at each start
        self.trained: dict[str, nn.Module] = {"nar": self.nar}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "nar": language_model_optimizer(self.nar, self.peak_rate)
        }
        self.adversary: Adversary | None = None
        if hyperparameters.train_decoder:
            self._add_decoder(context.size)
        self.averaged = tuple(self.trained)
        self.modules = dict(self.trained)
        if self.adversary is not None:
            self.modules["discriminators"] = self.adversary.discriminators
        self.generators = {
            "job": self.rng,
            "examples": self.examples.rng,
            "styles": self.examples.dropout_rng,
        }
        save_size(context.folder, self.size, deeper=frozenset({"layers"}))
        save_bin_edges(context.folder, self.examples.bin_edges)

    def _add_decoder(self, size: str) -> None:
        """Train the decoder too, with discriminators."""
        settings = self.hyperparameters
        self.codec.decoder.requires_grad_(True)
        self.trained["codec"] = self.codec
        self.adversary = Adversary(size, self.device, settings.adversary)
        self.optimizers["codec"] = torch.optim.AdamW(
            self.codec.decoder.parameters(),
            lr=settings.decoder_rate,
            betas=settings.adversary.betas,
            weight_decay=settings.adversary.weight_decay,
        )
        self.optimizers["discriminators"] = self.adversary.optimizer

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step on a new batch; now and then, train new phoneme heads first."""
        settings = self.hyperparameters
        metrics: dict[str, float] = {}
        if self.refreshes != int(progress * settings.head_refreshes):
            self.refreshes = int(progress * settings.head_refreshes)
            metrics["head_accuracy"] = self.intelligibility.fit_heads(self._sample_recordings())
        losses = self.losses(self._sample_examples(), progress)
        weights = {
            "latent": settings.latent_weight,
            "commitment": settings.commitment_weight,
            "spectral": settings.spectral_weight,
            "features": settings.feature_weight,
            "phonemes": settings.phoneme_weight,
            "listener": settings.listener_weight,
            "speaker": settings.speaker_weight,
        }
        if progress >= settings.adversary_from and self.adversary is not None:
            weights["adversarial"] = settings.adversarial_weight
            weights["feature_matching"] = settings.feature_matching_weight
        loss = torch.stack([weight * losses[name] for name, weight in weights.items()]).sum()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        peak_rates = {"nar": self.peak_rate, "codec": settings.decoder_rate}
        for name, module in self.trained.items():
            set_learning_rate(self.optimizers[name], learning_rate(progress, peak_rates[name]))
            norm = nn.utils.clip_grad_norm_(module.parameters(), settings.max_gradient_norm)
            metrics[f"gradient_{name}"] = float(norm)
            self.optimizers[name].step()
        return metrics | {name: float(value.detach()) for name, value in losses.items()}

    def losses(self, examples: list[Example], progress: float) -> dict[str, Tensor]:
        """Compute all losses of a batch, unweighted, and the `accuracy` of the phoneme heads.

        Args:
            examples: of the batch.
            progress: share of the budget that is spent, 0 to 1; schedules the discriminators.
        """
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
        is_recorded = torch.zeros(len(examples), 1, 1, dtype=torch.bool, device=self.device)
        if self.adversary is not None:
            uniform = self.rng.random((len(examples), 1, 1))
            is_recorded = self._tensor(uniform < self.hyperparameters.recorded_share)
            latents = torch.where(is_recorded, reference, latents)
        generated, recorded = self._decode(examples, latents * mask, mask, is_recorded)
        losses |= self._waveform_losses(examples, generated, recorded)
        if self.adversary is not None:
            rate = learning_rate(progress, self.hyperparameters.adversary.rate)
            generated = generated[: len(recorded)]
            losses |= self.adversary.losses(generated, recorded, self.rng, rate)
        return losses

    def _decode(
        self, examples: list[Example], latents: Tensor, mask: Tensor, is_recorded: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Decode the targets.

        The last frames are left out, since their samples depend on latents that follow.

        Args:
            examples: of the batch.
            latents: of the targets [B, T, latent].
            mask: 0 after a target's end [B, T, 1].
            is_recorded: which targets have the latents of the recording [B, 1, 1].

        Returns:
            Decoded samples [B, N] (twice with different noise, [2 * B, N], if the decoder is
            trained) and those of the recordings [B, N]; silence after a target's end.
        """
        settings = self.hyperparameters
        frames = max(latents.shape[1] - DELAY, 1)
        past = np.stack([past_codes(example, settings.past_frames) for example in examples])
        past_latents = residual_vectors(self.nar.tables, self._tensor(past))
        # As at run time, the decoder is given no voice for the codes of a recording.
        voice = self._voices(examples) * ~is_recorded[:, :, 0]
        noise_samples = 1 if self.adversary is None else 2
        with mixed_precision(self.device):
            decoded = self.codec.decode_latents(
                torch.cat((past_latents, latents), 1), voice, noise_samples
            )
        audible = mask[:, :frames, 0].repeat_interleave(HOP, 1)
        start = settings.past_frames * HOP
        generated = decoded.float()[:, start : start + frames * HOP]
        recorded = self._tensor(recorded_samples(examples, latents.shape[1]))[:, : frames * HOP]
        return generated * audible.repeat(noise_samples, 1), recorded * audible

    def _waveform_losses(
        self, examples: list[Example], decoded: Tensor, recorded: Tensor
    ) -> dict[str, Tensor]:
        """Compare decoded samples [B, N] or [2 * B, N] with those of the recordings [B, N]."""
        settings = self.hyperparameters
        gain = _LEVEL / (recorded.square().mean(1, keepdim=True).sqrt() + 1e-3)
        noise_samples = len(decoded) // len(recorded)
        spectral, _ = self.spectral(decoded * gain.repeat(noise_samples, 1), recorded * gain)
        generated = decoded[: len(recorded)]
        rows = [frame_rows((example.target,)) for example in examples]
        symbols = pad_sequences([symbols for _, symbols, _ in rows], IGNORE_INDEX)
        padded_symbols = self._tensor(symbols)[:, : recorded.shape[1] // HOP]
        voice = self._voices(examples)
        with mixed_precision(self.device):
            losses = self.intelligibility(generated, recorded, padded_symbols)
            similarity = (self.speaker(generated).float() * voice).sum(-1)
            with torch.no_grad():
                recorded_similarity = (self.speaker(recorded).float() * voice).sum(-1)
        lengths = self._tensor(np.array([len(codes) for codes, _, _ in rows]))
        is_long = lengths >= settings.min_speaker_frames
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
            yield self._tensor(recorded_samples(examples, symbols.shape[1])), self._tensor(symbols)

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

    def _voices(self, examples: list[Example]) -> Tensor:
        """Speaker embeddings [B, 192] of the prompts' utterances, which the decoder is given."""
        return self._tensor(np.stack([prompt_embedding(example) for example in examples]))

    def write_samples(self, folder: Path, number: int) -> None:
        """Write nothing: samples need all models (`valle export`, then `valle speak`)."""

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)
