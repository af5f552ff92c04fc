"""`valle train listener`: what is said (CTC) and where (frame classes).

The frame head learns from made speech, whose phoneme times are exact, and from real speech by the
labels that lie beside it, or where there are none through its own best alignment of the known
transcript (Viterbi training), once it has learnt enough. Its own alignments alone lead it astray
after a few thousand steps: sounds take over the pauses, or pauses the sounds (docs/LOG.md). So a
listener is trained, labels are prepared by it, and it is trained on with them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.alignment import align_frames, loud_frames
from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance
from valle.corpora.transcripts import IS_BORDER, LISTENER_CLASS, transcript_ids
from valle.errors import UsageError
from valle.listener_symbols import LISTENER_SYMBOLS
from valle.text import SYMBOLS
from valle.training.loop import (
    keep_size,
    learning_rate,
    mixed_precision,
    set_learning_rate,
)
from valle.training.models.listener import LISTENER_SIZES, Listener, centred

_BATCH_SECONDS = 24.0
_LONGEST = 16.0
_MADE_SHARE = 0.3  # of batches: exact phoneme times, but voices that no recording has
_BOOTSTRAP = 0.3  # share of the run after which real speech is aligned by the model itself
_IGNORED = -100

Example = tuple[Store, Utterance, NDArray[np.int64], NDArray[np.int64] | None]


class ListenerJob:
    """Batches of utterances of like length; some of them made speech where there is any."""

    peak_rate = 1.5e-3

    def __init__(
        self, stores: list[Store], folder: Path, size: str, device: str, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.rng = np.random.default_rng(seed)
        self.device = torch.device(device)
        shape = LISTENER_SIZES[size]
        self.listener = Listener(shape, len(LISTENER_SYMBOLS)).to(self.device)
        self.optimizer = torch.optim.AdamW(
            self.listener.parameters(), lr=self.peak_rate, betas=(0.9, 0.98), weight_decay=1e-2
        )
        self.modules: dict[str, nn.Module] = {"listener": self.listener}
        self.optimizers: dict[str, torch.optim.Optimizer] = {"listener": self.optimizer}
        real: list[Example] = []
        made: list[Example] = []
        for store in stores:
            for utterance in store.utterances:
                example = _example(store, utterance)
                if example is not None:
                    (made if utterance.made else real).append(example)
        pools = {
            share: pool for share, pool in ((1 - _MADE_SHARE, real), (_MADE_SHARE, made)) if pool
        }
        self.pools = [sorted(pool, key=lambda each: each[1].samples) for pool in pools.values()]
        self.shares = np.array(list(pools)) / sum(pools)
        if not self.pools:
            raise UsageError(
                f"the listener learns from transcribed speech of 0.5 to {_LONGEST:.0f} s, "
                "and there is none"
            )
        self.generators = {"job": self.rng}
        keep_size(folder, shape)

    def batch(self) -> list[Example]:
        """Neighbours in length, from a random place of a random pool."""
        pool = self.pools[self.rng.choice(len(self.pools), p=self.shares)]
        # Places are drawn by length, so that each second of speech is drawn as often as the next.
        first = int(self.rng.integers(len(pool)))
        count = max(1, int(_BATCH_SECONDS * SAMPLE_RATE / max(pool[first][1].samples, 1)))
        start = max(0, min(first - count // 2, len(pool) - count))
        return pool[start : start + count]

    def step(self, number: int, progress: float) -> dict[str, float]:
        set_learning_rate(self.optimizer, learning_rate(progress, self.peak_rate))
        examples = self.batch()
        lengths = torch.tensor([e[1].samples // HOP for e in examples])
        waveform = np.zeros((len(examples), int(lengths.max()) * HOP), np.float32)
        for row, (store, utterance, _, _) in enumerate(examples):
            waveform[row, : utterance.samples] = self._distorted(store.waveform(utterance))
        features = self.listener.features(torch.from_numpy(waveform).to(self.device))
        features = self._masked(centred(features, lengths.to(self.device)))
        with mixed_precision(self.device):
            ctc, frame = self.listener.from_features(features)
        # CTC hears no pauses: its targets are the phonemes alone.
        targets = [torch.from_numpy(LISTENER_CLASS[e[2][~IS_BORDER[e[2]]]]) for e in examples]
        ctc_loss = functional.ctc_loss(
            ctc.transpose(0, 1),
            torch.cat(targets),
            lengths,
            torch.tensor([len(target) for target in targets]),
            zero_infinity=True,
        )
        frame_loss = self._frame_loss(ctc, frame, examples, progress)
        loss = ctc_loss + frame_loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.listener.parameters(), 1.0)
        self.optimizer.step()
        kind = "made" if examples[0][1].made else "real"
        return {
            f"ctc_{kind}": float(ctc_loss.detach()),
            f"frame_{kind}": float(frame_loss.detach()),
        }

    def _frame_loss(
        self, ctc: Tensor, frame: Tensor, examples: list[Example], progress: float
    ) -> Tensor:
        wanted = torch.full(frame.shape[:2], _IGNORED)
        peaks, scores = ctc.detach().cpu().numpy(), frame.detach().cpu().numpy()
        for row, (store, utterance, symbols, frame_symbol) in enumerate(examples):
            frames = utterance.samples // HOP
            classes = LISTENER_CLASS[symbols]
            path = frame_symbol
            if path is None and progress > _BOOTSTRAP:
                said = [SYMBOLS[index] for index in symbols]
                loud = loud_frames(store.waveform(utterance), HOP)
                alignment = align_frames(
                    peaks[row, :frames], scores[row, :frames], loud, said, LISTENER_SYMBOLS
                )
                path = alignment.frame_symbol if alignment is not None else None
            if path is not None:
                wanted[row, :frames] = torch.from_numpy(classes[path])
        if not bool((wanted >= 0).any()):
            return frame.new_zeros(())
        return functional.nll_loss(
            frame.reshape(-1, frame.shape[-1]),
            wanted.reshape(-1).to(frame.device),
            ignore_index=_IGNORED,
        )

    def _distorted(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Level by 30 dB and, for a third, noise at 5 to 35 dB below the speech."""
        gain = 10.0 ** (self.rng.uniform(-20.0, 10.0) / 20.0)
        if self.rng.random() < 0.33:
            level = float(np.sqrt(np.mean(samples**2)) + 1e-5)
            noise = self.rng.standard_normal(len(samples), dtype=np.float32)
            if self.rng.random() < 0.5:  # darker noise: rooms and engines rather than hiss
                noise = np.convolve(noise, np.full(8, 0.35, np.float32), mode="same")
            samples = samples + noise * level * 10.0 ** (-self.rng.uniform(5.0, 35.0) / 20.0)
        return np.asarray(samples * gain, dtype=np.float32)

    def _masked(self, features: Tensor) -> Tensor:
        """SpecAugment (Park et al. 2019): one band and two short times are hidden an utterance."""
        features = features.clone()
        frames, bands = features.shape[1], features.shape[2] // 2
        for row in range(len(features)):
            width = int(self.rng.integers(0, 16))
            low = int(self.rng.integers(0, bands - width))
            for half in (0, bands):
                features[row, :, half + low : half + low + width] = 0.0
            for _ in range(2):
                time = int(self.rng.integers(0, min(12, frames // 4 + 1)))
                start = int(self.rng.integers(0, frames - time))
                features[row, start : start + time] = 0.0
        return features

    @torch.no_grad()
    def sample(self, folder: Path, number: int) -> None:
        """Write what is heard in one utterance of each pool beside its transcript's phonemes."""
        self.listener.eval()
        lines = []
        for pool in self.pools:
            store, utterance, symbols, _ = pool[len(pool) // 2]
            waveform = torch.from_numpy(store.waveform(utterance))[None].to(self.device)
            ctc, _ = self.listener(waveform)
            heard = torch.unique_consecutive(ctc[0].argmax(-1)).tolist()
            asked = LISTENER_CLASS[symbols[~IS_BORDER[symbols]]].tolist()
            lines.append("asked " + " ".join(LISTENER_SYMBOLS[i] for i in asked))
            lines.append("heard " + " ".join(LISTENER_SYMBOLS[i] for i in heard if i > 0))
        (folder / "heard.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.listener.train()


def _example(store: Store, utterance: Utterance) -> Example | None:
    if not HOP * 25 <= utterance.samples <= _LONGEST * SAMPLE_RATE:
        return None
    if utterance.text is not None and (store.folder / "labels.npz").is_file():
        label = store.labels.get(utterance.id)
        if label is not None:
            return store, utterance, label.symbols, label.frame_symbol
    ids = transcript_ids(utterance.text) if utterance.text else None
    if ids is None or (ids[0] == 0).any():
        return None
    # CTC needs a frame a phoneme and one between two alike: leave out what cannot fit.
    if utterance.samples // HOP < 1.3 * len(ids[0]):
        return None
    return store, utterance, ids[0], None
