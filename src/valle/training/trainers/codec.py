"""`valle train codec`: an autoencoder of waveforms with residual vector quantization.

It starts with spectral losses only; then discriminators are added, which restore the detail that
averaging over many likely waveforms removes. With `keep_codes` the encoder and the quantizer stay
fixed, so that language models trained on their codes remain valid: only the decoder is trained, in
part on codes that the NAR predicted (`valle prepare predicted`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.audio_format import SAMPLE_RATE
from valle.errors import UsageError
from valle.runtime.speaker_encoder import EMBEDDING_DIM
from valle.training.data.segments import SegmentSampler
from valle.training.models.codec import CODEC_SIZES, Codec
from valle.training.models.listener import Listener, center_features
from valle.training.models.speaker import SpeakerEncoder
from valle.training.run_folder import CHECKPOINT, save_size
from valle.training.trainers.adversary import Adversary, AdversaryHyperparameters
from valle.training.trainers.losses import SpectralLoss
from valle.training.trainers.optimization import learning_rate, mixed_precision, set_learning_rate
from valle.training.trainers.trainer import TrainerContext


@dataclass(frozen=True)
class CodecHyperparameters:
    """How the codec is trained."""

    peak_rate: float = 1e-3
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = 1e-3
    batch_size: int = 12
    seconds: float = 1.0
    """Length of a segment."""
    all_codebooks_share: float = 0.5
    """Share of segments decoded from all codebooks; the others from a random number of them."""
    predicted_share: float = 0.4
    """Share of segments with codes that the NAR predicted (only with `keep_codes`)."""
    discriminators_from: float = 0.3
    """Share of the run after which the discriminators are added."""
    discriminators_from_kept: float = 0.03
    """The same with `keep_codes`, where the decoder has been trained with them before."""
    spectral_weight: float = 1.0
    commitment_weight: float = 1.0
    adversarial_weight: float = 0.3
    feature_matching_weight: float = 1.0
    speaker_weight: float = 1.0
    """Of the speaker consistency loss, on predicted codes."""
    content_weight: float = 1.0
    """Of the content loss, on predicted codes."""
    max_gradient_norm: float = 1.0
    adversary: AdversaryHyperparameters = field(default_factory=AdversaryHyperparameters)


class CodecTrainer:
    """Trains on random segments, with all speakers sampled equally often.

    Args:
        context: corpora, run folder, size, device and seed.
        keep_codes: train only the decoder, continuing a run.
        perceptual: speaker encoder and listener for the losses on predicted codes.
        hyperparameters: see there.

    Raises:
        UsageError: there is no clean speech, or no codec whose codes could be kept.
    """

    def __init__(
        self,
        context: TrainerContext,
        *,
        keep_codes: bool = False,
        perceptual: tuple[SpeakerEncoder, Listener] | None = None,
        hyperparameters: CodecHyperparameters = CodecHyperparameters(),  # frozen
    ) -> None:
        torch.manual_seed(context.seed)
        self.hyperparameters = hyperparameters
        self.peak_rate = hyperparameters.peak_rate
        self.rng = np.random.default_rng(context.seed)
        self.device = context.torch_device
        self.keep_codes = keep_codes
        self.discriminators_from = (
            hyperparameters.discriminators_from_kept
            if keep_codes
            else hyperparameters.discriminators_from
        )
        size = CODEC_SIZES[context.size]
        self.codec = Codec(size).to(self.device)
        if keep_codes:
            if not (context.folder / CHECKPOINT).is_file():
                raise UsageError(f"--keep-codes needs a trained codec in {context.folder}")
            self.codec.encoder.requires_grad_(False)
        self.adversary = Adversary(context.size, self.device, hyperparameters.adversary)
        self.perceptual = perceptual
        for model in perceptual or ():
            # In training mode, gradients through its blocks are faster; nothing else differs.
            model.to(self.device).train().requires_grad_(False)
        self.loss = SpectralLoss().to(self.device)
        trained = [weight for weight in self.codec.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            trained,
            lr=self.peak_rate,
            betas=hyperparameters.betas,
            weight_decay=hyperparameters.weight_decay,
        )
        # The keys "judges" and "job" are those of existing checkpoints.
        self.averaged: tuple[str, ...] = ("codec",)
        self.modules: dict[str, nn.Module] = {
            "codec": self.codec,
            "judges": self.adversary.discriminators,
        }
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "codec": self.optimizer,
            "judges": self.adversary.optimizer,
        }
        self.segments = SegmentSampler(context.stores, self.rng, hyperparameters.seconds)
        self.generators = {"job": self.rng}
        save_size(context.folder, size, deeper=frozenset({"decoder_layers"}))

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Run one training step of the codec, and of the discriminators once they are added."""
        settings = self.hyperparameters
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        used, use_predicted = self._choose_codebooks()
        predicted = {
            row: self.segments.sample_predicted() for row in np.flatnonzero(use_predicted).tolist()
        }
        segments = [
            predicted[row][0] if row in predicted else self.segments.sample()
            for row in range(settings.batch_size)
        ]
        waveform = torch.from_numpy(np.stack(segments)).to(self.device)
        latents, commitment, codes = self._quantize(
            waveform, torch.from_numpy(used).to(self.device)
        )
        voice = torch.zeros(settings.batch_size, EMBEDDING_DIM, device=self.device)
        for row, (_, predicted_codes, embedding) in predicted.items():
            latents[row] = self.codec.quantiser.decode(
                torch.from_numpy(predicted_codes).to(self.device)
            )
            voice[row] = torch.from_numpy(embedding).to(self.device)
        with mixed_precision(self.device):
            samples = self.codec.decode_latents(latents, voice, noise_samples=2).float()
        spectral, mel = self.loss(samples, waveform)
        decoded = samples[: settings.batch_size]
        loss = settings.spectral_weight * spectral
        metrics = {"spectral": float(spectral.detach()), "mel": float(mel.detach())}
        if commitment is not None:
            loss = loss + settings.commitment_weight * commitment
            metrics["commitment"] = float(commitment.detach())
        if self.perceptual is not None and predicted:
            rows = list(predicted)
            loss = loss + self._perceptual_loss(decoded[rows], waveform[rows], voice[rows], metrics)
        if progress >= self.discriminators_from:
            along = (progress - self.discriminators_from) / (1.0 - self.discriminators_from)
            rate = learning_rate(along, settings.adversary.rate)
            losses = self.adversary.losses(decoded, waveform, self.rng, rate)
            loss = loss + settings.adversarial_weight * losses["adversarial"]
            loss = loss + settings.feature_matching_weight * losses["feature_matching"]
            metrics |= {name: float(value.detach()) for name, value in losses.items()}
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), settings.max_gradient_norm)
        metrics["gradient"] = float(norm)
        self.optimizer.step()
        if number % 10 == 0:
            perplexity = self.codec.quantiser.perplexity(codes)
            metrics["perplexity_first"] = float(perplexity[0])
            metrics["perplexity_last"] = float(perplexity[-1])
        return metrics

    def _quantize(self, waveform: Tensor, used: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Encode and quantize a batch.

        Args:
            waveform: [B, N].
            used: how many codebooks each segment is decoded from [B].

        Returns:
            Quantized latents [B, T, latent], commitment loss (None where the encoder is fixed), and
            codes [B, T, codebooks].
        """
        quantiser = self.codec.quantiser
        if not self.keep_codes:
            with mixed_precision(self.device):
                latents = self.codec.encoder(waveform)
            result: tuple[Tensor, Tensor, Tensor] = quantiser(latents.float(), used)
            return result
        with torch.no_grad():  # codes as at run time
            codes = self.codec.encode(waveform)
            books = torch.arange(quantiser.codebooks, device=self.device)
            kept = codes.masked_fill(books >= used[:, None, None], quantiser.codebook_size)
            return quantiser.decode(kept), None, codes

    def _choose_codebooks(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Choose how each segment of a batch is decoded.

        Returns:
            From how many codebooks, and whether from predicted codes; [B] each.
        """
        settings = self.hyperparameters
        codebooks = self.codec.quantiser.codebooks
        uniform = self.rng.random(settings.batch_size)
        use_predicted = uniform > 1 - settings.predicted_share
        use_predicted = use_predicted & self.keep_codes & bool(self.segments.predicted)
        some = self.rng.integers(1, codebooks + 1, settings.batch_size)
        used = np.where(uniform < settings.all_codebooks_share, codebooks, some)
        return used, use_predicted

    def _perceptual_loss(
        self, decoded: Tensor, waveform: Tensor, voice: Tensor, metrics: dict[str, float]
    ) -> Tensor:
        """Speaker consistency and content losses of speech decoded from predicted codes.

        The speaker consistency loss is the cosine of speaker embeddings (YourTTS, Casanova et al.
        2022, section 2.2), clamped at that of the recording: without the clamp the decoder exceeds
        it, and sound quality drops. The content loss is the distance of the listener's features
        (Germain et al. 2018, "Speech denoising with deep feature losses").

        Args:
            decoded: samples [n, N].
            waveform: the recordings [n, N].
            voice: speaker embeddings [n, 192].
            metrics: the losses are added to it.
        """
        assert self.perceptual is not None
        speaker, listener = self.perceptual
        with mixed_precision(self.device):
            similarity = (speaker(decoded).float() * voice).sum(-1)
            content = listener.hidden(center_features(listener.features(decoded))).float()
            with torch.no_grad():
                recorded = (speaker(waveform).float() * voice).sum(-1)
                target = listener.hidden(center_features(listener.features(waveform))).float()
        content_loss = functional.l1_loss(content, target)
        metrics["similarity"] = float(similarity.detach().mean())
        metrics["similarity_recorded"] = float(recorded.mean())
        metrics["content"] = float(content_loss.detach())
        speaker_loss = (recorded - similarity).clamp(min=0.0).mean()
        settings = self.hyperparameters
        return settings.speaker_weight * speaker_loss + settings.content_weight * content_loss

    @torch.no_grad()
    def write_samples(self, folder: Path, number: int) -> None:
        """Write recordings of some speakers into `samples/`, each followed by its resynthesis."""
        self.codec.eval()
        out = folder / "samples"
        out.mkdir(exist_ok=True)
        groups = self.segments.groups
        for store, group in groups[:: max(1, len(groups) // 3)][:3]:
            waveform = torch.from_numpy(store.waveform(group[0]))[None].to(self.device)
            decoded = self.codec.decode(self.codec.encode(waveform))
            pair = np.concatenate([waveform[0].cpu().numpy(), decoded[0].float().cpu().numpy()])
            name = group[0].speaker.replace("/", "-")
            soundfile.write(out / f"{name}.wav", pair, SAMPLE_RATE)
        self.codec.train()
