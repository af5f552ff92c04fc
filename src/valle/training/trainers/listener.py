"""`valle train listener`: what is said (CTC) and where (frame classes).

The frame head learns from made speech, whose phoneme times are exact, and from real speech by the
labels that lie beside it, or where there are none through its own best alignment of the known
transcript (Viterbi training), once it has learnt enough. Its own alignments alone lead it astray
after a few thousand steps: sounds take over the pauses, or pauses the sounds (docs/LOG.md). So a
listener is trained, labels are prepared by it, and it is trained on with them.

How sure it is, is set by how often it is right of speakers that it does not learn from.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from valle.corpora import augmentation
from valle.corpora.speed_perturbation import frames_at
from valle.corpora.split import is_held
from valle.corpora.store import HOP, SAMPLE_RATE, Store, Utterance
from valle.corpora.transcripts import IS_BORDER, LISTENER_CLASS, transcript_ids
from valle.errors import UsageError
from valle.runtime.alignment import align_frames, loud_frames
from valle.runtime.check import edit_path
from valle.text.symbols import LISTENER_SYMBOLS, SYMBOLS
from valle.training.models.listener import LISTENER_SIZES, Listener, centred
from valle.training.run_folder import keep_size
from valle.training.trainers.loop import learning_rate, mixed_precision, set_learning_rate

_BATCH_SECONDS = 24.0
_LONGEST = 16.0
_MADE_SHARE = 0.3  # of batches: exact phoneme times, but voices that no recording has
_BOOTSTRAP = 0.3  # share of the run after which real speech is aligned by the model itself
_IGNORED = -100
_RESIZED, _SLOWEST, _FASTEST = 0.5, 0.85, 1.2  # share played at another speed, and how fast
_IN_ROOM = 0.1  # share
_HELD_ONE_IN = 25  # one speaker in so many is kept for calibration,
_HELD_OF = 50  # where there are as many as this
_CALIBRATE_EVERY = 10  # steps
_CALIBRATION_RATE = 2e-2

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
        temperature = self.listener.log_temperature
        self.weights = [each for each in self.listener.parameters() if each is not temperature]
        self.optimizer = torch.optim.AdamW(
            self.weights, lr=self.peak_rate, betas=(0.9, 0.98), weight_decay=1e-2
        )
        self.calibration = torch.optim.Adam([temperature], lr=_CALIBRATION_RATE)
        self.modules: dict[str, nn.Module] = {"listener": self.listener}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "listener": self.optimizer,
            "calibration": self.calibration,
        }
        speakers = {utterance.speaker for store in stores for utterance in store.utterances}
        enough = len(speakers) >= _HELD_OF
        real: list[Example] = []
        made: list[Example] = []
        self.held: list[Example] = []
        for store in stores:
            for utterance in store.utterances:
                example = _example(store, utterance)
                if example is None:
                    continue
                if enough and is_held("listener", utterance.speaker, _HELD_ONE_IN):
                    self.held.append(example)
                else:
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
        keep_size(folder, shape, deeper=frozenset({"layers"}))

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
        samples, speeds = [], []
        for store, utterance, _, _ in examples:
            resized = self.rng.random() < _RESIZED
            speeds.append(float(self.rng.uniform(_SLOWEST, _FASTEST)) if resized else 1.0)
            samples.append(played(store.waveform(utterance), speeds[-1]))
        features, lengths = self._features([self._distorted(each) for each in samples])
        with mixed_precision(self.device):
            ctc, frame = self.listener.raw(self._masked(features))
        ctc, frame = ctc.log_softmax(-1), frame.log_softmax(-1)
        # CTC hears no pauses: its targets are the phonemes alone.
        targets = [torch.from_numpy(LISTENER_CLASS[e[2][~IS_BORDER[e[2]]]]) for e in examples]
        ctc_loss = functional.ctc_loss(
            ctc.transpose(0, 1),
            torch.cat(targets),
            lengths,
            torch.tensor([len(target) for target in targets]),
            zero_infinity=True,
        )
        frame_loss = self.frame_loss(ctc, frame, examples, samples, speeds, progress)
        loss = ctc_loss + frame_loss
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        self.optimizer.step()
        kind = "made" if examples[0][1].made else "real"
        figures = {
            f"ctc_{kind}": float(ctc_loss.detach()),
            f"frame_{kind}": float(frame_loss.detach()),
        }
        if self.held and number % _CALIBRATE_EVERY == 0:
            figures |= self.calibrate(progress)
        return figures

    def _features(self, samples: list[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
        """Centred features [B, T, FEATURES] of utterances, and how many frames each has [B]."""
        lengths = torch.tensor([len(each) // HOP for each in samples])
        waveform = np.zeros((len(samples), int(lengths.max()) * HOP), np.float32)
        for row, each in enumerate(samples):
            waveform[row, : len(each)] = each
        features = self.listener.features(torch.from_numpy(waveform).to(self.device))
        return centred(features, lengths.to(self.device)), lengths

    def calibrate(self, progress: float) -> dict[str, float]:
        """Bring how sure the listener is of what it hears nearer to how often it is right."""
        set_learning_rate(self.calibration, learning_rate(progress, _CALIBRATION_RATE))
        places = self.rng.integers(len(self.held), size=6)
        examples = [self.held[place] for place in places]
        features, lengths = self._features([store.waveform(one) for store, one, _, _ in examples])
        with torch.no_grad(), mixed_precision(self.device):
            ctc, _ = self.listener.raw(features)
        sure = self.listener.calibrated(ctc)
        confidence, right = [], []
        for row, (_, _, symbols, _) in enumerate(examples):
            best, peak = sure[row, : lengths[row]].detach().cpu(), sure[row]
            frames, classes = heard(best.numpy())
            said = [str(each) for each in LISTENER_CLASS[symbols[~IS_BORDER[symbols]]]]
            matched, where = edit_path(said, [str(each) for each in classes])
            hit = np.zeros(len(classes), np.float32)
            hit[where[matched]] = 1.0
            confidence.append(peak[frames, classes])
            right.append(torch.from_numpy(hit).to(self.device))
        logs, hits = torch.cat(confidence), torch.cat(right)
        if not len(hits):
            return {}
        # Cross-entropy of "this is right"; a confidence of 1 has no finite one.
        logs = logs.clamp(max=-1e-6)
        loss = -(hits * logs + (1 - hits) * torch.log1p(-logs.exp())).mean()
        self.calibration.zero_grad(set_to_none=True)
        loss.backward()
        self.calibration.step()
        return {
            "held_right": float(hits.mean()),
            "held_confidence": float(logs.detach().exp().mean()),
            "temperature": float(self.listener.log_temperature.detach().exp()),
        }

    def frame_loss(
        self,
        ctc: Tensor,
        frame: Tensor,
        examples: list[Example],
        samples: list[NDArray[np.float32]],
        speeds: list[float],
        progress: float,
    ) -> Tensor:
        wanted = torch.full(frame.shape[:2], _IGNORED)
        peaks, scores = ctc.detach().cpu().numpy(), frame.detach().cpu().numpy()
        for row, (_, _, symbols, frame_symbol) in enumerate(examples):
            frames = len(samples[row]) // HOP
            classes = LISTENER_CLASS[symbols]
            path = None
            if frame_symbol is not None:
                path = frame_symbol[frames_at(frames, len(frame_symbol), speeds[row])]
            elif progress > _BOOTSTRAP:
                said = [SYMBOLS[index] for index in symbols]
                loud = loud_frames(samples[row], HOP)
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
        """Level by 30 dB; a tenth in rooms; for a third, noise at 5 to 35 dB below the speech."""
        if self.rng.random() < _IN_ROOM:
            samples = augmentation.some_room(samples, self.rng)
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


def played(samples: NDArray[np.float32], speed: float) -> NDArray[np.float32]:
    """The samples at another speed, pitch and formants with it, in whole frames."""
    if speed == 1.0:
        return samples
    changed = augmentation.played(samples, speed)
    return changed[: len(changed) // HOP * HOP]


def heard(ctc: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Greedy CTC: of each symbol heard, the frame where [frames, classes] is surest, and its class.

    A pause is no phoneme, and the CTC head has not learnt it.
    """
    best = ctc.argmax(-1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    ends = np.append(starts[1:], len(best))
    frames = [
        start + int(ctc[start:end].max(-1).argmax())
        for start, end in zip(starts, ends, strict=True)
        if best[start] != 0
    ]
    kept = np.array(frames, np.int64)
    return kept, best[kept]


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
