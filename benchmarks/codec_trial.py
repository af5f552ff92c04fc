"""One codec: trained briefly, its first codebook predicted by an AR and classified by a probe."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.audio_format import HOP as LABEL_HOP
from valle.audio_format import SAMPLE_RATE
from valle.corpora.split import is_calibration_speaker
from valle.corpora.store import Labels, Store, Utterance, by_speaker
from valle.corpora.transcripts import IS_BORDER, LISTENER_CLASS
from valle.evaluation.metrics.audio_quality import DNSMOS, pesq, stoi
from valle.evaluation.metrics.speaker_similarity import ResemblyzerEncoder
from valle.runtime.pointer import FRAMES_ON_SYMBOL_BINS, count_frames_on_symbol
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.data.examples import pad_sequences
from valle.training.models.ar import AR
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.convnext import ConvNeXt
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.models.quantizer import nearest
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, ARSize
from valle.training.models.transformer import project_codebooks, rotary_angles
from valle.training.trainers.losses import SpectralLoss
from valle.training.trainers.optimization import learning_rate, mixed_precision, set_learning_rate

_CPU = torch.device("cpu")
_AR = ARSize(layers=4, heads=4, width=192, feed_forward=768, dropout=0.1)
_BATCH, _SECONDS = 12, 1.0  # of the codec
_UTTERANCES, _LONGEST = 8, 6.0  # of the AR and the probe: per step, and seconds of each
_RATE = 1e-3
_CALIBRATION_ONE_IN = 12  # speakers
IGNORE_INDEX = -100

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """An utterance: its first codebook [T], and the symbols [S] that its frames [T] are at."""

    codes: Ints
    labels: Labels
    voice: NDArray[np.float32]


@dataclass(frozen=True)
class Plan:
    """A codec, and how much to train and to test."""

    hop: int
    codebooks: int
    phoneme_loss: float
    """Weight of the phoneme loss."""
    codec_steps: int
    ar_steps: int
    hours: float
    """Of speech, for the AR and the probe."""
    test: int
    """Utterances to test on."""


def run(data: Path, plan: Plan) -> dict[str, Any]:
    """Train a codec, an AR and a probe, and test them on held-out speakers."""
    hop = plan.hop
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    store = Store(data)
    training_set, test_set = _split(store)
    codec = _train_codec(store, training_set, plan, rng)
    voices = dict(zip((u.id for u in store.utterances), store.voices, strict=True))
    order = [training_set[i] for i in rng.permutation(len(training_set))]
    total = np.cumsum([utterance.samples for utterance in order]) / SAMPLE_RATE / 3600
    chosen = order[: int(np.searchsorted(total, plan.hours)) + 1]
    tested = test_set[:: max(1, len(test_set) // plan.test)][: plan.test]
    training, test = (
        [_encode(codec, store, item, voices[item.id], hop) for item in part]
        for part in (chosen, tested)
    )
    ar, probe = _make_ar(codec), Probe(codec.quantiser.tables[0])
    for _ in _train([ar, probe], plan.ar_steps):
        batch = [training[i] for i in rng.integers(len(training), size=_UTTERANCES)]
        tensors = _batch(batch)
        with mixed_precision(_CPU):
            code_loss, probe_loss = _code_loss(ar, tensors), _probe_loss(probe, tensors)
        (code_loss + probe_loss).backward()
    ar.eval(), probe.eval()
    tensors = _batch(test)
    with torch.no_grad():
        cross_entropy = float(_code_loss(ar, tensors)) / np.log(2)
        sampled = _sample(ar, tensors)
        recorded_accuracy, sampled_accuracy = (
            _accuracy(probe, codes, tensors) for codes in (tensors["codes"], sampled)
        )
    first = np.concatenate([coded.codes for coded in training])
    shares = np.bincount(first, minlength=CODEBOOK_SIZE) / len(first)
    entropy = float(-(shares * np.log2(shares + 1e-12)).sum())
    rate = SAMPLE_RATE / hop
    return _measure_quality(codec, store, tested, hop) | {
        "first codebook, perplexity": round(2**entropy, 1),
        "first codebook, bits per second without the AR": round(entropy * rate, 1),
        "first codebook, bits per second with the AR": round(cross_entropy * rate, 1),
        "phoneme accuracy of recorded codes": round(recorded_accuracy, 4),
        "phoneme accuracy of sampled codes": round(sampled_accuracy, 4),
    }


def _split(store: Store) -> tuple[list[Utterance], list[Utterance]]:
    """Clean labeled utterances of 1 s or more: for training, and of other speakers for the test."""
    training: list[Utterance] = []
    test: list[Utterance] = []
    clean = [u for u in store.utterances if u.waveform_is_clean and u.id in store.labels]
    for speaker, group in by_speaker([u for u in clean if u.samples > SAMPLE_RATE]).items():
        is_test = is_calibration_speaker("comparison", speaker, _CALIBRATION_ONE_IN)
        (test if is_test else training).extend(group)
    return training, test


def _frame_symbols(labels: Labels, start: int, frames: int, hop: int) -> Ints:
    """[frames] indices into the symbols, of frames of `hop` samples from sample `start` on."""
    centers = (start + (np.arange(frames) + 0.5) * hop).astype(np.int64) // LABEL_HOP
    return labels.frame_symbol[np.minimum(centers, len(labels.frame_symbol) - 1)]


def _classes(symbols: Ints) -> Ints:
    """The recognizer's class of each phoneme; borders and unknown symbols are ignored."""
    classes = LISTENER_CLASS[symbols]
    return np.where(IS_BORDER[symbols] | (classes < 0), IGNORE_INDEX, classes)


def _train(models: list[nn.Module], steps: int) -> Iterator[int]:
    """Steps of AdamW; the caller runs `backward` in each."""
    weights = [weight for model in models for weight in model.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=_RATE, betas=(0.9, 0.98), weight_decay=1e-2)
    for number in range(steps):
        set_learning_rate(optimizer, learning_rate(number / steps, _RATE))
        optimizer.zero_grad(set_to_none=True)
        yield number
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()


def _train_codec(
    store: Store, utterances: list[Utterance], plan: Plan, rng: np.random.Generator
) -> Codec:
    hop, codebooks, phoneme_loss = plan.hop, plan.codebooks, plan.phoneme_loss
    size = CodecSize(5, 256, 7, 320, codebooks=codebooks)
    codec, spectral = Codec(size), SpectralLoss()
    head = nn.Linear(size.latent, len(LISTENER_SYMBOLS))
    groups = list(by_speaker(utterances).values())
    frames = int(_SECONDS * SAMPLE_RATE) // hop
    for _ in _train([codec, head], plan.codec_steps):
        segments, targets = [], []
        for _ in range(_BATCH):
            group = groups[rng.integers(len(groups))]
            utterance = group[rng.integers(len(group))]
            start = int(rng.integers(max(1, utterance.samples - frames * hop)))
            segment = store.waveform(utterance)[start : start + frames * hop]
            segments.append(np.resize(segment, frames * hop))
            labels = store.labels[utterance.id]
            targets.append(_classes(labels.symbols[_frame_symbols(labels, start, frames, hop)]))
        waveform = torch.from_numpy(np.stack(segments))
        with mixed_precision(_CPU):
            latents = codec.encoder(waveform).float()
        # One segment in three uses a random number of codebooks, the others all of them.
        used = np.where(
            rng.random(_BATCH) < 1 / 3, rng.integers(1, codebooks + 1, _BATCH), codebooks
        )
        quantised, commitment, codes = codec.quantiser(latents, torch.from_numpy(used))
        with mixed_precision(_CPU):
            decoded = codec.decode_latents(quantised, noise_samples=2).float()
        loss = spectral(decoded, waveform)[0] + commitment
        if phoneme_loss:
            first = latents + (codec.quantiser.tables[0][codes[..., 0]] - latents).detach()
            classes = torch.from_numpy(np.stack(targets))
            loss = loss + phoneme_loss * functional.cross_entropy(
                head(first).flatten(0, 1), classes.flatten(), ignore_index=IGNORE_INDEX
            )
        loss.backward()
    return codec.eval()


@torch.no_grad()
def _encode(
    codec: Codec, store: Store, utterance: Utterance, voice: NDArray[np.float32], hop: int
) -> Coded:
    frames = min(utterance.samples, int(_LONGEST * SAMPLE_RATE)) // hop
    waveform = torch.from_numpy(store.waveform(utterance)[: frames * hop])[None]
    latents = codec.encoder(waveform)
    codes = nearest(codec.quantiser.tables[0], latents)[0].numpy()
    labels = store.labels[utterance.id]
    path = _frame_symbols(labels, 0, frames, hop)
    beyond = int(path.max()) + 3  # with a little of what follows, as the AR has in synthesis
    cut = Labels(labels.symbols[:beyond], labels.stress[:beyond], path)
    return Coded(codes, cut, voice)


def _make_ar(codec: Codec) -> AR:
    ar = AR(_AR, len(SYMBOLS))
    vectors = project_codebooks(codec.quantiser.tables[:1], _AR.width)[0]
    with torch.no_grad():
        ar.codes.weight[:CODEBOOK_SIZE] = vectors
        ar.code_head.weight.copy_(vectors)
    return ar


def _batch(items: list[Coded]) -> dict[str, Tensor]:
    arrays = {
        "codes": pad_sequences([item.codes for item in items], NO_CODE),
        "symbols": pad_sequences([item.labels.symbols for item in items], PADDING),
        "stress": pad_sequences([item.labels.stress for item in items], 0),
        "path": pad_sequences([item.labels.frame_symbol for item in items], 0),
        "stay": pad_sequences(
            [count_frames_on_symbol(item.labels.frame_symbol) for item in items], 0
        ),
        "classes": pad_sequences(
            [_classes(item.labels.symbols[item.labels.frame_symbol]) for item in items],
            IGNORE_INDEX,
        ),
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors["voice"] = torch.from_numpy(np.stack([item.voice for item in items]))
    return tensors


def _pad_codebooks(codes: Tensor) -> Tensor:
    """Codes [B, T] of the first codebook as the AR reads them, [B, T, 8] without the others."""
    return functional.pad(codes[..., None], (0, CODEBOOKS - 1), value=NO_CODE)


def _code_loss(ar: AR, batch: dict[str, Tensor]) -> Tensor:
    before = functional.pad(batch["codes"][:, :-1], (1, 0), value=NO_CODE)
    encoded = ar.phonemes(batch["symbols"], batch["stress"], batch["voice"])
    logits, _ = ar(_pad_codebooks(before), gather_rows(encoded, batch["path"]), batch["stay"])
    return functional.cross_entropy(
        logits.float().flatten(0, 1), batch["codes"].flatten(), ignore_index=NO_CODE
    )


class Probe(nn.Module):
    """Codes [B, T] of the first codebook -> logits [B, T, classes] of the phonemes."""

    table: Tensor

    def __init__(self, table: Tensor, width: int = 128) -> None:
        super().__init__()
        self.register_buffer("table", functional.pad(table, (0, 0, 0, 1)))
        self.input = nn.Linear(table.shape[1], width)
        self.blocks = nn.ModuleList(ConvNeXt(width, 7) for _ in range(3))
        self.output = nn.Linear(width, len(LISTENER_SYMBOLS))

    def forward(self, codes: Tensor) -> Tensor:
        hidden = self.input(self.table[codes])
        for block in self.blocks:
            hidden = block(hidden)
        logits: Tensor = self.output(hidden)
        return logits


def _probe_loss(probe: Probe, batch: dict[str, Tensor]) -> Tensor:
    logits = probe(batch["codes"]).float()
    return functional.cross_entropy(
        logits.flatten(0, 1), batch["classes"].flatten(), ignore_index=IGNORE_INDEX
    )


def _accuracy(probe: Probe, codes: Tensor, batch: dict[str, Tensor]) -> float:
    """Accuracy of the probe over the frames of phonemes."""
    classes = batch["classes"]
    is_correct = probe(codes).argmax(-1) == classes
    return float(is_correct[classes != IGNORE_INDEX].float().mean())


def _sample(ar: AR, batch: dict[str, Tensor]) -> Tensor:
    """Sample codes [B, T] of the first codebook from the AR (temperature 1)."""
    encoded = ar.phonemes(batch["symbols"], batch["stress"], batch["voice"], None)
    rows = ar.project(gather_rows(encoded, batch["path"])) + ar.stay(
        batch["stay"].clamp(max=FRAMES_ON_SYMBOL_BINS - 1)
    )
    past: list[tuple[Tensor, Tensor] | None] = [None] * len(ar.blocks)
    code = torch.full((len(rows), 1), NO_CODE)
    sampled = []
    for frame in range(rows.shape[1]):
        hidden = ar.codes(_pad_codebooks(code)) + rows[:, frame : frame + 1]
        angles = rotary_angles(torch.tensor([frame]), _AR.width // _AR.heads)
        for layer, block in enumerate(ar.blocks):
            hidden, key, value = block(hidden, angles, past[layer])
            before = past[layer]
            past[layer] = (
                (key, value)
                if before is None
                else (torch.cat((before[0], key), 2), torch.cat((before[1], value), 2))
            )
        probabilities = ar.code_head(ar.out_norm(hidden))[:, 0].softmax(-1)
        code = torch.multinomial(probabilities, 1)
        sampled.append(code)
    return torch.where(batch["codes"] == NO_CODE, NO_CODE, torch.cat(sampled, dim=1))


@torch.no_grad()
def _measure_quality(
    codec: Codec, store: Store, utterances: list[Utterance], hop: int
) -> dict[str, Any]:
    """Mean quality of recordings through the codec."""
    encoder, quality = ResemblyzerEncoder(), DNSMOS()
    rows = []
    for utterance in utterances:
        original = store.waveform(utterance)[: utterance.samples // hop * hop]
        decoded = codec.decode(codec.encode(torch.from_numpy(original)[None]))[0].numpy()
        rows.append(
            {
                "speaker similarity": float(encoder.embed(original) @ encoder.embed(decoded)),
                "PESQ": pesq(original, decoded),
                "STOI": stoi(original, decoded),
                "DNSMOS": quality.rate(decoded),
                "DNSMOS of the ground truth": quality.rate(original),
            }
        )
    return {
        name: round(float(np.mean([row[name] for row in rows if row[name] is not None])), 4)
        for name in rows[0]
    }
