"""`valle train codec`: waveforms in, the same waveforms out, through few codes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance
from valle.errors import UsageError
from valle.training.loop import keep_size, learning_rate, set_learning_rate
from valle.training.losses import SpectralLoss
from valle.training.models.codec import CODEC_SIZES, Codec

_BATCH = 16
_SECONDS = 1.0
_PEAK_RATE = 1e-3
_COMMITMENT = 1.0


class CodecJob:
    """Codec training on random second-long pieces, each speaker as often as the next."""

    def __init__(
        self, stores: list[Store], folder: Path, size: str, device: str, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        shape = CODEC_SIZES[size]
        self.codec = Codec(shape).to(self.device)
        self.loss = SpectralLoss().to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.codec.parameters(), lr=_PEAK_RATE, betas=(0.8, 0.99), weight_decay=1e-3
        )
        self.modules: dict[str, nn.Module] = {"codec": self.codec}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"codec": self.optimizer}
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

    def batch(self) -> Tensor:
        """Pieces [batch, samples]; levels vary by 20 dB so that quiet prompts are known too."""
        length = round(_SECONDS * SAMPLE_RATE) // HOP * HOP
        pieces = np.empty((_BATCH, length), np.float32)
        for row in range(_BATCH):
            store, group = self.groups[self.rng.integers(len(self.groups))]
            utterance = group[self.rng.integers(len(group))]
            start = utterance.offset + self.rng.integers(utterance.samples - length + 1)
            piece = store.audio[start : start + length].astype(np.float32) / 32768.0
            peak = float(np.abs(piece).max()) + 1e-4
            wanted = 10.0 ** (self.rng.uniform(-20.0, 0.0) / 20.0)
            pieces[row] = piece * min(wanted / peak, 10.0)
        return torch.from_numpy(pieces).to(self.device)

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, _PEAK_RATE))
        waveform = self.batch()
        with torch.autocast(self.device.type, torch.bfloat16):
            latents = self.codec.encoder(waveform)
        quantised, commitment, codes = self.codec.quantiser(latents.float())
        with torch.autocast(self.device.type, torch.bfloat16):
            made = self.codec.decode_latents(quantised)
        spectral, mel = self.loss(made.float(), waveform)
        loss = spectral + _COMMITMENT * commitment
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), 1.0)
        self.optimizer.step()
        figures = {
            "loss": float(loss.detach()),
            "mel": float(mel.detach()),
            "commitment": float(commitment.detach()),
            "gradient": float(norm),
        }
        if number % 10 == 0:
            perplexity = self.codec.quantiser.perplexity(codes)
            figures["perplexity_first"] = float(perplexity[0])
            figures["perplexity_last"] = float(perplexity[-1])
        return figures

    @torch.no_grad()
    def sample(self, folder: Path, number: int) -> None:
        """Resynthesise the first utterances of the first store into `samples/`."""
        self.codec.eval()
        out = folder / "samples"
        out.mkdir(exist_ok=True)
        for store, group in self.groups[:: max(1, len(self.groups) // 3)][:3]:
            waveform = torch.from_numpy(store.waveform(group[0]))[None].to(self.device)
            made = self.codec.decode(self.codec.encode(waveform))
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
