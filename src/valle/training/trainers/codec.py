"""`valle train codec`: waveforms in, the same waveforms out, through few codes.

First on spectra alone; then discriminators join, which put back what averaging over many likely
waveforms takes away. With `keep_codes` the encoder and the quantiser stay as they are, so that
language models trained on their codes fit: only the decoder learns, in part from codes as the NAR
has them (`valle prepare spoken`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora.store import SAMPLE_RATE, Store
from valle.errors import UsageError
from valle.runtime.speaker_encoder import EMBEDDING
from valle.training.data.segments import Pieces
from valle.training.models.codec import CODEC_SIZES, Codec
from valle.training.models.discriminators import (
    Discriminators,
    judge_loss,
    maker_loss,
    matching_loss,
)
from valle.training.models.listener import Listener, centred
from valle.training.models.speaker import SpeakerEncoder
from valle.training.run_folder import keep_size
from valle.training.trainers.loop import learning_rate, mixed_precision, set_learning_rate
from valle.training.trainers.losses import SpectralLoss

_BATCH = 12
_SECONDS = 1.0
_JUDGED, _JUDGED_SECONDS = 6, 0.5  # pieces of a batch that the discriminators see, and of each
_JUDGE_RATE = 4e-4
_COMMITMENT = 1.0
_ALL, _SPOKEN = 0.5, 0.4  # shares made of all codebooks, of codes as the NAR has them
_JUDGES_FROM = 0.3  # share of the run after which the discriminators join;
_JUDGES_FROM_KEPT = 0.03  # of a run with kept codes, whose decoder has been judged before
_SPECTRAL, _FOOLING, _MATCHING = 1.0, 0.3, 1.0  # weights of the losses
_LIKENESS, _CLEARNESS = 1.0, 1.0  # of those of what the NAR said
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
        hearing: tuple[SpeakerEncoder, Listener] | None = None,
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        self.keep_codes = keep_codes
        self.judges_from = _JUDGES_FROM_KEPT if keep_codes else _JUDGES_FROM
        shape = CODEC_SIZES[size]
        self.codec = Codec(shape).to(self.device)
        if keep_codes:
            if not (folder / "checkpoint.pt").is_file():
                raise UsageError(f"--keep-codes needs a codec in {folder}, and there is none")
            self.codec.encoder.requires_grad_(False)
        self.judges = Discriminators(_CHANNELS[size]).to(self.device)
        self.hearing = hearing
        for model in hearing or ():
            # In training its blocks are the faster to learn through; nothing else differs.
            model.to(self.device).train().requires_grad_(False)
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
        self.pieces = Pieces(stores, self.rng, _SECONDS)
        self.generators = {"job": self.rng}
        keep_size(folder, shape, deeper=frozenset({"decoder_layers"}))

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        used, spoken = self._used()
        said = {place: self.pieces.draw_spoken() for place in np.flatnonzero(spoken).tolist()}
        pieces = [
            said[place][0] if place in said else self.pieces.draw() for place in range(_BATCH)
        ]
        waveform = torch.from_numpy(np.stack(pieces)).to(self.device)
        quantised, commitment, codes = self._quantised(
            waveform, torch.from_numpy(used).to(self.device)
        )
        voice = torch.zeros(_BATCH, EMBEDDING, device=self.device)
        for place, (_, given, whose) in said.items():
            quantised[place] = self.codec.quantiser.decode(torch.from_numpy(given).to(self.device))
            voice[place] = torch.from_numpy(whose).to(self.device)
        with mixed_precision(self.device):
            takes = self.codec.decode_latents(quantised, voice, takes=2).float()
        spectral, mel = self.loss(takes, waveform)
        made = takes[:_BATCH]
        loss = _SPECTRAL * spectral
        figures = {"spectral": float(spectral.detach()), "mel": float(mel.detach())}
        if commitment is not None:
            loss = loss + _COMMITMENT * commitment
            figures["commitment"] = float(commitment.detach())
        if self.hearing is not None and said:
            places = list(said)
            loss = loss + self._heard(made[places], waveform[places], voice[places], figures)
        if progress >= self.judges_from:
            along = (progress - self.judges_from) / (1.0 - self.judges_from)
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

    def _quantised(self, waveform: Tensor, used: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Waveform [batch, samples], codebooks used [batch] -> latents [batch, frames, latent] as
        the decoder has them, commitment loss (None: nothing is to commit), codes [batch, frames,
        codebooks]."""
        quantiser = self.codec.quantiser
        if not self.keep_codes:
            with mixed_precision(self.device):
                latents = self.codec.encoder(waveform)
            found: tuple[Tensor, Tensor, Tensor] = quantiser(latents.float(), used)
            return found
        with torch.no_grad():  # as running codes it
            codes = self.codec.encode(waveform)
            books = torch.arange(quantiser.codebooks, device=self.device)
            heard = codes.masked_fill(books >= used[:, None, None], quantiser.codebook_size)
            return quantiser.decode(heard), None, codes

    def _used(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Of how many codebooks each piece of a batch is made, and which of them are to have the
        codes that the NAR chose: [batch] each."""
        most = self.codec.quantiser.codebooks
        chance = self.rng.random(_BATCH)
        spoken = (chance > 1 - _SPOKEN) & self.keep_codes & bool(self.pieces.spoken)
        used = np.where(chance < _ALL, most, self.rng.integers(1, most + 1, _BATCH))
        return used, spoken

    def _heard(
        self, made: Tensor, waveform: Tensor, voice: Tensor, figures: dict[str, float]
    ) -> Tensor:
        """How much less of a voice [n, 192] and of what is said is heard in what is made of the
        NAR's codes [n, samples] than in the recording [n, samples]; figures of it are added.

        Of the voice, by the speaker encoder's cosine (the speaker consistency loss of YourTTS,
        Casanova et al. 2022, section 2.2). It need be no more like it than the recording is: asked
        for more, the decoder gives it, and the sound gets worse (docs/LOG.md). Of what is said, by
        the distance of what the listener's heads read (deep features as in Germain et al. 2018,
        "Speech denoising with deep feature losses").
        """
        assert self.hearing is not None
        speaker, listener = self.hearing
        with mixed_precision(self.device):
            likeness = (speaker(made).float() * voice).sum(-1)
            heard = listener.hidden(centred(listener.features(made))).float()
            with torch.no_grad():
                enough = (speaker(waveform).float() * voice).sum(-1)
                wanted = listener.hidden(centred(listener.features(waveform))).float()
        unclear = functional.l1_loss(heard, wanted)
        figures["likeness"] = float(likeness.detach().mean())
        figures["likeness_recorded"] = float(enough.mean())
        figures["unclear"] = float(unclear.detach())
        unlike = (enough - likeness).clamp(min=0.0).mean()
        return _LIKENESS * unlike + _CLEARNESS * unclear

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
            real_scores, wanted = self.judges(real)
            made_scores, _ = self.judges(made.detach())
        loss = judge_loss(real_scores, made_scores)
        self.judge_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.judges.parameters(), 1.0)
        self.judge_optimizer.step()
        self.judges.requires_grad_(False)
        with half:
            scores, features = self.judges(made)
        self.judges.requires_grad_(True)
        fooling = maker_loss(scores)
        matching = matching_loss([each.detach() for each in wanted], features)
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
            made = self.codec.decode(self.codec.encode(waveform))
            pair = np.concatenate([waveform[0].cpu().numpy(), made[0].float().cpu().numpy()])
            name = group[0].speaker.replace("/", "-")
            soundfile.write(out / f"{name}.wav", pair, SAMPLE_RATE)
        self.codec.train()
