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

from valle.corpora.store import SAMPLE_RATE, Store
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
from valle.training.pieces import Pieces

_BATCH = 12
_SECONDS = 1.0
_REFERENCE_SECONDS = 3.0  # of the voice, for its timbre
_JUDGED, _JUDGED_SECONDS = 6, 0.5  # pieces of a batch that the discriminators see, and of each
_JUDGE_RATE = 4e-4
_COMMITMENT = 1.0
_JUDGES_FROM = 0.3  # share of the run after which the discriminators join
_SPECTRAL, _FOOLING, _MATCHING = 1.0, 0.3, 1.0  # weights of the losses
_NO_TIMBRE = 0.1  # share of pieces whose timbre is withheld
# A share of pieces is coded in disguise, as if somebody of another size and colour had said it, and
# decoded from the first codebooks alone, while the waveform that is asked for stays the speaker's.
# So those codebooks learn to say what is said and how, and leave to the timbre whose voice it is:
# that part of a voice no language model can then lose.
_DISGUISED, _STRETCH, _TILT = 0.5, 0.2, 3.0  # the share; largest change in log, in dB an octave
_FEW = (0.5, 0.3, 0.2)  # chances of 1, 2, 3 codebooks for a piece in disguise
_ALL = 0.6  # share of the others that use all codebooks, not a random number
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
        self.pieces = Pieces(stores, self.rng, _SECONDS, _REFERENCE_SECONDS)
        self.generators = {"job": self.rng}
        keep_size(folder, shape)

    def batch(self) -> tuple[Tensor, Tensor]:
        """Pieces [batch, samples] and references [batch, samples] of the same voices."""
        pairs = [self.pieces.draw() for _ in range(_BATCH)]
        pieces, references = (np.stack(each) for each in zip(*pairs, strict=True))
        return (
            torch.from_numpy(pieces).to(self.device),
            torch.from_numpy(references).to(self.device),
        )

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        waveform, reference = self.batch()
        disguise, used = self._disguise()
        with mixed_precision(self.device):
            latents = self.codec.encoder(waveform, disguise)
            timbre = self.codec.timbre(reference)
        known = torch.rand(len(timbre), 1, device=self.device) >= _NO_TIMBRE
        self.codec.quantiser.train(not self.keep_codes)
        quantised, commitment, codes = self.codec.quantiser(latents.float(), used)
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

    def _disguise(self) -> tuple[Tensor, Tensor]:
        """Of each piece: how it is disguised [batch, 2], and how many codebooks it is decoded from
        [batch]."""
        hidden = self.rng.random(_BATCH) < _DISGUISED
        stretch = np.exp(self.rng.uniform(-_STRETCH, _STRETCH, _BATCH) * hidden)
        tilt = self.rng.uniform(-_TILT, _TILT, _BATCH) * hidden
        few = self.rng.choice(np.arange(1, len(_FEW) + 1), _BATCH, p=_FEW)
        most = self.codec.quantiser.codebooks
        some = self.rng.integers(1, most + 1, _BATCH)
        many = np.where(self.rng.random(_BATCH) < _ALL, most, some)
        disguise = torch.from_numpy(np.stack([stretch, tilt], axis=1).astype(np.float32))
        used = torch.from_numpy(np.where(hidden, few, many))
        return disguise.to(self.device), used.to(self.device)

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
        groups = self.pieces.groups
        for store, group in groups[:: max(1, len(groups) // 3)][:3]:
            waveform = torch.from_numpy(store.waveform(group[0]))[None].to(self.device)
            made = self.codec.decode(self.codec.encode(waveform), self.codec.timbre(waveform))
            pair = np.concatenate([waveform[0].cpu().numpy(), made[0].float().cpu().numpy()])
            name = group[0].speaker.replace("/", "-")
            soundfile.write(out / f"{name}.wav", pair, SAMPLE_RATE)
        self.codec.train()
