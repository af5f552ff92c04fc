"""`valle train codec`: waveforms in, the same waveforms out, through few codes.

First on spectra alone; then discriminators join, which put back what averaging over many likely
waveforms takes away. With `keep_codes` the encoder and the quantiser stay as they are, so that
language models trained on their codes fit: only the decoder and the timbre learn.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance
from valle.errors import UsageError
from valle.training.loop import (
    keep_size,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.losses import SpectralLoss
from valle.training.models.codec import CODEC_SIZES, Codec
from valle.training.models.discriminators import (
    Discriminators,
    judge_loss,
    maker_loss,
    matching_loss,
)

_BATCH = 12
_SECONDS = 1.0
_REFERENCE_SECONDS = 2.0  # of the voice, for its timbre
_JUDGED, _JUDGED_SECONDS = 6, 0.5  # pieces of a batch that the discriminators see, and of each
_JUDGE_RATE = 4e-4
_COMMITMENT = 1.0
_JUDGES_FROM = 0.3  # share of the run after which the discriminators join
_SPECTRAL, _FOOLING, _MATCHING = 1.0, 0.3, 1.0  # weights of the losses
_NO_TIMBRE = 0.15  # share of pieces whose timbre is withheld
# Codes that a language model makes are never quite the speaker's. So a share of pieces is coded as
# if somebody of another size had said it, and the timbre has to put the voice right.
_STRETCHED, _STRETCH = 0.4, 0.18  # that share; the largest change, in log
_CHANNELS = {"debug": 4, "default": 16, "paper": 32}  # of the discriminators


class CodecJob:
    """Codec training on random second-long pieces, each speaker as often as the next."""

    peak_rate = 1e-3

    def __init__(
        self,
        stores: list[Store],
        folder: Path,
        size: str,
        device: str,
        seed: int,
        keep_codes: bool = False,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        self.keep_codes = keep_codes
        shape = CODEC_SIZES[size]
        self.codec = Codec(shape).to(self.device)
        if keep_codes:
            if not (folder / "checkpoint.pt").is_file():
                raise UsageError(f"--keep-codes needs a codec in {folder}, and there is none")
            self.codec.encoder.requires_grad_(False)
        self.judges = Discriminators(_CHANNELS[size]).to(self.device)
        self.loss = SpectralLoss().to(self.device)
        learning = [weight for weight in self.codec.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learning, lr=self.peak_rate, betas=(0.8, 0.99), weight_decay=1e-3
        )
        self.judge_optimizer = torch.optim.AdamW(
            self.judges.parameters(), lr=_JUDGE_RATE, betas=(0.8, 0.99), weight_decay=1e-3
        )
        self.modules: dict[str, nn.Module] = {"codec": self.codec, "judges": self.judges}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "codec": self.optimizer,
            "judges": self.judge_optimizer,
        }
        self.groups = [
            (store, group)
            for store in stores
            for group in _speakers(store, round(_SECONDS * SAMPLE_RATE))
        ]
        if not self.groups:
            raise UsageError(
                f"the codec learns from clean speech of {_SECONDS:.0f} s or more, and there is none"
            )
        self.generators = {"job": self.rng}
        keep_size(folder, shape)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Pieces [batch, samples] and references [batch, samples] of the same voices.

        Levels vary by 20 dB so that quiet prompts are known too; a reference has a level of its
        own, so that the timbre does not say how loud a piece is.
        """
        length = round(_SECONDS * SAMPLE_RATE) // HOP * HOP
        heard = round(_REFERENCE_SECONDS * SAMPLE_RATE) // HOP * HOP
        pieces = np.empty((_BATCH, length), np.float32)
        references = np.empty((_BATCH, heard), np.float32)
        for row in range(_BATCH):
            store, group = self.groups[self.rng.integers(len(self.groups))]
            utterance = group[self.rng.integers(len(group))]
            pieces[row] = self._piece(store, utterance, length)
            # As when it is used: mostly another recording of the speaker.
            other = group[self.rng.integers(len(group))]
            references[row] = self._piece(store, other, heard)
        return (
            torch.from_numpy(pieces).to(self.device),
            torch.from_numpy(references).to(self.device),
        )

    def _piece(self, store: Store, utterance: Utterance, length: int) -> np.ndarray:
        start = utterance.offset + self.rng.integers(max(1, utterance.samples - length + 1))
        end = min(start + length, utterance.offset + utterance.samples)
        piece = store.audio[start:end].astype(np.float32) / 32768.0
        peak = float(np.abs(piece).max()) + 1e-4
        wanted = 10.0 ** (self.rng.uniform(-20.0, 0.0) / 20.0)
        return np.resize(piece * min(wanted / peak, 10.0), length)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        waveform, reference = self.batch()
        with mixed_precision(self.device):
            latents = self.codec.encoder(waveform, self._stretch())
            timbre = self.codec.timbre(reference)
        known = torch.rand(len(timbre), 1, device=self.device) >= _NO_TIMBRE
        self.codec.quantiser.train(not self.keep_codes)
        quantised, commitment, codes = self.codec.quantiser(latents.float())
        with mixed_precision(self.device):
            made = self.codec.decode_latents(quantised, timbre * known).float()
        spectral, mel = self.loss(made, waveform)
        loss = _SPECTRAL * spectral
        figures = {"spectral": float(spectral.detach()), "mel": float(mel.detach())}
        if not self.keep_codes:
            loss = loss + _COMMITMENT * commitment
            figures["commitment"] = float(commitment.detach())
        if progress >= _JUDGES_FROM:
            along = (progress - _JUDGES_FROM) / (1.0 - _JUDGES_FROM)
            set_learning_rate(self.judge_optimizer, learning_rate(along, _JUDGE_RATE))
            loss = loss + self._judged(made, waveform, figures)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        figures["gradient"] = float(nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0))
        self.optimizer.step()
        if number % 10 == 0:
            perplexity = self.codec.quantiser.perplexity(codes)
            figures["perplexity_first"] = float(perplexity[0])
            figures["perplexity_last"] = float(perplexity[-1])
        return figures

    def _stretch(self) -> Tensor:
        factor = self.rng.uniform(-_STRETCH, _STRETCH, _BATCH)
        factor *= self.rng.random(_BATCH) < _STRETCHED
        return torch.from_numpy(np.exp(factor).astype(np.float32)).to(self.device)

    def _judged(self, made: Tensor, waveform: Tensor, figures: dict[str, float]) -> Tensor:
        """One step of the discriminators; returns the codec's loss by them."""
        length = round(_JUDGED_SECONDS * SAMPLE_RATE)
        start = int(self.rng.integers(waveform.shape[1] - length + 1))
        made, real = (each[:_JUDGED, start : start + length] for each in (made, waveform))
        # Loud and quiet pieces are judged alike.
        scale = 0.1 / (real.square().mean(dim=1, keepdim=True).sqrt() + 1e-3)
        made, real = made * scale, real * scale
        # On a processor, convolutions over images are several times slower in bf16 than in fp32.
        half = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type != "cpu")
        with half:
            real_scores, _ = self.judges(real)
            made_scores, _ = self.judges(made.detach())
        loss = judge_loss(real_scores, made_scores)
        self.judge_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.judges.parameters(), 1.0)
        self.judge_optimizer.step()
        self.judges.requires_grad_(False)
        with half:
            with torch.no_grad():
                _, wanted = self.judges(real)
            scores, features = self.judges(made)
        self.judges.requires_grad_(True)
        fooling, matching = maker_loss(scores), matching_loss(wanted, features)
        figures["judges"] = float(loss.detach())
        figures["fooling"] = float(fooling.detach())
        figures["matching"] = float(matching.detach())
        return _FOOLING * fooling + _MATCHING * matching

    @torch.no_grad()
    def sample(self, folder: Path, number: int) -> None:
        """Resynthesise utterances of some speakers into `samples/`, each after its original."""
        self.codec.eval()
        out = folder / "samples"
        out.mkdir(exist_ok=True)
        for store, group in self.groups[:: max(1, len(self.groups) // 3)][:3]:
            waveform = torch.from_numpy(store.waveform(group[0]))[None].to(self.device)
            made = self.codec.decode(self.codec.encode(waveform), self.codec.timbre(waveform))
            pair = np.concatenate([waveform[0].cpu().numpy(), made[0].float().cpu().numpy()])
            name = group[0].speaker.replace("/", "-")
            soundfile.write(out / f"{name}.wav", pair, SAMPLE_RATE)
        self.codec.train()


def _speakers(store: Store, shortest: int) -> list[list[Utterance]]:
    groups: dict[str, list[Utterance]] = {}
    for utterance in store.utterances:
        if utterance.waveform_is_clean and utterance.samples >= shortest:
            groups.setdefault(utterance.speaker, []).append(utterance)
    return list(groups.values())
