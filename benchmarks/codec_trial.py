"""One codec tried out: trained a little, its first codebook predicted, read and spoken."""

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

from valle.corpora.split import is_held
from valle.corpora.store import HOP as LABEL_HOP
from valle.corpora.store import SAMPLE_RATE, Labels, Store, Utterance, by_speaker
from valle.corpora.transcripts import IS_BORDER, LISTENER_CLASS
from valle.evaluation.metrics.judges import VoiceJudge
from valle.evaluation.metrics.signals import QualityJudge, pesq, stoi
from valle.runtime.pointer import STAYS, stays
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.data.examples import padded
from valle.training.models.ar import AR
from valle.training.models.codec import Codec, CodecSize
from valle.training.models.convnext import ConvNeXt
from valle.training.models.phonemes import PADDING, gather_rows
from valle.training.models.quantizer import nearest
from valle.training.models.sizes import CODEBOOK_SIZE, CODEBOOKS, NO_CODE, ARSize
from valle.training.models.transformer import code_vectors, rotary_angles
from valle.training.trainers.loop import learning_rate, mixed_precision, set_learning_rate
from valle.training.trainers.losses import SpectralLoss

_CPU = torch.device("cpu")
_AR = ARSize(layers=4, heads=4, width=192, feed_forward=768, dropout=0.1)
_BATCH, _SECONDS = 12, 1.0  # of the codec
_UTTERANCES, _LONGEST = 8, 6.0  # of the AR and the probe: how many a step, seconds of each
_RATE = 1e-3
_HELD_ONE_IN = 12  # speakers
_IGNORED = -100

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Coded:
    """An utterance's first codebook [T] and the symbols [S] that its frames [T] are at."""

    codes: Ints
    labels: Labels
    voice: NDArray[np.float32]


def try_out(
    data: Path,
    *,
    hop: int,
    codebooks: int,
    phoneme_loss: float,
    codec_steps: int,
    ar_steps: int,
    hours: float,
    judged: int,
    threads: int,
) -> dict[str, Any]:
    """Train a codec, an AR and a probe; their figures on speakers that they did not learn from."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    store = Store(data)
    learnt, held = _parts(store)
    codec = _codec(store, learnt, hop, codebooks, phoneme_loss, codec_steps, rng)
    voices = dict(zip((u.id for u in store.utterances), store.voices, strict=True))
    order = [learnt[i] for i in rng.permutation(len(learnt))]
    total = np.cumsum([each.samples for each in order]) / SAMPLE_RATE / 3600
    chosen = order[: int(np.searchsorted(total, hours)) + 1]
    some = held[:: max(1, len(held) // judged)][:judged]
    training = [_coded(codec, store, each, voices[each.id], hop) for each in chosen]
    judging = [_coded(codec, store, each, voices[each.id], hop) for each in some]
    ar, probe = _ar(codec), Probe(codec.quantiser.tables[0])
    for _ in _trained([ar, probe], ar_steps):
        batch = [training[i] for i in rng.integers(len(training), size=_UTTERANCES)]
        tensors = _batch(batch)
        with mixed_precision(_CPU):
            nats, read = _code_loss(ar, tensors), _probe_loss(probe, tensors)
        (nats + read).backward()
    ar.eval(), probe.eval()
    tensors = _batch(judging)
    with torch.no_grad():
        left = float(_code_loss(ar, tensors)) / np.log(2)
        drawn = _drawn(ar, tensors)
        real, said = (_read_right(probe, codes, tensors) for codes in (tensors["codes"], drawn))
    first = np.concatenate([each.codes for each in training])
    shares = np.bincount(first, minlength=CODEBOOK_SIZE) / len(first)
    entropy = float(-(shares * np.log2(shares + 1e-12)).sum())
    rate = SAMPLE_RATE / hop
    return _sound(codec, store, some, hop) | {
        "first codebook, perplexity": round(2**entropy, 1),
        "first codebook, bits a second without the AR": round(entropy * rate, 1),
        "first codebook, bits a second left by the AR": round(left * rate, 1),
        "phonemes read from recorded codes": round(real, 4),
        "phonemes read from drawn codes": round(said, 4),
    }


def _parts(store: Store) -> tuple[list[Utterance], list[Utterance]]:
    """Clean labelled utterances of 1 s or more: to learn from, and of other speakers to judge."""
    learnt: list[Utterance] = []
    held: list[Utterance] = []
    clean = [u for u in store.utterances if u.waveform_is_clean and u.id in store.labels]
    for speaker, group in by_speaker([u for u in clean if u.samples > SAMPLE_RATE]).items():
        (held if is_held("comparison", speaker, _HELD_ONE_IN) else learnt).extend(group)
    return learnt, held


def _frame_symbols(labels: Labels, start: int, frames: int, hop: int) -> Ints:
    """[frames] indices into the symbols, of frames of `hop` samples from sample `start` on."""
    middles = (start + (np.arange(frames) + 0.5) * hop).astype(np.int64) // LABEL_HOP
    return labels.frame_symbol[np.minimum(middles, len(labels.frame_symbol) - 1)]


def _classes(symbols: Ints) -> Ints:
    """The listener's class of each phoneme; borders and symbols that it does not know: ignored."""
    classes = LISTENER_CLASS[symbols]
    return np.where(IS_BORDER[symbols] | (classes < 0), _IGNORED, classes)


def _trained(models: list[nn.Module], steps: int) -> Iterator[int]:
    """Steps of AdamW; whoever takes one has called `backward` before the next."""
    weights = [weight for model in models for weight in model.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=_RATE, betas=(0.9, 0.98), weight_decay=1e-2)
    for number in range(steps):
        set_learning_rate(optimizer, learning_rate(number / steps, _RATE))
        optimizer.zero_grad(set_to_none=True)
        yield number
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()


def _codec(
    store: Store,
    utterances: list[Utterance],
    hop: int,
    codebooks: int,
    phoneme_loss: float,
    steps: int,
    rng: np.random.Generator,
) -> Codec:
    size = CodecSize(5, 256, 7, 320, codebooks=codebooks)
    codec, spectral = Codec(size), SpectralLoss()
    head = nn.Linear(size.latent, len(LISTENER_SYMBOLS))
    groups = list(by_speaker(utterances).values())
    frames = int(_SECONDS * SAMPLE_RATE) // hop
    for _ in _trained([codec, head], steps):
        pieces, wanted = [], []
        for _ in range(_BATCH):
            group = groups[rng.integers(len(groups))]
            utterance = group[rng.integers(len(group))]
            start = int(rng.integers(max(1, utterance.samples - frames * hop)))
            piece = store.waveform(utterance)[start : start + frames * hop]
            pieces.append(np.resize(piece, frames * hop))
            labels = store.labels[utterance.id]
            wanted.append(_classes(labels.symbols[_frame_symbols(labels, start, frames, hop)]))
        waveform = torch.from_numpy(np.stack(pieces))
        with mixed_precision(_CPU):
            latents = codec.encoder(waveform).float()
        # One piece in three is made of any number of codebooks, the others of all of them.
        used = np.where(
            rng.random(_BATCH) < 1 / 3, rng.integers(1, codebooks + 1, _BATCH), codebooks
        )
        quantised, commitment, codes = codec.quantiser(latents, torch.from_numpy(used))
        with mixed_precision(_CPU):
            takes = codec.decode_latents(quantised, takes=2).float()
        loss = spectral(takes, waveform)[0] + commitment
        if phoneme_loss:
            first = latents + (codec.quantiser.tables[0][codes[..., 0]] - latents).detach()
            asked = torch.from_numpy(np.stack(wanted))
            loss = loss + phoneme_loss * functional.cross_entropy(
                head(first).flatten(0, 1), asked.flatten(), ignore_index=_IGNORED
            )
        loss.backward()
    return codec.eval()


@torch.no_grad()
def _coded(
    codec: Codec, store: Store, utterance: Utterance, voice: NDArray[np.float32], hop: int
) -> Coded:
    frames = min(utterance.samples, int(_LONGEST * SAMPLE_RATE)) // hop
    waveform = torch.from_numpy(store.waveform(utterance)[: frames * hop])[None]
    latents = codec.encoder(waveform)
    codes = nearest(codec.quantiser.tables[0], latents)[0].numpy()
    labels = store.labels[utterance.id]
    path = _frame_symbols(labels, 0, frames, hop)
    beyond = int(path.max()) + 3  # a little of what would follow, as the AR is given it
    cut = Labels(labels.symbols[:beyond], labels.stress[:beyond], path)
    return Coded(codes, cut, voice)


def _ar(codec: Codec) -> AR:
    ar = AR(_AR, len(SYMBOLS))
    vectors = code_vectors(codec.quantiser.tables[:1], _AR.width)[0]
    with torch.no_grad():
        ar.codes.weight[:CODEBOOK_SIZE] = vectors
        ar.code_head.weight.copy_(vectors)
    return ar


def _batch(items: list[Coded]) -> dict[str, Tensor]:
    arrays = {
        "codes": padded([each.codes for each in items], NO_CODE),
        "symbols": padded([each.labels.symbols for each in items], PADDING),
        "stress": padded([each.labels.stress for each in items], 0),
        "path": padded([each.labels.frame_symbol for each in items], 0),
        "stay": padded([stays(each.labels.frame_symbol) for each in items], 0),
        "classes": padded(
            [_classes(each.labels.symbols[each.labels.frame_symbol]) for each in items], _IGNORED
        ),
    }
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tensors["voice"] = torch.from_numpy(np.stack([each.voice for each in items]))
    return tensors


def _eight(codes: Tensor) -> Tensor:
    """Codes [B, T] of the first codebook as the AR reads them, the others unknown."""
    return functional.pad(codes[..., None], (0, CODEBOOKS - 1), value=NO_CODE)


def _code_loss(ar: AR, batch: dict[str, Tensor]) -> Tensor:
    before = functional.pad(batch["codes"][:, :-1], (1, 0), value=NO_CODE)
    logits, _ = ar(
        _eight(before),
        *(batch[each] for each in ("symbols", "stress", "voice", "path", "stay")),
    )
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
        logits.flatten(0, 1), batch["classes"].flatten(), ignore_index=_IGNORED
    )


def _read_right(probe: Probe, codes: Tensor, batch: dict[str, Tensor]) -> float:
    """Share of frames of phonemes that the probe reads as the one asked for."""
    asked = batch["classes"]
    return float((probe(codes).argmax(-1) == asked)[asked != _IGNORED].float().mean())


def _drawn(ar: AR, batch: dict[str, Tensor]) -> Tensor:
    """Codes [B, T] of the first codebook as the AR draws them (temperature 1)."""
    encoded = ar.phonemes(batch["symbols"], batch["stress"], batch["voice"], None)
    rows = ar.project(gather_rows(encoded, batch["path"])) + ar.stay(
        batch["stay"].clamp(max=STAYS - 1)
    )
    past: list[tuple[Tensor, Tensor] | None] = [None] * len(ar.blocks)
    code = torch.full((len(rows), 1), NO_CODE)
    drawn = []
    for frame in range(rows.shape[1]):
        hidden = ar.codes(_eight(code)) + rows[:, frame : frame + 1]
        cos, sin = rotary_angles(torch.tensor([frame]), _AR.width // _AR.heads)
        for place, block in enumerate(ar.blocks):
            hidden, key, value = block(hidden, cos, sin, past[place])
            before = past[place]
            past[place] = (
                (key, value)
                if before is None
                else (torch.cat((before[0], key), 2), torch.cat((before[1], value), 2))
            )
        chances = ar.code_head(ar.out_norm(hidden))[:, 0].softmax(-1)
        code = torch.multinomial(chances, 1)
        drawn.append(code)
    return torch.where(batch["codes"] == NO_CODE, NO_CODE, torch.cat(drawn, dim=1))


@torch.no_grad()
def _sound(codec: Codec, store: Store, utterances: list[Utterance], hop: int) -> dict[str, Any]:
    """How recordings sound that went through the codec, mean of each measure."""
    voice, quality = VoiceJudge(), QualityJudge()
    rows = []
    for utterance in utterances:
        original = store.waveform(utterance)[: utterance.samples // hop * hop]
        made = codec.decode(codec.encode(torch.from_numpy(original)[None]))[0].numpy()
        rows.append(
            {
                "similarity": float(voice.embed(original) @ voice.embed(made)),
                "PESQ": pesq(original, made),
                "STOI": stoi(original, made),
                "DNSMOS": quality.overall(made),
                "DNSMOS of the originals": quality.overall(original),
            }
        )
    return {
        name: round(float(np.mean([row[name] for row in rows if row[name] is not None])), 4)
        for name in rows[0]
    }
